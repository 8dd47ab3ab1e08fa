/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session keeper when an allocation or a system call fails, each of them in
 * turn through a guest's whole stay: nothing is left behind, and the next guest
 * and the next back-end are served. And what only a wrong peer brings about:
 * answers that fit no question, users who may not connect.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../fault.h"
#include "../../../hv-shim/vhost/vhost_proxy.h"
#include "clock.h"
#include "fd_discard.h"
#include "harness.h"
#include "unix_socket.h"

TestSuite(vhost_faults, .init = set_up, .fini = tear_down, .timeout = 120);

/* Of the session's own calls; the harness holds faults while the test's code runs. */
static int back_end_named(const char *path)
{
	fault_hold(false);
	int result = vhost_session_back_end(session, path);

	fault_hold(true);
	return result;
}

static void back_end_ended(void)
{
	fault_hold(false);
	vhost_session_back_end_gone(session);
	fault_hold(true);
}

/* Turns until `*count` is `wanted`, or the back-end is lost, which is told later. */
static bool turn_to(const unsigned *count, unsigned wanted)
{
	for (unsigned ms = 0; ms < 1000; ms++)
		if (turn(1, count, wanted))
			return true;
		else if (session->problem[0])
			return false;
	return false;
}

/* A guest comes, its back-end dies, another takes over, it leaves; or all ends early. */
static void stay(void)
{
	struct vhost_message message;
	bool well = !back_end_named(back_end_path) && turn_to(&ready, 1) && !*problem;
	int guest = well ? guest_connect() : -1;

	for (unsigned i = 0; well && guest_script(memory, i, &message); i++)
		well = guest_says(guest, message);
	if (well) {
		fd_close(&back_end.fd);
		well = turn(300, &lost, 1);
	}
	back_end_ended();
	if (well && !back_end_named(back_end_path))
		turn_to(&ready, 2);
	if (guest >= 0)
		close(guest);
	turn(5, NULL, 0);
}

Test(vhost_faults, a_stay_in_which_anything_fails_leaves_nothing)
{
	stay(); /* the loop has all the descriptors that it will ever want */
	vhost_session_free(session, true);
	session = NULL;
	vhost_session_free(session, true); /* and of nothing, nothing */
	vhost_reader_close(&back_end.reader);
	fd_close(&back_end.fd);
	const unsigned before = open_fds();

	for (unsigned n = 1; fault_round(n); n++) {
		guest_gives_up = true;
		ready = lost = 0;
		problem[0] = '\0';
		fault_hold(true);
		fault_start(n, ENOMEM);
		int result = session_new();

		if (result)
			cr_assert_eq(result, -ENOMEM);
		else
			stay();
		cr_assert(fault_end() || (ready == 2 && lost == 1), "of %u calls none failed", n - 1);
		/* Whatever it was, it is over now. */
		if (!result) {
			guest_gives_up = false;
			vhost_session_back_end_gone(session);
			back_end_comes();
			close(guest_runs());
			vhost_session_free(session, true);
			session = NULL;
		}
		vhost_reader_close(&back_end.reader);
		fd_close(&back_end.fd);
		cr_assert_eq(open_fds(), before, "call %u", n);
	}
}

Test(vhost_faults, names_too_long_for_a_socket)
{
	char path[VHOST_PATH_BYTES + 1];
	struct vhost_session *none;

	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	cr_expect_eq(vhost_session_new(event, "x", path, NULL, NULL, &none), -ENAMETOOLONG);
	cr_expect_eq(vhost_session_back_end(session, path), -ENAMETOOLONG);
}

/* ---- The shim's own restart -------------------------------------------------- */

