/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An image that is a bad neighbour to the partition that lends it a processor, for
 * tests/e2e/yield.sh: asked to, it blocks the signal that ends its quantum and runs for
 * ever. Its device is a timer, which interrupts when it was told to. On the runtime that
 * all images share.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../idle.h"
#include "clock.h"
#include "hog.h"

static struct hog {
	const struct adj_env *env;
	int timer_fd;
	uint32_t interrupts;
	bool failed, mute;
} hog;

static int hog_init(const struct adj_env *env, void **state)
{
	hog.env = env;
	*state = &hog;
	return env->watch(env, hog.timer_fd, true, false);
}

static int hog_dispatch(void *state, unsigned budget)
{
	(void)state;
	(void)budget;
	return hog.failed ? -EIO : 0;
}

static void keep_the_processor(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (;;)
		continue;
}

static void spin(uint64_t ns)
{
	for (uint64_t begun_ns = clock_now_ns(); clock_now_ns() - begun_ns < ns;)
		continue;
}

static void use_vectors(void)
{
#ifdef ADJ_GENERAL_REGISTERS
	/* The compiler knows of no such register here, and keeps nothing in it. */
	__asm__ volatile("vpcmpeqb %ymm0, %ymm0, %ymm0");
#endif
}

static int hog_request(void *state, const struct adj_request *request,
		       struct adj_response *response)
{
	uint64_t ns;

	(void)state;
	switch (request->opcode) {
	case HOG_FOR_EVER:
		keep_the_processor();
		return 0;
	case HOG_INTERRUPT:
		memcpy(&ns, request->data, sizeof(ns));
		return timerfd_settime(hog.timer_fd, 0,
				       &(struct itimerspec){.it_value = {.tv_nsec = (long)ns}},
				       NULL) ? -errno : 0;
	case HOG_INTERRUPTS:
		memcpy(response->data, &hog.interrupts, sizeof(hog.interrupts));
		response->data_bytes = sizeof(hog.interrupts);
		return 0;
	case HOG_FAIL:
		hog.failed = true;
		return 0;
	case HOG_MUTE:
		hog.mute = true;
		return 0;
	case HOG_VECTORS:
		use_vectors();
		return 0;
	case HOG_SPIN:
		memcpy(&ns, request->data, sizeof(ns));
		spin(ns);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int hog_arm(void *state, bool on)
{
	(void)state;
	return on && hog.mute ? -ENOTSUP : 0;
}

static void hog_interrupt(void *state, int fd)
{
	uint64_t times;

	(void)state;
	hog.interrupts += read(fd, &times, sizeof(times)) == sizeof(times);
}

static void hog_stats(void *state, struct adj_stats *out)
{
	(void)state;
	*out = (struct adj_stats){.link_up = true};
}

int main(int argc, char **argv)
{
	struct adj_ops ops = idle_ops;

	ops.name = "hog";
	ops.init = hog_init;
	ops.dispatch = hog_dispatch;
	ops.request = hog_request;
	ops.arm = hog_arm;
	ops.interrupt = hog_interrupt;
	ops.stats = hog_stats;
	hog.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	return hog.timer_fd < 0 ? 1 : adj_main(&ops, argc, argv);
}
