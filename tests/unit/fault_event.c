/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop's calls that can fail for want of memory: see fault.h. For
 * programs with libsystemd, which add FAULT_EVENT_LDFLAGS.
 */
#include <errno.h>
#include <systemd/sd-event.h>

#include "fault.h"

#define STAND_IN(name, parameters, arguments) \
	int __real_##name parameters; \
	int __wrap_##name parameters; \
	int __wrap_##name parameters \
	{ \
		return fault_due(#name) ? -errno : __real_##name arguments; \
	}

STAND_IN(sd_event_add_io,
	 (sd_event *event, sd_event_source **out, int fd, uint32_t events,
	  sd_event_io_handler_t callback, void *data),
	 (event, out, fd, events, callback, data))
STAND_IN(sd_event_add_defer,
	 (sd_event *event, sd_event_source **out, sd_event_handler_t callback, void *data),
	 (event, out, callback, data))
STAND_IN(sd_event_add_time_relative,
	 (sd_event *event, sd_event_source **out, clockid_t clock, uint64_t usec, uint64_t accuracy,
	  sd_event_time_handler_t callback, void *data),
	 (event, out, clock, usec, accuracy, callback, data))
STAND_IN(sd_event_source_set_time_relative, (sd_event_source *source, uint64_t usec),
	 (source, usec))
STAND_IN(sd_event_source_set_priority, (sd_event_source *source, int64_t priority),
	 (source, priority))
