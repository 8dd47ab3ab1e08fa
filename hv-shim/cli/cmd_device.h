/* SPDX-License-Identifier: BSD-2-Clause */
/* How devices are shown, for the commands that show them. One thread. */
#ifndef CMD_DEVICE_H
#define CMD_DEVICE_H

#include <jansson.h>
#include <stdbool.h>

struct cli;

/* "net0, net1", or "-"; the caller frees it. */
char *device_names(const json_t *devices);
/* How the partition reaches it: "10.77.0.1/24", a path, or "shared rings"; as above. */
char *device_reach(const json_t *device);
/* The VF behind it, "soft0 vf 1"; as above. */
char *device_vf(const json_t *device);
/* A table, and below it what is wrong with whom. `partition`: say whose each is. */
void device_table(const json_t *devices, bool partition);
/*
 * "red/net0" or "red" into {"partition": ..., "device": ...}. NULL: told that
 * it is neither; `whole` allows the second.
 */
json_t *device_selector(const struct cli *cli, const char *text, bool whole);

#endif
