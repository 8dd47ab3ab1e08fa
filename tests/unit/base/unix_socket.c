/* SPDX-License-Identifier: BSD-2-Clause */
/* State directory, listening sockets, and who may connect. */
#include "unix_socket.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "support.h"

Test(unix_socket, state_directory)
{
	char path[64], expected[64];

	setenv("OUTRIGGER_STATE_DIR", "/env/dir//", 1);
	cr_assert_eq(state_dir_resolve("/option/", path, sizeof(path)), 0);
	cr_assert_str_eq(path, "/option");
	cr_assert_eq(state_dir_resolve("", path, sizeof(path)), 0);
	cr_assert_str_eq(path, "/env/dir");
	cr_assert_eq(state_dir_resolve("/", path, sizeof(path)), 0);
	cr_assert_str_eq(path, "/");
	cr_assert_eq(chdir("/tmp"), 0);
	cr_assert_eq(state_dir_resolve("here", path, sizeof(path)), 0);
	cr_assert_str_eq(path, "/tmp/here");
	setenv("OUTRIGGER_STATE_DIR", "", 1);
	setenv("XDG_RUNTIME_DIR", "/runtime", 1);
	cr_assert_eq(state_dir_resolve(NULL, path, sizeof(path)), 0);
	cr_assert_str_eq(path, geteuid() ? "/runtime/outrigger" : "/run/outrigger");
	unsetenv("XDG_RUNTIME_DIR");
	cr_assert_eq(state_dir_resolve(NULL, path, sizeof(path)), 0);
	snprintf(expected, sizeof(expected), "/tmp/outrigger-%u", (unsigned)geteuid());
	cr_assert_str_eq(path, geteuid() ? expected : "/run/outrigger");
	cr_assert_eq(state_dir_resolve("/123456", path, 7), -ENAMETOOLONG);
	cr_assert_eq(state_dir_resolve("/12345", path, 7), 0);
}

/* A directory of our own, and a path in it. */
struct place {
	char directory[40], path[64];
};

static void place_make(struct place *place)
{
	strcpy(place->directory, "/tmp/outrigger-test-XXXXXX");
	cr_assert_not_null(mkdtemp(place->directory));
	snprintf(place->path, sizeof(place->path), "%s/socket", place->directory);
}

static void place_remove(const struct place *place)
{
	unlink(place->path);
	cr_assert_eq(rmdir(place->directory), 0);
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

Test(unix_socket, listen_and_accept)
{
	unsigned before = fd_count_now();
	struct place place;
	struct stat st;

	place_make(&place);
	umask(077);
	int listen_fd = unix_listen(place.path, 0666);

	cr_assert_geq(listen_fd, 0);
	cr_assert_eq(stat(place.path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0666);
	cr_assert(fcntl(listen_fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(unix_accept_same_user(listen_fd), -EAGAIN);
	int client = connect_to(place.path);
	int accepted = unix_accept_same_user(listen_fd);

	cr_assert_geq(accepted, 0);
	cr_assert(fcntl(accepted, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(accepted, F_GETFL) & O_NONBLOCK);
	fd_close(&accepted);
	cr_assert_eq(accepted, -1);
	fd_close(&accepted);
	fd_close(&client);
	fd_close(&listen_fd);
	place_remove(&place);
	cr_assert_eq(fd_count_now(), before);
}

Test(unix_socket, stale_socket_is_replaced_a_live_one_is_not)
{
	unsigned before = fd_count_now();
	struct place place;

	place_make(&place);
	int first = unix_listen(place.path, 0600);

	cr_assert_geq(first, 0);
	cr_assert_eq(unix_listen(place.path, 0600), -EADDRINUSE);
	fd_close(&first);
	first = unix_listen(place.path, 0600);
	cr_assert_geq(first, 0, "%s", strerror(-first));
	fd_close(&first);
	place_remove(&place);
	cr_assert_eq(fd_count_now(), before);
}

Test(unix_socket, only_in_a_directory_of_our_own)
{
	unsigned before = fd_count_now();
	struct place place;
	char text[200];

	place_make(&place);
	cr_assert_eq(chmod(place.directory, 0720), 0);
	cr_assert_eq(unix_listen(place.path, 0600), -EPERM);
	cr_assert_eq(chmod(place.directory, 0702), 0);
	cr_assert_eq(unix_listen(place.path, 0600), -EPERM);
	cr_assert_eq(chmod(place.directory, 0700), 0);
	int file = open(place.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	cr_assert_eq(unix_listen(place.path, 0600), -EEXIST);
	cr_assert_eq(access(place.path, F_OK), 0, "somebody's file is gone");
	fd_close(&file);
	snprintf(text, sizeof(text), "%s/none/socket", place.directory);
	cr_assert_eq(unix_listen(text, 0600), -ENOENT);
	snprintf(text, sizeof(text), "%s/link", place.directory);
	cr_assert_eq(symlink("/tmp", text), 0);
	strcat(text, "/socket");
	cr_assert_eq(unix_listen(text, 0600), -ENOTDIR, "through a symbolic link");
	text[strlen(text) - strlen("/socket")] = '\0';
	unlink(text);
	cr_assert_eq(unix_listen("socket", 0600), -EINVAL);
	memset(text, 'x', sizeof(text) - 1);
	text[0] = '/';
	text[sizeof(text) - 1] = '\0';
	cr_assert_eq(unix_listen(text, 0600), -ENAMETOOLONG);
	place_remove(&place);
	cr_assert_eq(fd_count_now(), before);
}

/* Somebody else's process connects; needs root, which alone can be two users. */
Test(unix_socket, another_user_is_refused)
{
	struct place place;

	if (geteuid() != 0)
		cr_skip("needs root to be another user");
	place_make(&place);
	cr_assert_eq(chmod(place.directory, 0711), 0);
	int listen_fd = unix_listen(place.path, 0666);
	pid_t child = fork();

	if (!child) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		char byte;

		strcpy(address.sun_path, place.path);
		if (setresuid(65534, 65534, 65534) ||
		    connect(fd, (struct sockaddr *)&address, sizeof(address)))
			_exit(1);
		_exit(recv(fd, &byte, 1, 0) == 0 ? 0 : 2); /* closed on us, as it should be */
	}
	struct pollfd p = {.fd = listen_fd, .events = POLLIN};
	int status;

	cr_assert_eq(poll(&p, 1, 10000), 1);
	cr_assert_eq(unix_accept_same_user(listen_fd), -EPERM);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
	fd_close(&listen_fd);
	place_remove(&place);
}
