# SPDX-License-Identifier: BSD-2-Clause
# The static library carries the few parts of base that it uses, so that a
# program outside this tree links it and jansson, and nothing else of ours.
LIBRARIES += liboutrigger
liboutrigger_SRCS := hv-shim/partition/attach.c hv-shim/partition/window.c \
	$(addprefix hv-shim/partition/,net.c net_events.c wait.c region.c service.c \
	yield.c guest.c guest_wait.c) \
	$(addprefix hv-shim/base/,net_layout.c guest_layout.c unix_socket.c varlink.c varlink_client.c) \
	event-queues/eq_ring.c event-queues/eq_queue.c
liboutrigger_PKGS := jansson

# Hidden visibility keeps everything but outrigger.h's functions inside.
$(OUT)/lib/liboutrigger.so.0: $(OUT)/lib/liboutrigger.a
	$(call quiet,LD,$@)$(CC) -shared -Wl,-soname,liboutrigger.so.0 -Wl,--no-undefined \
	$(ALL_LDFLAGS) -o $@ -Wl,--whole-archive $< -Wl,--no-whole-archive \
	$(call pkg_libs,$(liboutrigger_PKGS))
EXTRA_FILES += $(OUT)/lib/liboutrigger.so.0
