/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outrigger-keeper: its store, and its methods as the shim calls them. The keeper
 * under test is a forked child, because a user namespace wants a process with one
 * thread. Works as root and as anyone; where the machine forbids user namespaces,
 * the tests that need one are skipped by name.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../hv-shim/keeper/keeper.h"
#include "clock.h"

#define ERROR(name) "org.outrigger.Keeper." name
#define PATIENCE_NS (10 * NS_PER_S)

/* ---- The store ----------------------------------------------------------- */

static int memory_fd(void)
{
	int fd = memfd_create("kept", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

Test(store, replaces_and_removes)
{
	struct store store = {0};
	int first = memory_fd(), second[2] = {memory_fd(), memory_fd()};

	cr_expect_eq(store_put(&store, "bells", &first, 1), 0);
	cr_expect_eq(store_find(&store, "bells")->fd_count, 1);
	cr_expect_eq(store_put(&store, "bells", second, 2), 0);
	cr_expect_not(is_open(first), "what is replaced is closed");
	cr_expect_eq(store.count, 1);
	cr_expect_eq(store.fd_count, 2);
	cr_expect_eq(store_remove(&store, "bell"), -ENOENT);
	cr_expect_eq(store_remove(&store, "bells"), 0);
	cr_expect_not(is_open(second[0]) || is_open(second[1]));
	cr_expect_null(store_find(&store, "bells"));
	cr_expect_eq(store.fd_count, 0);
}

Test(store, is_bounded)
{
	struct store store = {0};
	char name[16];
	int fd = -1; /* closing -1 does nothing: no need for real ones */
	int many[VARLINK_FDS_MAX + 1];

	memset(many, 0xff, sizeof(many));
	for (unsigned i = 0; i < KEEPER_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		cr_assert_eq(store_put(&store, name, &fd, 1), 0);
	}
	cr_expect_eq(store_put(&store, "more", &fd, 1), -ENOSPC);
	cr_expect_eq(store_put(&store, "n7", &fd, 1), 0, "replacing needs no new room");
	cr_expect_eq(store_put(&store, "n7", many, VARLINK_FDS_MAX + 1), -ENOSPC);
	for (unsigned i = 0; store.fd_count + VARLINK_FDS_MAX - 1 <= KEEPER_FDS_MAX; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		cr_assert_eq(store_put(&store, name, many, VARLINK_FDS_MAX), 0);
	}
	cr_expect_eq(store_put(&store, "n200", many, VARLINK_FDS_MAX), -ENOSPC);
	for (unsigned i = 0; i < KEEPER_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		cr_assert_eq(store_remove(&store, name), 0);
	}
}

Test(store, names)
{
	char longest[KEEPER_NAME_MAX + 2];

	memset(longest, 'n', sizeof(longest));
	longest[KEEPER_NAME_MAX + 1] = 0;
	cr_expect_not(store_name_valid(longest));
	longest[KEEPER_NAME_MAX] = 0;
	cr_expect(store_name_valid(longest));
	cr_expect(store_name_valid("net0.bell-1"));
	cr_expect_not(store_name_valid(""));
	cr_expect_not(store_name_valid("a b"));
	cr_expect_not(store_name_valid("a\n"));
	cr_expect_not(store_name_valid("\xc3\xa4"));
}

/* ---- A keeper in a child process ------------------------------------------ */

static struct varlink_conn *conn;
static pid_t keeper_pid;

static _Noreturn void keep(int fd)
{
	struct keeper keeper = {.namespace = {.user_fd = -1, .net_fd = -1}};
	const struct varlink_service service = keeper_service(&keeper);
	struct varlink_conn *served;
	struct varlink_server *server;

	if (varlink_conn_new(fd, &served) || varlink_server_new(&service, served, &server))
		_exit(3);
	while (!keeper.stopping) {
		struct pollfd wait = {.fd = fd, .events = varlink_conn_events(served)};
		if (poll(&wait, 1, 2 * PATIENCE_NS / NS_PER_MS) != 1)
			_exit(4);
		if (varlink_conn_flush(served) < 0 || varlink_conn_read(served) < 0 ||
		    varlink_server_process(server))
			_exit(5);
	}
	_exit(0);
}

/* From here on unshare() fails with EPERM, as where the machine forbids it. */
static bool forbid_unshare(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void start_keeper(bool may_unshare)
{
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	keeper_pid = fork();
	cr_assert_geq(keeper_pid, 0);
	if (keeper_pid == 0) {
		close(pair[0]);
		if (!may_unshare && !forbid_unshare())
			_exit(6);
		keep(pair[1]);
	}
	close(pair[1]);
	cr_assert_eq(varlink_conn_new(pair[0], &conn), 0);
}

static void start(void)
{
	start_keeper(true);
}

static void stop(void)
{
	varlink_conn_free(conn);
	waitpid(keeper_pid, NULL, 0); /* it ends with its connection */
}

TestSuite(keeper, .init = start, .fini = stop);

/* Calls; the answer's error must be this (NULL: none). `parameters` is stolen. */
static struct varlink_answer call(const char *method, json_t *parameters, const int *fds,
				  unsigned fd_count, const char *error)
{
	struct varlink_answer answer;
	char name[64];

	snprintf(name, sizeof(name), ERROR("%s"), method);
	cr_assert_eq(varlink_call_method(conn, name, parameters, fds, fd_count,
					 clock_now_ns() + PATIENCE_NS, &answer), 0);
	const char *message = json_string_value(json_object_get(answer.parameters, "message"));
	if (error)
		cr_assert(answer.error && !strcmp(answer.error, error), "%s said %s: %s", method,
			  answer.error, message);
	else
		cr_assert_null(answer.error, "%s said %s: %s", method, answer.error, message);
	return answer;
}

static void expect_error(const char *method, json_t *parameters, const char *error,
			 const char *words)
{
	struct varlink_answer answer = call(method, parameters, NULL, 0, error);
	const char *message = json_string_value(json_object_get(answer.parameters, "message"));

	if (words)
		cr_expect(message && strstr(message, words), "said '%s'", message);
	varlink_answer_clear(&answer);
}

static json_t *named(const char *name)
{
	return json_pack("{s:s}", "name", name);
}

static json_t *tap(const char *name, const char *ifname, const char *mac, int mtu,
		   const char *address)
{
	return json_pack("{s:s,s:s,s:s,s:i,s:[s]}", "name", name, "ifname", ifname, "mac", mac,
			 "mtu", mtu, "addresses", address);
}

static ino_t inode(int fd)
{
	struct stat status;

	cr_assert_eq(fstat(fd, &status), 0);
	return status.st_ino;
}

Test(keeper, stores_and_fetches)
{
	int fds[2] = {memory_fd(), memory_fd()};
	struct varlink_answer answer = call("Store", named("pair"), fds, 2, NULL);

	varlink_answer_clear(&answer);
	answer = call("Fetch", named("pair"), NULL, 0, NULL);
	cr_assert_eq(answer.fd_count, 2);
	cr_expect_eq(inode(answer.fds[0]), inode(fds[0]));
	cr_expect_eq(inode(answer.fds[1]), inode(fds[1]));
	varlink_answer_clear(&answer);
	answer = call("List", NULL, NULL, 0, NULL);
	const json_t *names = json_object_get(answer.parameters, "names");
	cr_expect_eq(json_array_size(names), 1);
	cr_expect_str_eq(json_string_value(json_array_get(names, 0)), "pair");
	varlink_answer_clear(&answer);
	answer = call("Remove", named("pair"), NULL, 0, NULL);
	varlink_answer_clear(&answer);
	expect_error("Remove", named("pair"), ERROR("NotFound"), "'pair'");
	expect_error("Fetch", named("pair"), ERROR("NotFound"), "'pair'");
}

static json_t *settled(int fd, int skip_bytes, const char *answer)
{
	return json_pack("{s:s,s:{s:i,s:i,s:s}}", "name", "session", "settle", "fd", fd, "skip_bytes",
			 skip_bytes, "answer", answer);
}

Test(keeper, T07_stores_and_settles)
{
	static const char invalid[] = "org.varlink.service.InvalidParameter";
	int ends[2], fds[2] = {memory_fd(), -1};
	char text[16] = "";

	cr_assert_not(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	fds[1] = ends[1];
	cr_assert_eq(write(ends[0], "message", 7), 7);
	struct varlink_answer answer = call("Store", settled(1, 5, "6f6b"), fds, 2, NULL);
	cr_expect(json_is_true(json_object_get(answer.parameters, "settled")));
	varlink_answer_clear(&answer);
	cr_expect_eq(recv(ends[0], text, sizeof(text), MSG_DONTWAIT), 2);
	cr_expect_str_eq(text, "ok");
	cr_expect_eq(recv(ends[1], text, sizeof(text), MSG_DONTWAIT), 2, "what came after it");
	cr_expect_not(memcmp(text, "ge", 2));
	answer = call("Store", named("session"), fds, 2, NULL);
	cr_expect(json_is_false(json_object_get(answer.parameters, "settled")));
	varlink_answer_clear(&answer);
	/* Fewer bytes than were said: nobody is answered, the connection ends. */
	answer = call("Store", settled(1, 1, "6f6b"), fds, 2, NULL);
	varlink_answer_clear(&answer);
	cr_expect_eq(recv(ends[0], text, sizeof(text), MSG_DONTWAIT), 0);
	expect_error("Store", settled(0, 1, ""), invalid, NULL); /* no descriptor came along */
	expect_error("Store", settled(-1, 1, ""), invalid, NULL);
	expect_error("Store", settled(0, 1, "6"), invalid, NULL);
	expect_error("Store", settled(0, 1, "xy"), invalid, NULL);
	static const struct {
		int fd, skip_bytes;
		const char *answer;
	} wrong[] = {{2, 1, "6f"}, {-1, 1, "6f"}, {1, -1, "6f"}, {1, 65536, "6f"}, {1, 1, "6"}, {1, 1, "6F"},
		     {1, 1, "6f "}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		answer = call("Store", settled(wrong[i].fd, wrong[i].skip_bytes, wrong[i].answer), fds, 2,
			      invalid);
		varlink_answer_clear(&answer);
	}
	char longest[2 * 64 + 3];
	memset(longest, '6', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	answer = call("Store", settled(1, 1, longest), fds, 2, invalid);
	varlink_answer_clear(&answer);
	answer = call("Store", json_pack("{s:s,s:[]}", "name", "session", "settle"), fds, 2, invalid);
	varlink_answer_clear(&answer);
	/* Nothing to skip and nothing to say: kept as any other. */
	answer = call("Store", settled(0, 0, ""), fds, 2, NULL);
	cr_expect(json_is_true(json_object_get(answer.parameters, "settled")));
	varlink_answer_clear(&answer);
	close(ends[0]);
	close(ends[1]);
	close(fds[0]);
}

Test(keeper, bad_parameters)
{
	static const char invalid[] = "org.varlink.service.InvalidParameter";
	static const char mac[] = "02:00:00:00:00:01";

	expect_error("Fetch", NULL, invalid, NULL);
	expect_error("Fetch", json_pack("{s:i}", "name", 3), invalid, NULL);
	expect_error("Fetch", named("a b"), invalid, NULL);
	expect_error("Store", named("empty"), ERROR("SystemError"), "no descriptor");
	expect_error("CreateTap", named("net0"), invalid, NULL);
	expect_error("CreateTap", tap("net0", "net0", mac, -1, "10.0.0.1/24"), invalid, NULL);
	expect_error("CreateTap", tap("net0", "net0", mac, 65536, "10.0.0.1/24"), invalid, NULL);
	expect_error("CreateTap", json_pack("{s:s,s:s,s:s,s:i,s:[i]}", "name", "net0", "ifname", "net0",
					    "mac", mac, "mtu", 1500, "addresses", 7), invalid, NULL);
	expect_error("GetNamespaces", NULL, ERROR("NoNamespace"), "no network namespace");
	expect_error("Store", NULL, invalid, NULL);
	expect_error("Remove", NULL, invalid, NULL);
	expect_error("CreateTap", json_pack("{s:s,s:s,s:i,s:[]}", "name", "net0", "ifname", "net0", "mtu",
					    1500, "addresses"), invalid, NULL);
	/* Without a name that it is kept by; with more addresses than there is room for. */
	expect_error("CreateTap", json_pack("{s:s,s:s,s:i,s:[]}", "ifname", "net0", "mac", mac, "mtu", 1500,
					    "addresses"), invalid, NULL);
	json_t *many = json_array();
	for (unsigned i = 0; i <= KEEPER_ADDRESSES_MAX; i++)
		json_array_append_new(many, json_string("10.0.0.1/24"));
	expect_error("CreateTap", json_pack("{s:s,s:s,s:s,s:i,s:o}", "name", "net0", "ifname", "net0", "mac",
					    mac, "mtu", 1500, "addresses", many), invalid, NULL);
	expect_error("SetUpInterface", NULL, invalid, NULL);
	expect_error("SetUpInterface", json_pack("{s:s,s:i,s:s}", "ifname", "net0", "mtu", 1500, "addresses",
						 "10.0.0.1/24"), invalid, NULL);
}

Test(keeper, is_full_one_day)
{
	char name[16];
	int fd = memory_fd();

	for (unsigned i = 0; i < KEEPER_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		struct varlink_answer answer = call("Store", named(name), &fd, 1, NULL);
		varlink_answer_clear(&answer);
	}
	struct varlink_answer answer = call("Store", named("more"), &fd, 1, ERROR("SystemError"));
	varlink_answer_clear(&answer);
	expect_error("CreateTap", tap("more", "net0", "02:00:00:00:00:01", 1500, "10.9.0.1/24"),
		     ERROR("SystemError"), "at most");
	answer = call("Remove", named("n0"), NULL, 0, NULL);
	varlink_answer_clear(&answer);
	answer = call("Store", named("more"), &fd, 1, NULL);
	varlink_answer_clear(&answer);
	close(fd);
}

/* A first interface; false, and the test is marked skipped, where that is forbidden. */
static bool first_tap(json_t *parameters)
{
	struct varlink_answer answer;

	cr_assert_eq(varlink_call_method(conn, ERROR("CreateTap"), parameters, NULL, 0,
					 clock_now_ns() + PATIENCE_NS, &answer), 0);
	const char *message = json_string_value(json_object_get(answer.parameters, "message"));
	bool made = !answer.error;
	if (!made) {
		bool forbidden = strstr(message, "without privileges") || strstr(message, "/dev/net/tun");
		cr_assert(forbidden, "%s: %s", answer.error, message);
		varlink_answer_clear(&answer);
		cr_skip_test("this machine forbids namespaces or TAP devices to this user");
	}
	cr_expect_eq(answer.fd_count, 1);
	cr_expect(fcntl(answer.fds[0], F_GETFL) & O_NONBLOCK);
	varlink_answer_clear(&answer);
	return made;
}

/* Runs `look` in the keeper's namespace, in a process of its own: its exit status. */
static int look_inside(int (*look)(void))
{
	struct varlink_answer answer = call("GetNamespaces", NULL, NULL, 0, NULL);
	bool user = json_is_true(json_object_get(answer.parameters, "user"));
	int status = -1;

	cr_assert_eq(answer.fd_count, user ? 2 : 1);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		for (unsigned i = 0; i < answer.fd_count; i++) {
			if (setns(answer.fds[i], 0))
				_exit(100);
		}
		_exit(look());
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	varlink_answer_clear(&answer);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* One bit for each thing that is as it should be. */
static int look_at_net0(void)
{
	struct ifaddrs *all;
	int found = 0;

	if (getifaddrs(&all))
		return 101;
	for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
		if (!strcmp(a->ifa_name, "lo") && (a->ifa_flags & IFF_UP))
			found |= 1;
		if (strcmp(a->ifa_name, "net0") || !a->ifa_addr)
			continue;
		if (a->ifa_addr->sa_family == AF_PACKET && (a->ifa_flags & IFF_UP) &&
		    !memcmp(((struct sockaddr_ll *)a->ifa_addr)->sll_addr, "\2\0\0\0\0\1", 6))
			found |= 2;
		if (a->ifa_addr->sa_family == AF_INET)
			found |= 4;
		if (a->ifa_addr->sa_family == AF_INET6 &&
		    ((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr.s6_addr[0] == 0xfd)
			found |= 8;
	}
	freeifaddrs(all);
	return found;
}

static int look_for_net1(void)
{
	return if_nametoindex("net1") ? 1 : 0;
}

Test(keeper, makes_a_tap_interface)
{
	if (!first_tap(json_pack("{s:s,s:s,s:s,s:i,s:[s,s]}", "name", "net0", "ifname", "net0", "mac",
				 "02:00:00:00:00:01", "mtu", 1400, "addresses", "10.9.0.1/24",
				 "fd00::1/64")))
		return;
	cr_expect_eq(look_inside(look_at_net0), 1 | 2 | 4 | 8);
	struct varlink_answer answer = call("Fetch", named("net0"), NULL, 0, NULL);
	cr_expect_eq(answer.fd_count, 1);
	varlink_answer_clear(&answer);
	/* The last copies of the descriptor take the interface along. */
	answer = call("Remove", named("net0"), NULL, 0, NULL);
	varlink_answer_clear(&answer);
	cr_expect_eq(look_inside(look_at_net0), 1);
}

Test(keeper, failed_interface_leaves_nothing)
{
	static const char mac[] = "02:00:00:00:00:02", address[] = "10.9.0.2/24";

	if (!first_tap(tap("net0", "net0", "02:00:00:00:00:01", 1500, "10.9.0.1/24")))
		return;
	expect_error("CreateTap", tap("net0", "net1", mac, 1500, address), ERROR("Exists"), "net0");
	expect_error("CreateTap", tap("net1", "net0", mac, 1500, address), ERROR("Exists"), "net0");
	expect_error("CreateTap", tap("net1", "lo", mac, 1500, address), ERROR("Exists"), "lo");
	static const char *const names[] = {"", ".", "..", "a/b", "a:b", "net%d", "sixteen-letters-", "a b"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		expect_error("CreateTap", tap("net1", names[i], mac, 1500, address),
			     ERROR("SystemError"), "not an interface name");
	static const char *const macs[] = {"", "02:00:00:00:00", "03:00:00:00:00:01", "10.0.0.1",
					   "ff:ff:ff:ff:ff:ff"};
	for (size_t i = 0; i < sizeof(macs) / sizeof(macs[0]); i++)
		expect_error("CreateTap", tap("net1", "net1", macs[i], 1500, address),
			     ERROR("SystemError"), "MAC address");
	static const char *const addresses[] = {"", "default", "any", "10.9.0.2/33", "10.9.0", "nonsense",
						"02:00:00:00:00:01"};
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		expect_error("CreateTap", tap("net1", "net1", mac, 1500, addresses[i]),
			     ERROR("SystemError"), NULL);
	expect_error("CreateTap", tap("net1", "net1", mac, 67, address), ERROR("SystemError"), "MTU");
	expect_error("CreateTap", tap("net1", "net1", mac, 65535, address), ERROR("SystemError"), "MTU");
	cr_expect_eq(look_inside(look_for_net1), 0);
}

Test(forbidden, namespace_says_what_to_do, .fini = stop)
{
	start_keeper(false);
	expect_error("CreateTap", tap("net0", "net0", "02:00:00:00:00:01", 1500, "10.9.0.1/24"),
		     ERROR("SystemError"), "kernel.unprivileged_userns_clone");
	expect_error("MakeNamespace", NULL, ERROR("SystemError"), "kernel.unprivileged_userns_clone");
	expect_error("SetUpInterface", json_pack("{s:s,s:i,s:[]}", "ifname", "net0", "mtu", 1500, "addresses"),
		     ERROR("SystemError"), "kernel.unprivileged_userns_clone");
	expect_error("GetNamespaces", NULL, ERROR("NoNamespace"), NULL);
}

Test(keeper, stop_ends_it)
{
	struct varlink_answer answer = call("Stop", NULL, NULL, 0, NULL);
	int status = -1;

	varlink_answer_clear(&answer);
	cr_expect_eq(waitpid(keeper_pid, &status, 0), keeper_pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
