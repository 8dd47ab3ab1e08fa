/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session keeper between a front-end and a back-end that the test plays
 * itself: replay to a new back-end, guests that break rules or come twice,
 * back-ends that refuse, babble, fall silent or die, and the shim's own restart.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "harness.h"
#include "unix_socket.h"

TestSuite(vhost_session, .init = set_up, .fini = tear_down, .timeout = 20);

Test(vhost_session, nobody_can_connect_before_the_first_back_end)
{
	struct stat status;

	cr_expect_neq(access(guest_path, F_OK), 0);
	back_end_comes();
	cr_expect_not(stat(guest_path, &status));
	cr_expect_eq(status.st_mode & 0777, 0600u);
}

Test(vhost_session, T07_the_next_back_end_is_told_and_the_guest_stays)
{
	back_end_comes();
	int guest = guest_runs();
	unsigned first = back_end.told_count;

	/* It dies. */
	fd_close(&back_end.fd);
	cr_expect(turn(1000, &lost, 1));
	cr_expect_str_eq(problem, "closed its vhost-user session");
	/* Meanwhile the guest is served from the record. */
	vhost_session_back_end_gone(session);
	guest_used(memory, 0, 300);
	cr_expect(guest_says(guest, message_doorbell(VHOST_SET_VRING_CALL, 1)));
	back_end_comes();
	cr_expect_eq(back_end.told_count, first - 1); /* protocol features once instead of twice */
	cr_assert_not_null(told(VHOST_SET_VRING_BASE, 0));
	cr_expect_eq(told(VHOST_SET_VRING_BASE, 0)->payload.ring.number, 300u);
	cr_expect_eq(told(VHOST_SET_MEM_TABLE, 1)->fd_count, 1u); /* 1 region */
	cr_expect_not_null(told(VHOST_SET_VRING_KICK, 1));
	cr_expect_not_null(told(VHOST_SET_STATUS, 15));
	cr_expect(guest_says(guest, message_number(VHOST_SET_STATUS, 7)));
	close(guest);
}

Test(vhost_session, a_ring_is_stopped_by_the_back_end_or_in_its_stead)
{
	struct vhost_message answer;

	back_end_comes();
	int guest = guest_runs();

	cr_assert(guest_asks(guest, message_ring(VHOST_GET_VRING_BASE, 0, 0), &answer));
	cr_expect_eq(answer.payload.ring.number, 42u);
	vhost_session_back_end_gone(session);
	guest_used(memory, 1, 9);
	cr_assert(guest_asks(guest, message_ring(VHOST_GET_VRING_BASE, 1, 0), &answer));
	cr_expect_eq(answer.payload.ring.number, 9u);
	back_end_comes();
	cr_expect_null(told(VHOST_SET_VRING_KICK, 0));
	cr_expect_eq(lost, 0u);
	close(guest);
}

Test(vhost_session, one_guest_at_a_time)
{
	back_end_comes();
	int guest = guest_runs(), second = guest_connect();

	cr_expect(has_ended(second));
	cr_expect_not(has_ended(guest));
	close(guest);
	/* It has left, although the loop has not seen it yet. */
	int third = guest_connect();
	cr_expect_not(has_ended(third));
	cr_expect(guest_says(third, message_number(VHOST_SET_PROTOCOL_FEATURES, GUEST_PROTOCOL)));
	close(second);
	close(third);
}

Test(vhost_session, T04_a_guest_that_breaks_a_rule_is_disconnected_and_leaves_nothing)
{
	static const char noise[4096] = {1};

	back_end_comes();
	turn(50, NULL, 0);
	unsigned before = open_fds();

	for (unsigned round = 0; round < 20; round++) {
		int guest = guest_runs();

		if (round % 2)
			cr_assert(send(guest, noise, sizeof(noise), MSG_NOSIGNAL) > 0);
		else
			cr_assert_not(vhost_write(
				guest, &(struct vhost_message){.header = {99, VHOST_VERSION, 0}}));
		cr_expect(has_ended(guest), "round %u", round);
		close(guest);
		turn(20, NULL, 0);
		cr_expect_eq(open_fds(), before);
	}
	cr_expect_eq(lost, 0u);
}