Test(vhost_faults, a_session_is_saved_and_taken_up_or_not)
{
	int fds[VHOST_SAVE_FDS], kept[VHOST_SAVE_FDS], count = 0;

	back_end_comes();
	int guest = guest_runs();

	for (unsigned n = 1; fault_round(n); n++) {
		fault_hold(false);
		fault_start(n, ENOSPC);
		count = vhost_session_save(session, fds);
		cr_assert(fault_end() ? count == -ENOSPC : count > 2);
	}
	for (int i = 0; i < count; i++)
		kept[i] = dup(fds[i]);
	close(fds[0]);
	cr_expect_eq(vhost_session_restore(session, kept, (unsigned)count), -EINVAL, "it has a guest");
	vhost_session_free(session, false);
	for (unsigned n = 1; fault_round(n); n++) {
		session_make();
		for (int i = 0; i < count; i++)
			fds[i] = dup(kept[i]);
		cr_expect_eq(vhost_session_restore(session, fds, 1), -EINVAL, "too few");
		cr_expect_eq(vhost_session_restore(session, fds, (unsigned)count - 1), -EINVAL);
		fault_hold(false);
		fault_start(n, ENOMEM);
		int result = vhost_session_restore(session, fds, (unsigned)count);
		bool failed = fault_end();

		/* Without a watch on the back-end it counts as gone. */
		cr_expect(failed || !result);
		cr_expect(!result || result == -ENOMEM || result == -EINVAL);
		for (int i = 0; i < count; i++)
			fd_close(&fds[i]);
		vhost_session_free(session, false);
	}
	for (int i = 0; i < count; i++)
		close(kept[i]);
	close(guest);
	session_make();
}

