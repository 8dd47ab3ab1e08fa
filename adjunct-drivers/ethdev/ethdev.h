/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's operations, for main.c and for tests that call them directly. */
#ifndef ETHDEV_H
#define ETHDEV_H

#include "adj.h"

extern const struct adj_ops ethdev_ops;

#endif
