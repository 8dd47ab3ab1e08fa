# SPDX-License-Identifier: BSD-2-Clause
# Programs that the end-to-end tests (tests/e2e/*.sh) run: build/tests/e2e/NAME.

# $(call e2e_program,NAME[,FILE]): a test's program, in build/tests/e2e/FILE if not NAME.
define e2e_program
$(eval PROGRAMS += $(1))
$(eval $(1)_OUT := tests/e2e/$(or $(2),$(1)))
$(eval $(1)_TEST := 1)
endef

$(call e2e_program,fake_shim)
fake_shim_SRCS := tests/e2e/fake_shim.c
fake_shim_PKGS := jansson
fake_shim_USES := base
fake_shim_TEXTS := hv-shim/org.outrigger.Shim.varlink

$(call e2e_program,e2e_adjunct,adjunct)
e2e_adjunct_SRCS := $(addprefix tests/e2e/adjunct/,main.c clients.c shim.c window.c)
e2e_adjunct_USES := base eventqueues

$(call e2e_program,e2e_soft_adapter,soft_adapter)
e2e_soft_adapter_SRCS := $(addprefix tests/e2e/soft_adapter/,main.c bench.c forwarding.c faults.c \
	hostile.c)
e2e_soft_adapter_PKGS := jansson
e2e_soft_adapter_USES := base

$(call e2e_program,e2e_soft_adapter_driver,soft_adapter_driver)
e2e_soft_adapter_driver_SRCS := tests/e2e/soft_adapter/driver.c
e2e_soft_adapter_driver_DPDK := 1
e2e_soft_adapter_driver_LDFLAGS := -Wl,--wrap=memfd_create

$(call e2e_program,socket_abuse)
socket_abuse_SRCS := tests/e2e/socket_abuse.c

$(call e2e_program,raw_frames)
raw_frames_SRCS := tests/e2e/raw_frames.c

$(call e2e_program,intruder)
intruder_SRCS := $(addprefix tests/e2e/confinement/,intruder.c attempts.c sweep.c) tests/e2e/idle.c
intruder_USES := adjunct confine base eventqueues

# The ethdev image with one function changed: see tests/rig/guest/stray_vf.sh.
$(call e2e_program,stray)
stray_SRCS := tests/rig/stray.c $(ethdev_SRCS)
stray_USES := $(ethdev_USES)
stray_DPDK := 1
stray_DPDK_DRIVERS := $(ethdev_DPDK_DRIVERS)
stray_LDFLAGS := $(ethdev_LDFLAGS) -Wl,--wrap=port_tap_open

# Tries the daemon's own list, which its children have too, and that of the process for
# virtual functions, whose walls it builds for itself.
$(call e2e_program,tree)
tree_SRCS := $(addprefix tests/e2e/confinement/,tree.c sweep.c) vf-manager/adapter/confine.c
tree_PKGS := jansson libseccomp
tree_USES := confine base

# Preloaded into a daemon that is to have no list.
$(call e2e_program,unlisted,unlisted.so)
unlisted_SRCS := tests/e2e/confinement/unlisted.c
unlisted_LDFLAGS := -shared

$(call e2e_program,region_keeper)
region_keeper_SRCS := tests/e2e/region_keeper.c
region_keeper_USES := liboutrigger

$(call e2e_program,victim)
victim_SRCS := tests/e2e/neighbour/victim.c
victim_PKGS := jansson
victim_USES := liboutrigger

$(call e2e_program,neighbour)
neighbour_SRCS := tests/e2e/neighbour/neighbour.c
neighbour_PKGS := jansson
neighbour_USES := liboutrigger base

$(call e2e_program,numbered)
numbered_SRCS := tests/e2e/numbered.c
numbered_USES := liboutrigger base eventqueues

$(call e2e_program,edges_killer)
edges_killer_SRCS := tests/e2e/edges/killer.c tests/e2e/edges/guest.c
edges_killer_USES := liboutrigger

# The ethdev image with a call at each edge of what serves: loop, driver, ports, and
# the rings inlined into them. FLAVOR=edges only, so that no other program has any.
ifeq ($(FLAVOR),edges)
$(call e2e_program,ethdev_edges)
ethdev_edges_SRCS := tests/e2e/edges/main.c $(filter-out %/main.c,$(ethdev_SRCS))
ethdev_edges_USES := $(ethdev_USES)
ethdev_edges_DPDK := 1
ethdev_edges_DPDK_DRIVERS := $(ethdev_DPDK_DRIVERS)
ethdev_edges_LDFLAGS := $(ethdev_LDFLAGS)
$(patsubst %.c,$(OUT)/obj/%.o,adjunct-drivers/runtime/serve.c \
	$(filter adjunct-drivers/ethdev/%,$(filter-out %/main.c,$(ethdev_SRCS)))): \
	TARGET_CFLAGS += -fsanitize-coverage=trace-pc-guard
endif

$(call e2e_program,e2e_steps,steps)
e2e_steps_SRCS := $(addprefix tests/e2e/steps/,main.c device.c native.c guest.c) \
	$(addprefix adjunct-drivers/ethdev/,ethdev.c requests.c share.c port_native.c port_vhost.c vhost_ring.c)
e2e_steps_USES := base eventqueues
e2e_steps_DPDK := 1
e2e_steps_LDFLAGS := -Wl,--wrap=memfd_create

$(call e2e_program,crasher)
crasher_SRCS := tests/e2e/crasher.c tests/e2e/idle.c
crasher_USES := adjunct confine base eventqueues
crasher_LDFLAGS := -Wl,--wrap=descriptor_check_memory -Wl,--wrap=adjunct_confine_finish \
	-Wl,--wrap=varlink_call_on_cancel

# A daemon that is killed, or refused something, at any of its system calls.
$(call e2e_program,shim_faults)
shim_faults_SRCS := $(addprefix tests/e2e/faults/,main.c phases.c rig.c census.c tracer.c errors.c)
shim_faults_PKGS := jansson
shim_faults_USES := liboutrigger base eventqueues

$(call e2e_program,failing_malloc,failing_malloc.so)
failing_malloc_SRCS := tests/e2e/faults/failing_malloc.c
failing_malloc_LDFLAGS := -shared

# Refuses a system call to the daemon's children.
$(call e2e_program,refuse,refuse.so)
refuse_SRCS := tests/e2e/faults/refuse.c
refuse_LDFLAGS := -shared

$(call e2e_program,yielder)
yielder_SRCS := tests/e2e/yield/yielder.c
yielder_USES := liboutrigger

$(call e2e_program,sharer)
sharer_SRCS := tests/e2e/global/sharer.c
sharer_USES := liboutrigger

$(call e2e_program,hearer)
hearer_SRCS := tests/e2e/yield/hearer.c
hearer_USES := liboutrigger

$(call e2e_program,asker)
asker_SRCS := tests/e2e/yield/asker.c
asker_USES := liboutrigger

$(call e2e_program,hog)
hog_SRCS := tests/e2e/yield/hog.c tests/e2e/idle.c
hog_USES := adjunct confine base eventqueues
hog_FP := no

$(call e2e_program,greedy)
greedy_SRCS := tests/e2e/share/greedy.c
greedy_USES := liboutrigger

$(call e2e_program,midway)
midway_SRCS := tests/e2e/yield/midway.c
midway_USES := liboutrigger
