# SPDX-License-Identifier: BSD-2-Clause
# The shim. Its document is a library of its own, for tests and fuzzers.
LIBRARIES += document
document_SRCS := hv-shim/document.c hv-shim/document_json.c hv-shim/document_schema.c
document_PKGS := jansson

# What decides and changes nothing, for tests too.
LIBRARIES += shimplan
shimplan_SRCS := hv-shim/image.c hv-shim/objects.c hv-shim/plan.c
shimplan_PKGS := jansson libsystemd

PROGRAMS += outriggerd
outriggerd_SRCS := hv-shim/main.c hv-shim/adapter.c hv-shim/apply.c hv-shim/attachment.c \
	hv-shim/control.c hv-shim/device.c hv-shim/device_steps.c \
	hv-shim/log_buffer.c hv-shim/orphans.c hv-shim/partition.c hv-shim/partition_socket.c hv-shim/peer.c \
	hv-shim/server.c hv-shim/state.c hv-shim/stats.c hv-shim/status.c
outriggerd_TEXTS := hv-shim/org.outrigger.Shim.varlink hv-shim/org.outrigger.Partition.varlink
outriggerd_PKGS := libsystemd jansson
outriggerd_USES := shimplan document base eventqueues
outriggerd_OUT := bin/outriggerd
