# SPDX-License-Identifier: BSD-2-Clause
# What decides and changes nothing, for tests too.
LIBRARIES += shimplan
shimplan_SRCS := $(addprefix hv-shim/,image.c objects.c plan.c plan_delete.c plan_json.c plan_limits.c plan_shared.c)
shimplan_PKGS := jansson libsystemd

PROGRAMS += outriggerd
outriggerd_SRCS := $(addprefix hv-shim/,main.c adapter.c adapter_events.c adapter_faults.c adapter_vf.c apply.c close_later.c \
	memory.c partition.c recover.c region.c state.c usage.c usage_state.c \
	$(addprefix control/,control.c log_buffer.c partition_socket.c server.c stats.c status.c) \
	$(addprefix devices/,adopt.c attachment.c client.c device.c device_steps.c device_vhost.c function.c standby.c vfio.c) \
	$(addprefix events/,device_events.c events_status.c forwarder.c guests.c history.c) \
	$(addprefix processes/,cgroup.c clone_into.c heartbeat.c orphans.c peer.c peer_link.c privileges.c \
	respawn.c spawn.c syscalls.c))
outriggerd_TEXTS := hv-shim/org.outrigger.Shim.varlink hv-shim/org.outrigger.Partition.varlink
outriggerd_PKGS := libsystemd jansson libseccomp
outriggerd_USES := shimvhost shimplan document vfmanager confine base eventqueues
outriggerd_OUT := bin/outriggerd
