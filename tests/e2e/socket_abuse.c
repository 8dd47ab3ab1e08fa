/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A badly behaved client of a Unix socket, for the end-to-end tests: it does one
 * thing that no honest program does, and says on standard output how the other
 * side took it. Exit status 0 if it could do that thing, 1 if not. One thread;
 * nothing waits longer than WAIT_MS unless told so.
 *
 *	socket_abuse VERB PATH [NUMBER]     the verbs are in a table below
 *	socket_abuse serve-garbage - FD     the other way round: a badly behaved server
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_MS 15000
#define CONNECTIONS_MAX 256
#define FDS_MAX 200

static const char question[] = "{\"method\":\"org.varlink.service.GetInfo\"}"; /* NUL and all */

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		printf("cannot connect: %s\n", strerror(errno));
		exit(1);
	}
	return fd;
}

/* False: the other side has closed. */
static bool send_all(int fd, const void *bytes, size_t count)
{
	const char *next = bytes;

	while (count) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
		ssize_t sent = send(fd, next, count, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent > 0) {
			next += sent;
			count -= (size_t)sent;
		} else if (errno != EAGAIN) {
			return false;
		} else if (poll(&poll_fd, 1, WAIT_MS) != 1) {
			printf("nobody reads\n");
			exit(1);
		}
	}
	return true;
}

enum outcome { ANSWERED, CLOSED, SILENT };

/* One message, printed if `shown`; or the end of the connection, or nothing in time. */
static enum outcome receive(int fd, int wait_ms, bool shown)
{
	for (;;) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		char byte;

		if (poll(&poll_fd, 1, wait_ms) != 1)
			return SILENT;
		if (read(fd, &byte, 1) != 1)
			return CLOSED;
		if (byte == '\0') {
			if (shown)
				putchar('\n');
			return ANSWERED;
		}
		if (shown)
			putchar(byte);
	}
}

static int tell(enum outcome outcome)
{
	static const char *const names[] = {"answered", "closed", "silent"};

	puts(names[outcome]);
	return 0;
}

/* Standard input, ended by a NUL, as one message. */
static int verb_send(int fd, long number)
{
	char bytes[65536];
	size_t count = fread(bytes, 1, sizeof(bytes) - 1, stdin);

	(void)number;
	while (count && bytes[count - 1] == '\n')
		count--;
	bytes[count++] = '\0';
	return tell(send_all(fd, bytes, count) ? receive(fd, WAIT_MS, true) : CLOSED);
}

/* NUMBER random bytes. */
static int verb_garbage(int fd, long number)
{
	char bytes[4096];

	for (long sent = 0; sent < number; sent += (long)sizeof(bytes)) {
		if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
			return 1;
		if (!send_all(fd, bytes, sizeof(bytes)))
			return tell(CLOSED);
	}
	return tell(receive(fd, WAIT_MS, false));
}

/* A message of NUMBER bytes that never ends. */
static int verb_endless(int fd, long number)
{
	char bytes[4096];

	memset(bytes, 'a', sizeof(bytes));
	if (!send_all(fd, "{\"method\":\"", 11))
		return tell(CLOSED);
	for (long sent = 0; sent < number; sent += (long)sizeof(bytes))
		if (!send_all(fd, bytes, sizeof(bytes)))
			return tell(CLOSED);
	return tell(receive(fd, WAIT_MS, false));
}

/* Half a message, then the end of the connection. */
static int verb_half(int fd, long number)
{
	(void)number;
	return send_all(fd, question, sizeof(question) / 2) ? tell(SILENT) : tell(CLOSED);
}

/* Half a message, then nothing for NUMBER milliseconds. */
static int verb_stall(int fd, long number)
{
	if (!send_all(fd, question, sizeof(question) / 2))
		return tell(CLOSED);
	puts("stalling");
	fflush(stdout);
	return tell(receive(fd, (int)number, false));
}

/* A whole message, byte by byte. */
static int verb_drip(int fd, long number)
{
	(void)number;
	for (size_t i = 0; i < sizeof(question); i++) {
		if (!send_all(fd, question + i, 1))
			return tell(CLOSED);
		usleep(2000);
	}
	return tell(receive(fd, WAIT_MS, true));
}

