/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver that serves nothing, for images of the tests that want only some of a driver's
 * calls: each takes a copy and puts its own calls, and its name, in. On the thread that
 * the runtime calls a driver on (adjunct-drivers/adj.h).
 */
#ifndef IDLE_H
#define IDLE_H

#include "adj.h"

/* Whatever it is asked succeeds; it saves 0 bytes. There is no init, and no name. */
extern const struct adj_ops idle_ops;

#endif
