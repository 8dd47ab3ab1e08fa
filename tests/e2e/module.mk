# SPDX-License-Identifier: BSD-2-Clause
# Programs that the end-to-end tests (tests/e2e/*.sh) run: build/tests/e2e/NAME.
PROGRAMS += fake_shim
fake_shim_SRCS := tests/e2e/fake_shim.c
fake_shim_PKGS := jansson
fake_shim_USES := base
fake_shim_TEXTS := hv-shim/org.outrigger.Shim.varlink
fake_shim_OUT := tests/e2e/fake_shim
fake_shim_TEST := 1

PROGRAMS += e2e_adjunct
e2e_adjunct_SRCS := $(addprefix tests/e2e/adjunct/,main.c clients.c shim.c window.c)
e2e_adjunct_USES := base eventqueues
e2e_adjunct_OUT := tests/e2e/adjunct
e2e_adjunct_TEST := 1

PROGRAMS += e2e_soft_adapter
e2e_soft_adapter_SRCS := $(addprefix tests/e2e/soft_adapter/,main.c bench.c forwarding.c faults.c \
	hostile.c)
e2e_soft_adapter_PKGS := jansson
e2e_soft_adapter_USES := base
e2e_soft_adapter_OUT := tests/e2e/soft_adapter
e2e_soft_adapter_TEST := 1

PROGRAMS += e2e_soft_adapter_driver
e2e_soft_adapter_driver_SRCS := tests/e2e/soft_adapter/driver.c
e2e_soft_adapter_driver_DPDK := 1
e2e_soft_adapter_driver_LDFLAGS := -Wl,--wrap=memfd_create
e2e_soft_adapter_driver_OUT := tests/e2e/soft_adapter_driver
e2e_soft_adapter_driver_TEST := 1

PROGRAMS += socket_abuse
socket_abuse_SRCS := tests/e2e/socket_abuse.c
socket_abuse_OUT := tests/e2e/socket_abuse
socket_abuse_TEST := 1

PROGRAMS += raw_frames
raw_frames_SRCS := tests/e2e/raw_frames.c
raw_frames_OUT := tests/e2e/raw_frames
raw_frames_TEST := 1

PROGRAMS += intruder
intruder_SRCS := $(addprefix tests/e2e/confinement/,intruder.c attempts.c sweep.c) tests/e2e/idle.c
intruder_USES := adjunct confine base eventqueues
intruder_OUT := tests/e2e/intruder
intruder_TEST := 1

# The ethdev image with one function changed: see tests/rig/guest/stray_vf.sh.
PROGRAMS += stray
stray_SRCS := tests/rig/stray.c $(ethdev_SRCS)
stray_USES := $(ethdev_USES)
stray_DPDK := 1
stray_DPDK_DRIVERS := $(ethdev_DPDK_DRIVERS)
stray_LDFLAGS := $(ethdev_LDFLAGS) -Wl,--wrap=port_tap_open
stray_OUT := tests/e2e/stray
stray_TEST := 1

# Tries the daemon's own list, which its children have too, and that of the process for
# virtual functions, whose walls it builds for itself.
PROGRAMS += tree
tree_SRCS := $(addprefix tests/e2e/confinement/,tree.c sweep.c) vf-manager/adapter/confine.c
tree_PKGS := jansson libseccomp
tree_USES := confine base
tree_OUT := tests/e2e/tree
tree_TEST := 1

# Preloaded into a daemon that is to have no list.
PROGRAMS += unlisted
unlisted_SRCS := tests/e2e/confinement/unlisted.c
unlisted_LDFLAGS := -shared
unlisted_OUT := tests/e2e/unlisted.so
unlisted_TEST := 1

PROGRAMS += region_keeper
region_keeper_SRCS := tests/e2e/region_keeper.c
region_keeper_USES := liboutrigger
region_keeper_OUT := tests/e2e/region_keeper
region_keeper_TEST := 1

PROGRAMS += victim
victim_SRCS := tests/e2e/neighbour/victim.c
victim_PKGS := jansson
victim_USES := liboutrigger
victim_OUT := tests/e2e/victim
victim_TEST := 1

PROGRAMS += neighbour
neighbour_SRCS := tests/e2e/neighbour/neighbour.c
neighbour_PKGS := jansson
neighbour_USES := liboutrigger base
neighbour_OUT := tests/e2e/neighbour
neighbour_TEST := 1

PROGRAMS += numbered
numbered_SRCS := tests/e2e/numbered.c
numbered_USES := liboutrigger base eventqueues
numbered_OUT := tests/e2e/numbered
numbered_TEST := 1