Test(vhost_session, a_back_end_that_refuses_ends_the_guest_not_the_device)
{
	back_end_comes();
	int guest = guest_runs();

	back_end.refuses = VHOST_SET_STATUS;
	cr_expect_not(guest_says(guest, message_number(VHOST_SET_STATUS, 7)));
	cr_expect(has_ended(guest));
	close(guest);
	back_end.refuses = 0;
	guest = guest_runs();
	vhost_session_back_end_gone(session);
	back_end.refuses = VHOST_SET_MEM_TABLE;
	back_end_comes();
	cr_expect(has_ended(guest));
	cr_expect_eq(lost, 0u);
	close(guest);
}

Test(vhost_session, T09_a_back_end_that_is_silent)
{
	struct vhost_message question = message_ring(VHOST_GET_VRING_BASE, 0, 0);
	struct vhost_reader reader = {0};

	back_end_comes();
	int guest = guest_runs();

	back_end.silent = true;
	cr_assert_not(vhost_write(guest, &question));
	cr_expect(turn(4000, &lost, 1));
	cr_expect_str_eq(problem, "did not answer GET_VRING_BASE within 3 s");
	/* It may still write: only after its end may the guest hear that the ring stands. */
	guest_used(memory, 0, 5);
	turn(100, NULL, 0);
	cr_expect_eq(vhost_read(guest, &reader), 0);
	vhost_session_back_end_gone(session);
	turn(20, NULL, 0);
	cr_assert_eq(vhost_read(guest, &reader), 1);
	cr_expect_eq(reader.message.payload.ring.number, 5u);
	cr_expect_not(has_ended(guest));
	close(guest);
}

Test(vhost_session, a_back_end_that_is_silent_from_the_start)
{
	back_end.silent = true;
	cr_assert_not(vhost_session_back_end(session, back_end_path));
	cr_expect(turn(4000, &ready, 1));
	cr_expect_str_eq(problem, "did not answer GET_FEATURES within 3 s");
	cr_expect_eq(lost, 0u);
	cr_expect_eq(vhost_session_back_end(session, "/tmp/nobody-is-here"), -ENOENT);
}

Test(vhost_session, a_back_end_that_babbles)
{
	struct vhost_message babble = vhost_reply_number(VHOST_GET_FEATURES, 0);

	back_end_comes();
	int guest = guest_runs();

	cr_assert_not(vhost_write(back_end.fd, &babble));
	cr_expect(turn(1000, &lost, 1));
	cr_expect_str_eq(problem, "broke the vhost-user protocol");
	back_end_comes();
	babble.fds[babble.fd_count++] = memory;
	cr_assert_not(vhost_write(back_end.fd, &babble));
	cr_expect(turn(1000, &lost, 2));
	cr_expect_not(has_ended(guest));
	close(guest);
}

Test(vhost_session, guests_that_leave_babble_or_do_not_listen)
{
	struct vhost_message question = message_plain(VHOST_GET_FEATURES);
	struct vhost_header endless = {VHOST_SET_OWNER, VHOST_VERSION, 100000};

	back_end_comes();
	int guest = guest_runs();
	unsigned before = changed;

	close(guest);
	turn(20, NULL, 0);
	cr_expect_gt(changed, before);
	cr_expect_eq(vhost_session_save(session, (int[VHOST_SAVE_FDS]){0}), 0);

	guest = guest_runs();
	cr_assert(send(guest, &endless, sizeof(endless), MSG_NOSIGNAL) > 0);
	cr_expect(has_ended(guest));
	close(guest);

	guest = guest_runs();
	for (unsigned i = 0; i < 100000 && !vhost_write(guest, &question); i++)
		turn(0, NULL, 0);
	struct vhost_reader reader = {0};
	while (vhost_read(guest, &reader) == 1) /* what had been answered by then */
		vhost_reader_close(&reader);
	cr_expect(has_ended(guest));
	close(guest);
	cr_expect_eq(lost, 0u);
}