/* As saved, but for the octet at `at`; or cut to `bytes`. */
static int altered(int file, off_t at, size_t bytes)
{
	static uint8_t saved[65536];
	ssize_t size = pread(file, saved, sizeof(saved), 0);
	int copy = memfd_create("saved", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(size > 16 && copy >= 0);
	if (at >= 0)
		saved[at] ^= 1;
	if (!bytes)
		bytes = (size_t)size;
	cr_assert_eq(write(copy, saved, bytes), (ssize_t)bytes);
	cr_assert_not(fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
	return copy;
}

Test(vhost_faults, only_this_version_of_what_was_saved_is_taken_up)
{
	int fds[VHOST_SAVE_FDS];

	back_end_comes();
	int guest = guest_runs(), count = vhost_session_save(session, fds), kept[VHOST_SAVE_FDS];

	cr_assert_gt(count, 2);
	for (int i = 0; i < count; i++)
		kept[i] = dup(fds[i]);
	close(fds[0]);
	vhost_session_free(session, false);
	session_make();
	/* Magic, version and size are the first three words. */
	const struct {
		off_t at;
		size_t bytes;
	} rows[] = {{0, 0}, {4, 0}, {8, 0}, {-1, 12}};

	for (unsigned i = 0; i < 4; i++) {
		int file = kept[0];

		kept[0] = altered(file, rows[i].at, rows[i].bytes);
		cr_expect_eq(vhost_session_restore(session, kept, (unsigned)count), -EINVAL, "row %u", i);
		close(kept[0]);
		kept[0] = file;
	}
	/* A guest that has hung up meanwhile, and a back-end that has. */
	shutdown(back_end.fd, SHUT_RDWR);
	cr_expect_not(vhost_session_restore(session, kept, (unsigned)count));
	for (int i = 0; i < count; i++)
		fd_close(&kept[i]);
	close(guest);
}

Test(vhost_faults, a_guest_without_an_adjunct_is_saved_and_taken_up)
{
	int fds[VHOST_SAVE_FDS], kept[VHOST_SAVE_FDS];

	back_end_comes();
	cr_expect_eq(vhost_session_restore(session, fds, 2), -EINVAL, "it has an adjunct");
	int guest = guest_runs();

	vhost_session_back_end_gone(session);
	int count = vhost_session_save(session, fds);

	cr_assert_gt(count, 2);
	for (int i = 0; i < count; i++)
		kept[i] = dup(fds[i]);
	close(fds[0]);
	/* While the next adjunct is being told, there is nothing to be saved. */
	cr_assert_not(vhost_session_back_end(session, back_end_path));
	cr_expect_eq(vhost_session_save(session, fds), -EAGAIN);
	vhost_session_free(session, false);
	session_make();
	cr_assert_not(vhost_session_restore(session, kept, (unsigned)count));
	for (int i = 0; i < count; i++)
		fd_close(&kept[i]);
	back_end_comes();
	cr_expect_not_null(told(VHOST_SET_VRING_KICK, 1));
	cr_expect(guest_says(guest, message_number(VHOST_SET_STATUS, 7)));
	close(guest);
}

/* ---- Who may connect ----------------------------------------------------------- */

Test(vhost_faults, T04_only_the_owner_may_connect)
{
	back_end_comes();
	cr_assert_not(vhost_session_own(session, geteuid() ? geteuid() : 77));
	const uid_t owner = geteuid() ? geteuid() : 77;
	const struct {
		uid_t peer, euid;
		bool taken;
	} rows[] = {
		{owner, 1234, true}, {1234, 1234, true}, {0, 1234, true}, {4321, 1234, false},
	};

	for (unsigned i = 0; i < 4; i++) {
		fault_peer(rows[i].peer);
		fault_euid(rows[i].euid);
		int guest = guest_connect();

		cr_expect_eq(has_ended(guest), !rows[i].taken, "row %u", i);
		close(guest);
		turn(20, NULL, 0);
	}
	fault_peer((uid_t)-1);
	fault_euid((uid_t)-1);
	fault_hold(false);
	fault_in("lchown", EPERM);
	cr_expect_eq(vhost_session_own(session, owner), -EPERM);
	fault_end();
}

Test(vhost_faults, a_connection_that_cannot_be_taken_is_turned_away)
{
	static const struct {
		const char *call;
		int error;
		bool ended;
	} rows[] = {
		{"getsockopt", EIO, true},	     {"sd_event_add_io", ENOMEM, true},
		{"sd_event_source_set_priority", ENOMEM, true},
		/* It waits, and is taken at the next turn. */
		{"accept4", EMFILE, false},	     {"accept4", EAGAIN, false},
		{"accept4", EINTR, false},	     {"accept4", ECONNABORTED, false},
	};

	back_end_comes();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fault_in(rows[i].call, rows[i].error);
		int guest = guest_connect();

		cr_expect_eq(has_ended(guest), rows[i].ended, "row %u", i);
		cr_expect(fault_end(), "row %u", i);
		close(guest);
		turn(20, NULL, 0);
	}
	cr_expect_eq(lost, 0u);
}

/* A thread each closes them, and none comes to its end. */
Test(vhost_faults, T04_too_many_descriptors_still_being_closed)
{
	enum { MANY = 40 };
	int ends[MANY][2];

	back_end_comes();
	for (unsigned i = 0; i < MANY; i++)
		cr_assert_not(pipe(ends[i]));
	fault_threads_wait(true);
	for (unsigned i = 0; i < MANY; i++)
		fd_discard(ends[i][0]);
	int guest = guest_connect();

	cr_expect(has_ended(guest));
	fault_threads_wait(false);
	close(guest);
	while (fd_discard_pending()) /* the suite has a deadline */
		usleep(1000);
	guest = guest_connect();
	cr_expect_not(has_ended(guest));
	close(guest);
	for (unsigned i = 0; i < MANY; i++)
		close(ends[i][1]);
}

/* ---- Peers that break off, or do not fit ------------------------------------------- */

Test(vhost_faults, a_guest_that_goes_while_it_is_answered)
{
	static const struct {
		const char *call;
		int error;
	} rows[] = {{"send", EPIPE},	      {"send", ECONNRESET}, {"send", ENOBUFS}, {"send", EAGAIN},
		    {"send, most of it", 0},
		    {"recvmsg", ECONNRESET}, {"recvmsg", EPIPE},   {"recvmsg", EIO}};

	back_end_comes();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int guest = guest_connect();

		turn(10, NULL, 0);
		fault_in(rows[i].call, rows[i].error);
		/* Answered by the session itself, so no back-end's call is in between. */
		struct vhost_message answer;
		bool answered = guest_asks(guest, message_plain(VHOST_GET_FEATURES), &answer);

		cr_expect(fault_end(), "row %u", i);
		cr_expect_not(answered);
		cr_expect(has_ended(guest), "row %u", i);
		close(guest);
		turn(20, NULL, 0);
	}
}