PROGRAMS += edges_killer
edges_killer_SRCS := tests/e2e/edges/killer.c tests/e2e/edges/guest.c
edges_killer_USES := liboutrigger
edges_killer_OUT := tests/e2e/edges_killer
edges_killer_TEST := 1

# The ethdev image with a call at each edge of what serves: loop, driver, ports, and
# the rings inlined into them. FLAVOR=edges only, so that no other program has any.
ifeq ($(FLAVOR),edges)
PROGRAMS += ethdev_edges
ethdev_edges_SRCS := tests/e2e/edges/main.c $(filter-out %/main.c,$(ethdev_SRCS))
ethdev_edges_USES := $(ethdev_USES)
ethdev_edges_DPDK := 1
ethdev_edges_DPDK_DRIVERS := $(ethdev_DPDK_DRIVERS)
ethdev_edges_LDFLAGS := $(ethdev_LDFLAGS)
ethdev_edges_OUT := tests/e2e/ethdev_edges
ethdev_edges_TEST := 1
$(patsubst %.c,$(OUT)/obj/%.o,adjunct-drivers/runtime/serve.c \
	$(filter adjunct-drivers/ethdev/%,$(filter-out %/main.c,$(ethdev_SRCS)))): \
	TARGET_CFLAGS += -fsanitize-coverage=trace-pc-guard
endif

PROGRAMS += e2e_steps
e2e_steps_SRCS := $(addprefix tests/e2e/steps/,main.c device.c native.c guest.c) \
	$(addprefix adjunct-drivers/ethdev/,ethdev.c requests.c share.c port_native.c port_vhost.c vhost_ring.c)
e2e_steps_USES := base eventqueues
e2e_steps_DPDK := 1
e2e_steps_LDFLAGS := -Wl,--wrap=memfd_create
e2e_steps_OUT := tests/e2e/steps
e2e_steps_TEST := 1

PROGRAMS += crasher
crasher_SRCS := tests/e2e/crasher.c tests/e2e/idle.c
crasher_USES := adjunct confine base eventqueues
crasher_LDFLAGS := -Wl,--wrap=descriptor_check_memory -Wl,--wrap=adjunct_confine_finish \
	-Wl,--wrap=varlink_call_on_cancel
crasher_OUT := tests/e2e/crasher
crasher_TEST := 1

# A daemon that is killed, or refused something, at any of its system calls.
PROGRAMS += shim_faults
shim_faults_SRCS := $(addprefix tests/e2e/faults/,main.c phases.c rig.c census.c tracer.c errors.c)
shim_faults_PKGS := jansson
shim_faults_USES := liboutrigger base eventqueues
shim_faults_OUT := tests/e2e/shim_faults
shim_faults_TEST := 1

PROGRAMS += failing_malloc
failing_malloc_SRCS := tests/e2e/faults/failing_malloc.c
failing_malloc_LDFLAGS := -shared
failing_malloc_OUT := tests/e2e/failing_malloc.so
failing_malloc_TEST := 1

# Refuses a system call to the daemon's children.
PROGRAMS += refuse
refuse_SRCS := tests/e2e/faults/refuse.c
refuse_LDFLAGS := -shared
refuse_OUT := tests/e2e/refuse.so
refuse_TEST := 1

PROGRAMS += yielder
yielder_SRCS := tests/e2e/yield/yielder.c
yielder_USES := liboutrigger
yielder_OUT := tests/e2e/yielder
yielder_TEST := 1

PROGRAMS += sharer
sharer_SRCS := tests/e2e/global/sharer.c
sharer_USES := liboutrigger
sharer_OUT := tests/e2e/sharer
sharer_TEST := 1

PROGRAMS += hearer
hearer_SRCS := tests/e2e/yield/hearer.c
hearer_USES := liboutrigger
hearer_OUT := tests/e2e/hearer
hearer_TEST := 1

PROGRAMS += asker
asker_SRCS := tests/e2e/yield/asker.c
asker_USES := liboutrigger
asker_OUT := tests/e2e/asker
asker_TEST := 1

PROGRAMS += hog
hog_SRCS := tests/e2e/yield/hog.c tests/e2e/idle.c
hog_USES := adjunct confine base eventqueues
hog_FP := no
hog_OUT := tests/e2e/hog
hog_TEST := 1

PROGRAMS += greedy
greedy_SRCS := tests/e2e/share/greedy.c
greedy_USES := liboutrigger
greedy_OUT := tests/e2e/greedy
greedy_TEST := 1
