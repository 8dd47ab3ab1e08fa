/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening and closing a native net device: asks the shim, checks what it hands
 * out, maps it. Sizes come from the answer and are held against the descriptor
 * before anything is mapped (THREATS.md T05, T06).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "otr_internal.h"

#define POLLING_MAX_NS (20 * NS_PER_US)
#define QUANTUM_NS (1 * NS_PER_MS)
#define FRAME_OVERHEAD_BYTES 18 /* Ethernet header and one VLAN tag */
#define WINDOW_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* An integer member within a range, or -1. */
static json_int_t integer_within(const json_t *object, const char *key, json_int_t low,
				 json_int_t high)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < low ||
	    json_integer_value(value) > high)
		return -1;
	return json_integer_value(value);
}

static int read_geometry(struct otr_net *net, const json_t *parameters)
{
	json_int_t version = integer_within(parameters, "layout_version", 1, INT32_MAX);
	json_int_t ring_entries = integer_within(parameters, "ring_entries", 1, INT32_MAX);
	json_int_t mtu = integer_within(parameters, "mtu", 1, NET_FRAME_MAX - FRAME_OVERHEAD_BYTES);

	if (version != NET_LAYOUT_VERSION)
		return otr_fail(-EPROTO,
				"the window's layout is version %d; this library knows version %d",
				(int)version, NET_LAYOUT_VERSION);
	if (ring_entries < 0 || net_layout_compute((uint32_t)ring_entries, &net->layout))
		return otr_fail(-EPROTO, "the shim answered with an impossible ring size");
	if (mtu < 0)
		return otr_fail(-EPROTO, "the shim answered with an impossible MTU");
	if (otr_parse_mac(json_string_value(json_object_get(parameters, "mac")), net->mac))
		return otr_fail(-EPROTO, "the shim answered with an impossible MAC address");
	net->mtu = (uint16_t)mtu;
	net->frame_max = net->mtu + FRAME_OVERHEAD_BYTES;
	return 0;
}

/* The window must be exactly as long as its layout, and nobody may change that. */
static int check_window(int fd, size_t size_bytes)
{
	struct stat status;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & WINDOW_SEALS) != WINDOW_SEALS)
		return otr_fail(-EPROTO, "the window is not a memfd sealed against resizing");
	if (fstat(fd, &status))
		return otr_fail(-errno, "cannot look at the window: %s", strerror(errno));
	if (status.st_size != (off_t)size_bytes)
		return otr_fail(-EPROTO, "the window has %lld bytes where its layout has %zu",
				(long long)status.st_size, size_bytes);
	return 0;
}

/*
 * A doorbell must not block whoever rings or clears it. The flag belongs to the
 * shared open file, so setting it here serves all who hold the doorbell.
 */
static int check_bell(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || ((flags & O_ACCMODE) != O_RDWR))
		return otr_fail(-EPROTO, "a doorbell cannot be read and written");
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return otr_fail(-errno, "cannot set up a doorbell: %s", strerror(errno));
	return 0;
}

static int open_rings(struct otr_net *net, uint8_t *window)
{
	const struct net_layout *layout = &net->layout;
	int error = eq_ring_open(&net->tx, window + layout->tx_ring, layout->ring_entries,
				 NET_ENTRY_BYTES);

	if (!error)
		error = eq_ring_open(&net->rx, window + layout->rx_ring, layout->ring_entries,
				     NET_ENTRY_BYTES);
	if (!error)
		error = eq_ring_open(&net->requests, window + layout->requests, SERVICE_SLOTS,
				     SERVICE_ENTRY_BYTES);
	if (!error)
		error = eq_ring_open(&net->completions, window + layout->completions, SERVICE_SLOTS,
				     SERVICE_ENTRY_BYTES);
	return error;
}

