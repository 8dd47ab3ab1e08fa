/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native_client: a partition's program that does nothing but move frames over a
 * native net device, in bursts of 32, and prints frames per second.
 *
 *   native_client PARTITION DEVICE echo    frames out, the same frames taken back
 *   native_client PARTITION DEVICE send    frames out to --to MAC
 *   native_client PARTITION DEVICE receive frames in
 *   native_client PARTITION DEVICE bounce  what comes in goes back to whom it came from;
 *                                          with --first N: N frames to --to MAC begin it
 *   native_client PARTITION DEVICE kills   as echo; reads process ids from standard
 *                                          input, kills each, and prints for each the
 *                                          longest time between two frames taken back
 *
 * It copies each frame out of private memory into the ring and back out of the
 * ring into private memory, because that is what the peer it is compared with
 * (testpmd over memif) does. `echo` and `kills` poll, as the peer does; `send` and
 * `receive` sleep when there is nothing to do. One thread.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "net_layout.h"
#include "outrigger.h"

#define BURST 32u
#define WARM_UP_NS NS_PER_S
/* No frame for so long: there is nothing to measure. */
#define SILENCE_NS (5 * NS_PER_S)
#define POLLS_PER_CLOCK 256u
/* After a kill gaps are looked for at least so long, and for so long
 * once frames flow again, so that a successor that falters at first is seen. */
#define KILL_WINDOW_NS (100 * NS_PER_MS)
/* IEEE 802's number for local experiments: no stack takes such frames for its own. */
#define ETHERTYPE_EXPERIMENT 0x88b5

struct options {
	const char *partition, *device, *mode;
	uint8_t to[6];
	unsigned size_bytes, seconds, first;
	int cpu; /* -1: any */
};

struct client {
	struct otr_net *net;
	struct otr_frame out[BURST];
	uint8_t sent[BURST][NET_BUFFER_BYTES], received[BURST][NET_BUFFER_BYTES];
	uint64_t frames; /* the count that becomes the rate */
	unsigned first;	 /* frames that bounce, sent when none has come for a while */
	bool begun;
};

static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

static void make_frames(struct client *client, const struct options *options, const uint8_t from[6])
{
	for (unsigned i = 0; i < BURST; i++) {
		uint8_t *frame = client->sent[i];

		memset(frame, (int)i, options->size_bytes);
		memcpy(frame, options->to, 6);
		memcpy(frame + 6, from, 6);
		frame[12] = ETHERTYPE_EXPERIMENT >> 8;
		frame[13] = ETHERTYPE_EXPERIMENT & 0xff;
		client->out[i] = (struct otr_frame){frame, options->size_bytes};
	}
}

/* One burst out: frames sent, or -errno. */
static int burst_out(struct client *client)
{
	return otr_net_send(client->net, client->out, BURST);
}

/* One burst in, copied: frames received, or -errno. */
static int burst_in(struct client *client)
{
	struct otr_frame frames[BURST];
	int count = otr_net_receive(client->net, frames, BURST);

	for (int i = 0; i < count; i++)
		memcpy(client->received[i], frames[i].data, frames[i].length_bytes);
	if (count > 0) {
		int ret = otr_net_release(client->net, (unsigned)count);
		if (ret < 0)
			return ret;
	}
	return count;
}

/* The modes: one step each; frames that count, or -errno. */
static int step_echo(struct client *client)
{
	int sent = burst_out(client);

	return sent < 0 ? sent : burst_in(client);
}

static int step_send(struct client *client)
{
	int count = burst_out(client);

	if (count == 0) {
		int ready = otr_net_wait(client->net, OTR_TX, clock_now_ns() + NS_PER_S);
		return ready < 0 ? ready : 0;
	}
	return count;
}

static int step_receive(struct client *client)
{
	int count = burst_in(client);

	if (count == 0) {
		int ready = otr_net_wait(client->net, OTR_RX, clock_now_ns() + NS_PER_S);
		return ready < 0 ? ready : 0;
	}
	return count;
}

/* All of them, whatever room there is: 0, or -errno. */
static int send_all(struct otr_net *net, const struct otr_frame *frames, unsigned count)
{
	for (unsigned sent = 0; sent < count;) {
		int ret = otr_net_send(net, frames + sent, count - sent);

		if (ret < 0)
			return ret;
		sent += (unsigned)ret;
		if (ret)
			continue;
		ret = otr_net_wait(net, OTR_TX, clock_now_ns() + NS_PER_S);
		if (ret <= 0)
			return ret ? ret : -ETIMEDOUT;
	}
	return 0;
}

