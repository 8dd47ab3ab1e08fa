# SPDX-License-Identifier: BSD-2-Clause
# The shim. Its document is a library of its own, for tests and fuzzers.
LIBRARIES += document
document_SRCS := $(addprefix hv-shim/,document.c document_fields.c document_json.c \
	document_pf.c document_schema.c)
document_PKGS := jansson

# What decides and changes nothing, for tests too.
LIBRARIES += shimplan
shimplan_SRCS := hv-shim/image.c hv-shim/objects.c hv-shim/plan.c
shimplan_PKGS := jansson libsystemd

# The vhost-user sessions: the protocol alone, for tests and fuzzers, and on the loop.
LIBRARIES += shimvhost
shimvhost_SRCS := $(addprefix hv-shim/vhost_,message.c memory.c state.c replay.c proxy.c back_end.c saved.c)
shimvhost_PKGS := libsystemd

PROGRAMS += outriggerd
outriggerd_SRCS := $(addprefix hv-shim/,main.c adapter.c apply.c cgroup.c attachment.c control.c \
	device.c device_steps.c heartbeat.c device_vhost.c log_buffer.c memory.c orphans.c partition.c \
	close_later.c partition_socket.c peer.c peer_link.c privileges.c recover.c region.c respawn.c server.c spawn.c \
	standby.c state.c stats.c status.c events/forwarder.c events/device_events.c \
	events/guests.c events/events_status.c)
outriggerd_TEXTS := hv-shim/org.outrigger.Shim.varlink hv-shim/org.outrigger.Partition.varlink
outriggerd_PKGS := libsystemd jansson libseccomp
outriggerd_USES := shimvhost shimplan document vfmanager confine base eventqueues
outriggerd_OUT := bin/outriggerd