/* T05, T06: its owner cuts the memory short while there is no adjunct. */
Test(vhost_session, T05_a_guest_whose_memory_has_gone)
{
	struct vhost_message question = message_ring(VHOST_GET_VRING_BASE, 0, 0);

	back_end_comes();
	int guest = guest_runs();

	vhost_session_back_end_gone(session);
	cr_assert_not(ftruncate(memory, 0));
	back_end_comes();
	cr_expect(has_ended(guest));
	close(guest);
	/* And while the adjunct hangs. */
	cr_assert_not(ftruncate(memory, GUEST_BYTES));
	guest = guest_runs();
	back_end.silent = true;
	cr_assert_not(vhost_write(guest, &question));
	turn(20, NULL, 0);
	cr_expect_eq(vhost_session_save(session, (int[VHOST_SAVE_FDS]){0}), -EAGAIN);
	cr_assert_not(ftruncate(memory, 0));
	vhost_session_back_end_gone(session);
	cr_expect(has_ended(guest));
	close(guest);
}

Test(vhost_session, back_ends_that_lack_something)
{
	back_end_comes();
	int guest = guest_runs();

	/* What this guest uses: it goes; the next one is offered less. */
	vhost_session_back_end_gone(session);
	back_end.lacks = UINT64_C(1) << VHOST_PROTOCOL_STATUS;
	back_end_comes();
	cr_expect(has_ended(guest));
	close(guest);
	vhost_session_back_end_gone(session);
	back_end.lacks = UINT64_C(1) << VHOST_PROTOCOL_REPLY_ACK;
	unsigned before = ready;
	cr_assert_not(vhost_session_back_end(session, back_end_path));
	cr_expect(turn(1000, &ready, before + 1));
	cr_expect_str_eq(problem, "is of no use: it does not acknowledge messages");
}

Test(vhost_session, a_path_that_is_taken)
{
	int other = unix_listen(guest_path, 0600);

	cr_assert(other >= 0);
	cr_assert_not(vhost_session_back_end(session, back_end_path));
	cr_expect(turn(1000, &ready, 1));
	cr_expect_not_null(strstr(problem, "cannot be listened at"));
	close(other);
	unlink(guest_path);
}

Test(vhost_session, a_back_end_that_has_gone_when_the_guest_leaves)
{
	back_end_comes();
	int guest = guest_runs();

	fd_close(&listener);
	unlink(back_end_path);
	close(guest);
	cr_expect(turn(1000, &lost, 1));
	cr_expect_str_eq(problem, "cannot be connected to: No such file or directory");
}

/* ---- The shim's own restart ------------------------------------------------------------ */

/* As the keeper: duplicates of all that was saved. */
static unsigned keep(int kept[VHOST_SAVE_FDS])
{
	int fds[VHOST_SAVE_FDS];
	int count = vhost_session_save(session, fds);

	cr_assert_gt(count, 2);
	for (int i = 0; i < count; i++)
		kept[i] = dup(fds[i]);
	close(fds[0]);
	return (unsigned)count;
}

Test(vhost_session, survives_the_shim)
{
	int kept[VHOST_SAVE_FDS];

	back_end_comes();
	cr_expect_eq(vhost_session_save(session, kept), 0, "nobody is connected");
	int guest = guest_runs();
	unsigned before = open_fds(), count = keep(kept), told_before = back_end.told_count;

	vhost_session_free(session, false);
	session = NULL;
	cr_expect_not(has_ended(guest));
	session_make();
	cr_assert_not(vhost_session_restore(session, kept, count));
	for (unsigned i = 0; i < count; i++)
		fd_close(&kept[i]);
	back_end_comes();
	cr_expect_eq(back_end.told_count, told_before, "it never noticed");
	cr_expect_eq(open_fds(), before);
	cr_expect(guest_says(guest, message_number(VHOST_SET_STATUS, 7)));
	vhost_session_back_end_gone(session);
	back_end_comes();
	cr_expect_not_null(told(VHOST_SET_STATUS, 7));
	close(guest);
}