/* Asks NUMBER times and never reads an answer. */
static int verb_deaf(int fd, long number)
{
	static const char status[] = "{\"method\":\"org.outrigger.Shim.GetStatus\"}";
	struct pollfd poll_fd = {.fd = fd};

	for (long i = 0; i < number; i++) {
		struct pollfd room = {.fd = fd, .events = POLLOUT};

		if (send(fd, status, sizeof(status), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
			continue;
		if (errno != EAGAIN)
			return tell(CLOSED);
		/* It is busy, or it reads no more: what it is to do with one who does not listen. */
		if (poll(&room, 1, WAIT_MS) != 1 || room.revents & POLLHUP)
			break;
	}
	poll(&poll_fd, 1, WAIT_MS);
	return tell(poll_fd.revents & (POLLHUP | POLLERR) ? CLOSED : SILENT);
}

/* A question with NUMBER descriptors that nobody asked for; are they closed? */
static int verb_fds(int fd, long number)
{
	int pipes[FDS_MAX][2], reading[FDS_MAX];
	char control[CMSG_SPACE(sizeof(reading))] = {0};
	struct iovec bytes = {(void *)question, sizeof(question)};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control};

	if (number < 1 || number > FDS_MAX)
		return 1;
	for (long i = 0; i < number; i++) {
		if (pipe(pipes[i]))
			return 1;
		reading[i] = pipes[i][0];
	}
	message.msg_controllen = CMSG_SPACE((size_t)number * sizeof(int));
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN((size_t)number * sizeof(int));
	memcpy(CMSG_DATA(header), reading, (size_t)number * sizeof(int));
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0) {
		printf("sendmsg: %s\n", strerror(errno));
		return 1;
	}
	tell(receive(fd, WAIT_MS, false));
	long kept = 0;
	for (long i = 0; i < number; i++) {
		close(pipes[i][0]); /* the last reader now, unless the other side kept its own */
		kept += write(pipes[i][1], "", 1) == 1;
	}
	printf("%ld descriptors kept\n", kept);
	return 0;
}

/* NUMBER connections at once, each with a question; held until all have been counted. */
static int verb_many(int first, long number)
{
	int fds[CONNECTIONS_MAX] = {first};
	struct sockaddr_un address;
	socklen_t address_bytes = sizeof(address);
	int counts[SILENT + 1] = {0};

	if (number < 1 || number > CONNECTIONS_MAX ||
	    getpeername(first, (struct sockaddr *)&address, &address_bytes))
		return 1;
	for (long i = 1; i < number; i++)
		fds[i] = connect_to(address.sun_path);
	for (long i = 0; i < number; i++)
		counts[send_all(fds[i], question, sizeof(question)) ? receive(fds[i], WAIT_MS, false)
								    : CLOSED]++;
	printf("%d answered, %d closed, %d silent\n", counts[ANSWERED], counts[CLOSED],
	       counts[SILENT]);
	return 0;
}

/* Says nothing for NUMBER milliseconds. */
static int verb_mute(int fd, long number)
{
	return tell(receive(fd, (int)number, false));
}

/* Instead of a service: garbage to whoever connects to the listening descriptor NUMBER. */
static int serve_garbage(int listen_fd)
{
	char bytes[4096];

	for (;;) {
		struct pollfd poll_fd = {.fd = listen_fd, .events = POLLIN};

		if (poll(&poll_fd, 1, 60000) != 1)
			return 1;
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 || getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
			continue;
		bytes[0] = '\0'; /* a message, and not a good one */
		send_all(fd, bytes, sizeof(bytes));
	}
}

static const struct {
	const char *name;
	int (*run)(int fd, long number);
} verbs[] = {
	{"send", verb_send},   {"garbage", verb_garbage}, {"endless", verb_endless},
	{"half", verb_half},   {"stall", verb_stall},	  {"drip", verb_drip},
	{"deaf", verb_deaf},   {"fds", verb_fds},	  {"many", verb_many},
	{"mute", verb_mute},
};

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 4 && strcmp(argv[1], "serve-garbage") == 0)
		return serve_garbage((int)strtol(argv[3], NULL, 10));
	for (size_t i = 0; argc >= 3 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(connect_to(argv[2]),
					    argc > 3 ? strtol(argv[3], NULL, 10) : 0);
	fprintf(stderr, "usage: socket_abuse VERB PATH [NUMBER]\n");
	return 2;
}
