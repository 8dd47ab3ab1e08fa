/* SPDX-License-Identifier: BSD-2-Clause */
/* Live objects as org.outrigger.Shim's types. Event-loop thread. */
#ifndef STATUS_H
#define STATUS_H

#include "../shim.h"

json_t *status_adapters(const struct shim *shim);
json_t *status_partition(const struct partition *partition);
/* Its share of processors, into an object about it; nothing, if it has none. */
void status_put_share(json_t *object, const struct partition *partition);
json_t *status_partitions(const struct shim *shim);
json_t *status_device(const struct device *device);
/* All, or those of one partition. */
json_t *status_devices(const struct shim *shim, const struct partition *only);
/* `detailed` also reads the process's private memory, which takes a while. */
json_t *status_adjunct(const struct device *device, bool detailed);
json_t *status_adjuncts(const struct shim *shim);

#endif
