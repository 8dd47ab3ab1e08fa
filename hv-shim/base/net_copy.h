/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies a frame into a native net device's window. Called by liboutrigger and
 * by the ethdev driver, on the thread that moves the frames.
 *
 * The window is hot in two processors' caches, so what a copy costs is cache
 * lines on their way between them. An ordinary store first fetches the line it
 * is about to overwrite from the other processor; x86's string instruction knows
 * that it overwrites whole lines and does not. That is worth a quarter of the
 * rate of 1500-byte frames, with the two processors near each other or far apart.
 * Below NET_COPY_STRING octets its start-up costs more than it saves. Reading
 * from the window needs nothing special: memcpy().
 */
#ifndef NET_COPY_H
#define NET_COPY_H

#include <stddef.h>
#include <string.h>

#define NET_COPY_STRING 256

static inline void net_copy_out(void *window, const void *frame, size_t bytes)
{
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	if (bytes >= NET_COPY_STRING) {
		__asm__ volatile("rep movsb" : "+D"(window), "+S"(frame), "+c"(bytes) : : "memory");
		return;
	}
#endif
	memcpy(window, frame, bytes);
}

#endif
