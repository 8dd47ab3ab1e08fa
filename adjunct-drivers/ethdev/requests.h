/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the partition asks of its net device by requests; see requests.c. The thread that
 * dispatches the driver.
 */
#ifndef ETHDEV_REQUESTS_H
#define ETHDEV_REQUESTS_H

#include "share.h"

/* As adj_ops' request; `state` is a struct ethdev. */
int requests_serve(void *state, const struct adj_request *request, struct adj_response *response);
bool requests_repeatable(uint16_t opcode);
/* The frames in `rx` of VLANs that are not wanted are dropped. */
void requests_filter(struct ethdev *ethdev);
/* What was asked for stands in the port's record: a device that is new gets it, too. */
void requests_apply(struct ethdev *ethdev);
/* The program has gone; the next one finds the device as it was. */
void requests_reset(struct ethdev *ethdev);

#endif
