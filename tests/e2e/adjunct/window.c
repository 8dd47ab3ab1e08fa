/* SPDX-License-Identifier: BSD-2-Clause */
/* A native partition's side of the rings, for tests; see shim.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adj_inflight.h"
#include "shim.h"

void window_open(struct window *window, uint32_t ring_entries)
{
	*window = (struct window){0};
	if (net_layout_compute(ring_entries, &window->layout))
		die("ring_entries %u", ring_entries);
	window->memory_fd =
		memory_make(window->layout.size_bytes, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	window->inflight_fd =
		memory_make(ADJ_INFLIGHT_BYTES, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	for (unsigned i = 0; i < NET_BELLS; i++)
		window->bells[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	window->base = mmap(NULL, window->layout.size_bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_POPULATE, window->memory_fd, 0);
	if (window->base == MAP_FAILED)
		die("cannot map the window: %s", strerror(errno));
	if (eq_ring_open(&window->tx, window->base + window->layout.tx_ring, ring_entries,
			 NET_ENTRY_BYTES) ||
	    eq_ring_open(&window->rx, window->base + window->layout.rx_ring, ring_entries,
			 NET_ENTRY_BYTES))
		die("cannot open the rings");
}

void window_close(struct window *window)
{
	munmap(window->base, window->layout.size_bytes);
	close(window->memory_fd);
	close(window->inflight_fd);
	for (unsigned i = 0; i < NET_BELLS; i++)
		close(window->bells[i]);
}

static void ring_adjunct(struct window *window)
{
	const uint64_t one = 1;

	if (write(window->bells[NET_BELL_ADJUNCT], &one, sizeof(one)) != sizeof(one) &&
	    errno != EAGAIN)
		die("doorbell: %s", strerror(errno));
}

static uint8_t *buffer_of(uint8_t *buffers, const struct eq_ring *ring)
{
	return buffers + (size_t)eq_ring_slot(ring) * NET_BUFFER_BYTES;
}

void window_put(struct window *window, const struct net_entry *entry)
{
	eq_ring_put(&window->tx, entry, sizeof(*entry));
	if (eq_ring_must_wake_consumer(&window->tx))
		ring_adjunct(window);
}

/* Octets that depend on the frame's number and their place. */
static void frame_fill(uint8_t *frame, uint32_t number, unsigned length)
{
	memset(frame, (int)(number & 0xff), length);
	memset(frame, 0xff, 6);
	memcpy(frame + length - sizeof(number), &number, sizeof(number));
}

static bool frame_ok(const uint8_t *frame, unsigned length, uint32_t *number)
{
	memcpy(number, frame + length - sizeof(*number), sizeof(*number));
	for (unsigned i = 6; i + sizeof(*number) < length; i++)
		if (frame[i] != (*number & 0xff))
			return false;
	return true;
}

unsigned window_send(struct window *window, uint32_t number, unsigned count, unsigned length)
{
	uint8_t *buffers = window->base + window->layout.tx_buffers;
	const struct net_entry entry = {.length_bytes = (uint16_t)length};
	int space = eq_ring_space(&window->tx, count);

	if (space < 0)
		die("the adjunct broke the transmit ring");
	if ((unsigned)space < count)
		count = (unsigned)space;
	for (unsigned i = 0; i < count; i++) {
		frame_fill(buffer_of(buffers, &window->tx), number + i, length);
		eq_ring_put(&window->tx, &entry, sizeof(entry));
	}
	if (count && eq_ring_must_wake_consumer(&window->tx))
		ring_adjunct(window);
	return count;
}

int64_t window_receive(struct window *window, unsigned *length)
{
	const uint8_t *buffer = buffer_of(window->base + window->layout.rx_buffers, &window->rx);
	struct net_entry entry;
	uint32_t number;

	if (!eq_ring_take(&window->rx, &entry, sizeof(entry)))
		return -1;
	bool ok = entry.length_bytes >= NET_FRAME_MIN && entry.length_bytes <= NET_FRAME_MAX &&
		  !entry.flags && frame_ok(buffer, entry.length_bytes, &number);

	if (length)
		*length = entry.length_bytes;
	eq_ring_release(&window->rx, 1);
	if (eq_ring_must_wake_producer(&window->rx))
		ring_adjunct(window);
	return ok ? (int64_t)number : -2;
}