Test(vhost_faults, calls_that_are_interrupted_are_made_again)
{
	const struct vhost_message message = message_plain(VHOST_SET_OWNER);
	struct vhost_message answer;
	int ends[2];

	back_end_comes();
	int guest = guest_connect();

	turn(10, NULL, 0);
	fault_in("recvmsg", EINTR);
	cr_expect(guest_asks(guest, message_plain(VHOST_GET_FEATURES), &answer));
	cr_expect(fault_end());
	close(guest);
	turn(20, NULL, 0);
	guest = guest_runs();
	fault_hold(false);
	fault_in("pread", EINTR);
	vhost_session_back_end_gone(session);
	back_end_comes();
	cr_expect(fault_end());
	close(guest);
	cr_assert_not(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	fault_hold(false);
	fault_in("sendmsg", EINTR);
	cr_expect_eq(vhost_write(ends[0], &message), 0);
	cr_expect(fault_end());
	struct vhost_reader reader = {0};

	fault_in("recvmsg", EINTR);
	cr_expect_eq(vhost_read(ends[1], &reader), 1);
	cr_expect(fault_end());
	fault_in("sendmsg, most of it", 0);
	cr_expect_eq(vhost_write(ends[0], &message), -EAGAIN, "in pieces there is no message");
	cr_expect(fault_end());
	close(ends[0]);
	close(ends[1]);
}

Test(vhost_faults, a_guest_that_wants_no_acknowledgements_and_talks_in_pieces)
{
	struct vhost_message message, answer;

	back_end_comes();
	vhost_guest_end(session, "nobody is there");
	int guest = guest_connect();

	for (unsigned i = 0; guest_script(memory, i, &message); i++) {
		/* Where a ring begins it does not say: at 0. */
		bool base = message.header.request == VHOST_SET_VRING_BASE;

		cr_assert(base || !vhost_write(guest, &message));
		for (unsigned f = 0; f < message.fd_count; f++)
			close(message.fds[f]);
	}
	message = message_plain(VHOST_GET_FEATURES);
	cr_assert_eq(send(guest, &message, 5, MSG_NOSIGNAL), 5);
	turn(20, NULL, 0);
	cr_assert_eq(send(guest, (char *)&message + 5, 7, MSG_NOSIGNAL), 7);
	cr_assert(guest_asks(guest, message_plain(VHOST_GET_FEATURES), &answer));
	vhost_session_back_end_gone(session);
	back_end_comes();
	cr_assert_not_null(told(VHOST_SET_VRING_BASE, 0));
	cr_expect_eq(told(VHOST_SET_VRING_BASE, 0)->payload.ring.number, 0u);
	close(guest);
}

/* ---- What a message has come to, when nobody knows whether it was done ------------- */

/* A guest's question, and what is due for it; the keeper is away. */
static int guest_waits(struct vhost_due *due)
{
	const struct vhost_message question = message_plain(VHOST_GET_FEATURES);
	int guest = guest_connect();

	turn(20, NULL, 0);
	keeper_away = true;
	cr_assert_not(vhost_write(guest, &question));
	turn(20, NULL, 0);
	cr_assert(vhost_session_due(session, due));
	cr_expect_not(vhost_session_due(session, due), "once for each");
	return guest;
}

static bool is_answered(int guest)
{
	struct vhost_reader reader = {0};

	turn(20, NULL, 0);
	return vhost_read(guest, &reader) == 1;
}

Test(vhost_faults, T07_what_a_keeper_that_is_gone_had_done)
{
	/* Taken off the socket by it; more behind it; unknown how long; it may yet be done. */
	static const struct {
		bool taken, more, nothing, ended, stays;
	} rows[] = {
		{.ended = true, .stays = true}, {.taken = true, .ended = true, .stays = true},
		{.more = true, .ended = true},	{.nothing = true, .ended = true},
		{.stays = false},
	};
	const struct vhost_message more = message_plain(VHOST_GET_FEATURES);

	back_end_comes();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vhost_due due;
		int guest = guest_waits(&due);
		struct vhost_due another = due;

		another.serial++;
		vhost_session_done(session, &another, NULL);
		vhost_session_undecided(session, &another, true);
		cr_expect_not(is_answered(guest), "that was about another message");
		if (rows[i].taken) /* and the answer was sent, let us say */
			cr_assert_not(socket_skip(session->guest, due.skip_bytes));
		if (rows[i].more)
			cr_assert_not(vhost_write(guest, &more));
		if (rows[i].nothing)
			due.skip_bytes = 0;
		vhost_session_undecided(session, &due, rows[i].ended);
		vhost_session_done(session, &due, "it is too late");
		cr_expect_eq(is_answered(guest), rows[i].stays && !rows[i].taken, "row %u", i);
		cr_expect_eq(has_ended(guest), !rows[i].stays, "row %u", i);
		keeper_away = false;
		close(guest);
		turn(20, NULL, 0);
	}
	cr_expect_eq(lost, 0u);
}