/* The next shim has what was kept before the message came, and the message. */
static void restart_over(const struct vhost_message *message, int guest, bool silent)
{
	int kept[VHOST_SAVE_FDS];
	struct vhost_due due;

	turn(20, NULL, 0);
	unsigned count = keep(kept);
	back_end.silent = silent;
	keeper_away = true;
	cr_assert_not(vhost_write(guest, message));
	turn(20, NULL, 0);
	cr_expect_eq(vhost_session_due(session, &due), !silent);
	vhost_session_free(session, false);
	back_end.silent = keeper_away = false;
	session_make();
	cr_assert_not(vhost_session_restore(session, kept, count));
	for (unsigned i = 0; i < count; i++)
		fd_close(&kept[i]);
	back_end_comes();
}

Test(vhost_session, T07_a_message_that_the_shim_dies_over_is_answered_once)
{
	struct vhost_message messages[] = {
		message_number(VHOST_SET_STATUS, 7),
		message_ring(VHOST_SET_VRING_ENABLE, 0, 0),
		message_doorbell(VHOST_SET_VRING_CALL, 1),
		message_doorbell(VHOST_SET_VRING_KICK, 1),
		message_memory(memory),
		message_plain(VHOST_GET_FEATURES),
		message_ring(VHOST_GET_VRING_BASE, 0, 0),
	};

	back_end_comes();
	int guest = guest_runs();
	unsigned before = open_fds();

	for (unsigned i = 0; i < 2 * sizeof(messages) / sizeof(messages[0]); i++) {
		struct vhost_message *message = &messages[i / 2];
		struct vhost_reader reader = {0};
		bool asks = vhost_message_asks(message->header.request);

		if (!asks)
			message->header.flags |= VHOST_NEED_REPLY;
		/* Before the back-end has answered, and after, if it is asked at all. */
		restart_over(message, guest, i % 2 && message->header.request != VHOST_GET_FEATURES);
		for (unsigned ms = 0; ms < 2000 && !vhost_read(guest, &reader); ms++)
			turn(1, NULL, 0);
		cr_expect_eq(reader.message.header.request, message->header.request, "%u", i);
		if (message->header.request == VHOST_GET_VRING_BASE)
			cr_expect_eq(reader.message.payload.ring.number, 42u);
		vhost_reader_close(&reader);
		cr_expect_not(has_ended(guest));
		cr_expect_eq(vhost_read(guest, &reader), 0, "answered twice");
	}
	cr_expect_eq(open_fds(), before - 1); /* the doorbell of the ring that stands */
	for (unsigned i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		for (unsigned fd = 0; fd < messages[i].fd_count; fd++)
			close(messages[i].fds[fd]);
	cr_expect_eq(lost, 0u);
	close(guest);
}

Test(vhost_session, survives_the_shim_and_its_back_end)
{
	int kept[VHOST_SAVE_FDS];

	back_end_comes();
	int guest = guest_runs();
	unsigned count = keep(kept);

	vhost_session_free(session, false);
	fd_close(&back_end.fd);
	session_make();
	cr_assert_not(vhost_session_restore(session, kept, count));
	for (unsigned i = 0; i < count; i++)
		fd_close(&kept[i]);
	back_end_comes();
	cr_expect_not_null(told(VHOST_SET_VRING_KICK, 1));
	cr_expect(guest_says(guest, message_number(VHOST_SET_STATUS, 7)));
	close(guest);
}

Test(vhost_session, what_was_not_saved_by_us_is_not_taken_up)
{
	int kept[VHOST_SAVE_FDS];

	back_end_comes();
	int guest = guest_runs();
	unsigned count = keep(kept);

	cr_expect_eq(vhost_session_restore(session, kept, count), -EINVAL, "it has a guest");
	vhost_session_free(session, false);
	session_make();
	for (unsigned fewer = 0; fewer < count; fewer++)
		cr_expect_eq(vhost_session_restore(session, kept, fewer), -EINVAL);
	int first = kept[0];
	kept[0] = memory;
	cr_expect_eq(vhost_session_restore(session, kept, count), -EINVAL);
	kept[0] = first;
	for (unsigned i = 0; i < count; i++)
		fd_close(&kept[i]);
	close(guest);
}