int otr_window_map(struct otr_net *net, struct varlink_answer *answer)
{
	int error = read_geometry(net, answer->parameters);

	if (error)
		return error;
	if (answer->fd_count != 1 + NET_BELLS)
		return otr_fail(-EPROTO, "the shim answered with %u descriptors where %d belong",
				answer->fd_count, 1 + NET_BELLS);
	if ((error = check_window(answer->fds[0], net->layout.size_bytes)) ||
	    (error = check_bell(answer->fds[1 + NET_BELL_ADJUNCT])) ||
	    (error = check_bell(answer->fds[1 + NET_BELL_PARTITION])))
		return error;

	uint8_t *window = mmap(NULL, net->layout.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			       answer->fds[0], 0);
	if (window == MAP_FAILED)
		return otr_fail(-errno, "cannot map the window: %s", strerror(errno));
	net->window = window;
	net->tx_buffers = window + net->layout.tx_buffers;
	net->rx_buffers = window + net->layout.rx_buffers;
	net->cell = (struct service_cell *)(window + net->layout.cell);
	error = open_rings(net, window);
	if (error)
		return otr_fail(error, "the window's rings do not open: %s", strerror(-error));
	for (unsigned bell = 0; bell < NET_BELLS; bell++) {
		net->bells[bell] = answer->fds[1 + bell];
		answer->fds[1 + bell] = -1;
	}
	return 0;
}

void otr_window_unmap(struct otr_net *net)
{
	if (net->window)
		munmap(net->window, net->layout.size_bytes);
	net->window = NULL;
	for (unsigned bell = 0; bell < NET_BELLS; bell++) {
		if (net->bells[bell] >= 0)
			close(net->bells[bell]);
		net->bells[bell] = -1;
	}
}

int otr_net_open(struct otr *otr, const char *device, struct otr_net **out)
{
	struct varlink_answer answer;
	struct otr_net *net = calloc(1, sizeof(*net));

	if (!net)
		return otr_fail(-ENOMEM, "out of memory");
	*net = (struct otr_net){.bells = {-1, -1}, .epoll_fd = -1, .retry_fd = -1,
				.quantum_ns = QUANTUM_NS};
	otr_net_set_polling(net, POLLING_MAX_NS);

	int error = strlen(device) < sizeof(net->device)
			    ? otr_connect(otr->path, &net->conn)
			    : otr_fail(-ENOENT, "there is no device of so long a name");
	if (!error) {
		memcpy(net->device, device, strlen(device) + 1);
		memcpy(net->path, otr->path, sizeof(net->path));
		error = otr_call(net->conn, "org.outrigger.Partition.OpenNet",
				 json_pack("{s:s}", "device", device), &answer);
	}
	if (!error) {
		error = otr_window_map(net, &answer);
		varlink_answer_clear(&answer);
	}
	if (!error)
		error = otr_events_start(net);
	if (error) {
		otr_net_close(net);
		return error;
	}
	*out = net;
	return 0;
}

/*
 * The device is closed with its connection. We say that we are done, then wait
 * for the shim to hang up: when it has, the device can be opened again.
 */
static void hang_up(struct varlink_conn *conn)
{
	uint64_t deadline_ns = otr_deadline_ms(OTR_CALL_TIMEOUT_MS);
	struct pollfd wait = {.fd = varlink_conn_fd(conn), .events = POLLIN};
	uint64_t now_ns;
	char scrap[512];

	if (shutdown(wait.fd, SHUT_WR))
		return;
	while ((now_ns = clock_now_ns()) < deadline_ns) {
		if (poll(&wait, 1, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1) <= 0)
			continue;
		/* Events still under way are of no interest; descriptors that might
		 * come with them are closed by the kernel, as there is no room. */
		ssize_t got = recv(wait.fd, scrap, sizeof(scrap), MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return;
	}
}

void otr_net_close(struct otr_net *net)
{
	if (!net)
		return;
	if (net->guest)
		otr_guest_remove(net->guest, net);
	/* A shim that is away, or has only just come, finds out when we open it again, or end. */
	if (net->conn && !net->resuming)
		hang_up(net->conn);
	varlink_conn_free(net->conn);
	otr_window_unmap(net);
	if (net->epoll_fd >= 0)
		close(net->epoll_fd);
	if (net->retry_fd >= 0)
		close(net->retry_fd);
	free(net);
}
