/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The methods of org.outrigger.Adapter. Called by control.c only; data thread,
 * lock held.
 */
#ifndef METHODS_H
#define METHODS_H

#include "adapter.h"
#include "varlink.h"

/* One service for all connections; belongs to methods.c. */
const struct varlink_service *methods_service(struct adapter *adapter);

/* Answers each ResetVf whose function has become free; true if there was one. */
bool methods_answer_resets(struct adapter *adapter);

/* control.c: the call's connection gets every event from now on. */
void control_monitor(struct adapter *adapter, struct varlink_call *call);

#endif
