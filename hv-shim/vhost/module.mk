# SPDX-License-Identifier: BSD-2-Clause
# The vhost-user sessions: the protocol alone, for tests and fuzzers, and on the loop.
LIBRARIES += shimvhost
shimvhost_SRCS := $(addprefix hv-shim/vhost/vhost_,message.c memory.c state.c replay.c proxy.c back_end.c saved.c)
shimvhost_PKGS := libsystemd