static int bounce_begin(struct client *client)
{
	int ret = 0;

	client->begun = true;
	for (unsigned sent = 0; !ret && sent < client->first; sent += BURST)
		ret = send_all(client->net, client->out, BURST);
	return ret;
}

static int step_bounce(struct client *client)
{
	struct otr_frame frames[BURST];
	int ret, count = client->begun ? otr_net_receive(client->net, frames, BURST) : 0;

	if (count < 0)
		return count;
	if (!count) {
		ret = client->begun ? otr_net_wait(client->net, OTR_RX, clock_now_ns() + NS_PER_S) : 0;
		return ret ? (ret < 0 ? ret : 0) : bounce_begin(client);
	}
	for (int i = 0; i < count; i++) {
		uint8_t *frame = frames[i].data, to[6];

		memcpy(to, frame, 6);
		memcpy(frame, frame + 6, 6);
		memcpy(frame + 6, to, 6);
	}
	ret = send_all(client->net, frames, (unsigned)count);
	if (!ret)
		ret = otr_net_release(client->net, (unsigned)count);
	return ret < 0 ? ret : count;
}

/* Steps until `until_ns`: 0, or -errno; -ETIMEDOUT when no frame moves. */
static int run_until(struct client *client, int (*step)(struct client *), uint64_t until_ns)
{
	uint64_t last_ns = clock_now_ns(), last_frames = client->frames;

	for (;;) {
		for (unsigned i = 0; i < POLLS_PER_CLOCK; i++) {
			int count = step(client);

			if (count < 0)
				return count;
			client->frames += (unsigned)count;
		}
		uint64_t now_ns = clock_now_ns();
		if (client->frames != last_frames) {
			last_frames = client->frames;
			last_ns = now_ns;
		}
		if (now_ns >= until_ns)
			return 0;
		if (now_ns - last_ns > SILENCE_NS)
			return -ETIMEDOUT;
	}
}

static int measure(struct client *client, int (*step)(struct client *), unsigned seconds)
{
	int ret = run_until(client, step, clock_now_ns() + WARM_UP_NS);
	uint64_t start_ns = clock_now_ns(), frames = client->frames;

	if (!ret)
		ret = run_until(client, step, start_ns + seconds * NS_PER_S);
	if (!ret && client->frames == frames)
		ret = -ETIMEDOUT;
	if (ret)
		return ret;
	printf("%.0f\n",
	       (double)(client->frames - frames) * 1e9 / (double)(clock_now_ns() - start_ns));
	return 0;
}

/* ---- Kills ------------------------------------------------------------------- */

/* The longest time without a frame, from a kill until the window after it is over. */
static int longest_gap(struct client *client, pid_t pid, uint64_t *out)
{
	uint64_t last_ns = clock_now_ns(), until_ns = last_ns + KILL_WINDOW_NS;

	*out = 0;
	if (kill(pid, SIGKILL))
		return -errno;
	for (;;) {
		int count = step_echo(client);
		uint64_t now_ns = clock_now_ns(), gap_ns = now_ns - last_ns;

		if (count < 0)
			return count;
		if (!count && gap_ns > SILENCE_NS)
			return -ETIMEDOUT;
		if (!count)
			continue;
		last_ns = now_ns;
		if (gap_ns > *out) {
			*out = gap_ns;
			if (gap_ns > KILL_WINDOW_NS / 2)
				until_ns = now_ns + KILL_WINDOW_NS;
		}
		if (now_ns >= until_ns)
			return 0;
	}
}

/* One line of standard input: the process, 0 at its end, or -errno. */
static int next_victim(void)
{
	char line[32];
	int pid, length = (int)read(STDIN_FILENO, line, sizeof(line) - 1);

	if (length <= 0)
		return length < 0 ? -errno : 0;
	line[length] = '\0';
	/* A line a write, and an answer before the next: nothing is left over. */
	if (sscanf(line, "%d", &pid) != 1 || pid < 2)
		return -EINVAL;
	return pid;
}