Test(vhost_faults, a_guest_that_goes_while_its_descriptors_are_fetched)
{
	back_end_comes();
	int guest = guest_runs();

	fault_in("recvmsg", ECONNRESET);
	cr_expect_not(guest_says(guest, message_doorbell(VHOST_SET_VRING_CALL, 0)));
	cr_expect(fault_end());
	cr_expect(has_ended(guest));
	close(guest);
}

Test(vhost_faults, what_is_skipped_was_there)
{
	static const char octets[600] = {1};
	int ends[2];

	fault_hold(false);
	cr_assert_not(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	cr_assert_eq(send(ends[0], octets, sizeof(octets), 0), (ssize_t)sizeof(octets));
	fault_in("recvmsg", EINTR);
	cr_expect_eq(socket_skip(ends[1], sizeof(octets)), 0);
	cr_expect_eq(socket_skip(ends[1], 1), -ENODATA);
	fault_in("recvmsg", EIO);
	cr_expect_eq(socket_skip(ends[1], 1), -EIO);
	fault_end();
	close(ends[0]);
	cr_expect_eq(socket_skip(ends[1], 1), -ENODATA, "the other end has gone");
	close(ends[1]);
}

Test(vhost_faults, a_guest_without_doorbells)
{
	struct vhost_message message;

	back_end_comes();
	int guest = guest_connect();

	for (unsigned i = 0; i < 8 && guest_script(memory, i, &message); i++)
		cr_assert(guest_says(guest, message), "message %u", i);
	/* In two parts: the header, and later the rest. */
	message = message_number(VHOST_SET_VRING_CALL, VHOST_DOORBELL_NONE);
	uint8_t octets[sizeof(message.header) + sizeof(message.payload.number)];

	memcpy(octets, &message.header, sizeof(message.header));
	memcpy(octets + sizeof(message.header), &message.payload, sizeof(message.payload.number));
	cr_assert_eq(send(guest, octets, 14, MSG_NOSIGNAL), 14);
	turn(20, NULL, 0);
	cr_assert_eq(send(guest, octets + 14, sizeof(octets) - 14, MSG_NOSIGNAL),
		     (ssize_t)sizeof(octets) - 14);
	cr_expect(guest_says(guest, message_number(VHOST_SET_VRING_KICK, VHOST_DOORBELL_NONE)));
	close(guest);
}

/* What a back-end says that no question of ours has for an answer. */
Test(vhost_faults, answers_that_fit_no_question)
{
	struct {
		struct vhost_header header;
		struct vhost_ring_number payload;
	} rows[] = {
		{{VHOST_GET_FEATURES, VHOST_VERSION | VHOST_REPLY, 8}, {0, 0}}, /* nothing was asked */
		{{VHOST_SET_OWNER, VHOST_VERSION | VHOST_REPLY, 8}, {0, 0}},
		{{VHOST_GET_VRING_BASE, VHOST_VERSION, 8}, {0, 0}},
		{{VHOST_GET_VRING_BASE, VHOST_VERSION | VHOST_REPLY, 4}, {0, 0}},
		{{VHOST_GET_VRING_BASE, VHOST_VERSION | VHOST_REPLY, 8}, {1, 0}}, /* another ring */
		{{VHOST_GET_VRING_BASE, VHOST_VERSION | VHOST_REPLY, 1u << 20}, {0, 0}},
	};
	const struct vhost_message question = message_ring(VHOST_GET_VRING_BASE, 0, 0);

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned before = lost;

		vhost_session_back_end_gone(session);
		back_end.silent = false;
		back_end_comes();
		int guest = guest_runs();

		back_end.silent = true;
		if (i)
			cr_assert_not(vhost_write(guest, &question));
		turn(20, NULL, 0);
		size_t bytes = rows[i].header.size_bytes < 8 ? 12 + rows[i].header.size_bytes : 20;

		/* In two parts: half an answer is none yet. */
		cr_assert_eq(send(back_end.fd, &rows[i], 10, MSG_NOSIGNAL), 10);
		turn(5, NULL, 0);
		cr_expect_eq(lost, before);
		cr_assert_eq(send(back_end.fd, (char *)&rows[i] + 10, bytes - 10, MSG_NOSIGNAL),
			     (ssize_t)bytes - 10);
		cr_expect(turn(1000, &lost, before + 1), "row %u", i);
		cr_expect_str_eq(problem, "broke the vhost-user protocol");
		close(guest);
		turn(20, NULL, 0);
	}
}
