/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device for the ethdev driver that outlives it: its queues are memory that the
 * test shares with every adjunct it starts, as those of a function are shared with
 * its adapter. It writes down the number of each frame it is passed, and makes
 * numbered frames. What stands in for ethdev/device.c is in device.c.
 */
#ifndef STEPS_DEVICE_H
#define STEPS_DEVICE_H

#include <stdatomic.h>
#include <stdint.h>

#define LOG_MAX 65536u

struct shared_device {
	_Atomic uint32_t passed; /* frames it has, ever: the queue's index */
	_Atomic uint32_t made;   /* frames for the partition, ever */
	_Atomic uint32_t to_make;
	uint32_t log[LOG_MAX]; /* numbers of the frames passed */
};

extern struct shared_device *shared_device;

/* Once, before any adjunct. */
void shared_device_open(void);

#define NUMBER_OFFSET 14 /* in a frame, of its number */
#define FRAME_BYTES 64

#endif