static int measure_kills(struct client *client)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	uint64_t gap_ns;

	for (;;) {
		int ret = run_until(client, step_echo, clock_now_ns() + NS_PER_MS);
		if (ret)
			return ret;
		if (poll(&input, 1, 0) != 1)
			continue;
		int pid = next_victim();
		if (pid <= 0)
			return pid;
		ret = longest_gap(client, pid, &gap_ns);
		if (ret)
			return ret;
		printf("%llu\n", (unsigned long long)gap_ns);
		fflush(stdout);
	}
}

/* ---- The program --------------------------------------------------------------- */

static int (*find_step(const char *mode))(struct client *)
{
	static const struct {
		const char *name;
		int (*step)(struct client *);
	} modes[] = {{"echo", step_echo}, {"send", step_send}, {"receive", step_receive},
		     {"bounce", step_bounce}, {"kills", step_echo}};

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (!strcmp(modes[i].name, mode))
			return modes[i].step;
	return NULL;
}

/* The whole program between the arguments and the exit status. */
static int run(const struct options *options, int (*step)(struct client *))
{
	static struct client client;
	struct otr *otr;
	struct otr_net_info info;
	int ret = options->cpu < 0 ? 0 : pin(options->cpu);

	if (ret) {
		fprintf(stderr, "native_client: CPU %d: %s\n", options->cpu, strerror(-ret));
		return ret;
	}
	ret = otr_attach(options->partition, &otr);
	if (!ret) {
		ret = otr_net_open(otr, options->device, &client.net);
		if (!ret) {
			otr_net_info(client.net, &info);
			make_frames(&client, options, info.mac);
			client.first = options->first;
			ret = strcmp(options->mode, "kills") ? measure(&client, step, options->seconds)
							     : measure_kills(&client);
			if (ret == -ETIMEDOUT)
				fprintf(stderr, "native_client: no frame moves\n");
			otr_net_close(client.net);
		}
		otr_detach(otr);
	}
	if (ret && ret != -ETIMEDOUT)
		fprintf(stderr, "native_client: %s: %s\n", options->partition, otr_last_error());
	return ret;
}

static int parse_number(const char *text, unsigned minimum, unsigned maximum, unsigned *out)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value < minimum || value > maximum)
		return -EINVAL;
	*out = (unsigned)value;
	return 0;
}

static int parse_options(int argc, char **argv, struct options *out)
{
	static const struct option known[] = {
		{"size", required_argument, NULL, 's'},
		{"seconds", required_argument, NULL, 't'},
		{"cpu", required_argument, NULL, 'c'},
		{"to", required_argument, NULL, 'd'},
		{"first", required_argument, NULL, 'f'},
		{NULL, 0, NULL, 0},
	};
	unsigned cpu;

	for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		int ret = -EINVAL;

		if (option == 's') {
			ret = parse_number(optarg, NET_FRAME_MIN, NET_FRAME_MAX, &out->size_bytes);
		} else if (option == 't') {
			ret = parse_number(optarg, 1, 3600, &out->seconds);
		} else if (option == 'f') {
			ret = parse_number(optarg, 1, 4096, &out->first);
		} else if (option == 'c') {
			ret = parse_number(optarg, 0, CPU_SETSIZE - 1, &cpu);
			out->cpu = ret ? -1 : (int)cpu;
		} else if (option == 'd') {
			uint8_t *to = out->to;
			ret = sscanf(optarg, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", to, to + 1,
				     to + 2, to + 3, to + 4, to + 5) == 6
				      ? 0
				      : -EINVAL;
		}
		if (ret)
			return ret;
	}
	if (argc - optind != 3)
		return -EINVAL;
	out->partition = argv[optind];
	out->device = argv[optind + 1];
	out->mode = argv[optind + 2];
	return 0;
}

int main(int argc, char **argv)
{
	struct options options = {.to = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
				  .size_bytes = 64,
				  .seconds = 2,
				  .cpu = -1};
	int (*step)(struct client *) = NULL;

	if (!parse_options(argc, argv, &options))
		step = find_step(options.mode);
	if (!step) {
		fprintf(stderr, "usage: native_client PARTITION DEVICE echo|send|receive|bounce|kills "
				"[--size N] [--seconds N] [--cpu N] [--to MAC] [--first N]\n");
		return 2;
	}
	return run(&options, step) ? 1 : 0;
}
