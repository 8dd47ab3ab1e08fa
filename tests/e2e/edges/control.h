/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the program that kills adjuncts (killer.c) and the instrumented image
 * (main.c) share: one page, a file that both map. Edges are numbered from 1 by
 * the image; both sides were built together.
 */
#ifndef EDGES_CONTROL_H
#define EDGES_CONTROL_H

#include <stdatomic.h>
#include <stdint.h>

#define EDGES_MAX 4000
#define EDGES_VARIABLE "OTR_EDGES" /* where the file is, for the image */

struct edges_control {
	/* The killer writes. */
	char victim[64];         /* the adjunct's name: "a.net0" */
	_Atomic uint32_t armed;  /* the edge to die at, once `visits` are over; 0: none */
	_Atomic uint32_t visits; /* how many more visits it survives */
	_Atomic uint32_t now;    /* die at once, at whatever edge: a successor comes by others */
	/* The image writes. */
	_Atomic uint32_t edges; /* in the instrumented sources */
	_Atomic uint32_t deaths;
	_Atomic uint32_t services; /* processes that have begun to serve */
	_Atomic uint8_t seen[EDGES_MAX];
};

#endif
