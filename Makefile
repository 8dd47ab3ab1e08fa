# SPDX-License-Identifier: BSD-2-Clause
# Outrigger. `make help` lists the targets. Each folder's module.mk lists its
# sources; the rules are here, once. Everything is built under build/.

.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules --no-print-directory
# Every processor, unless -j says otherwise; a sub-make inherits the job server.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DELETE_ON_ERROR:

VERSION := 0.1.0
PREFIX ?= /usr/local
# FLAVOR: release (default), asan (address + undefined), tsan (thread), fuzz, edges
# (tests/e2e/edges.sh: a call at each coverage edge of an adjunct), coverage.
FLAVOR ?= release
OUT := build$(if $(filter-out release,$(FLAVOR)),/$(FLAVOR))
V ?= 0
quiet = $(if $(filter 1,$(V)),,@printf '  %-5s %s\n' '$(1)' '$(2)';)

CC ?= gcc
ifneq ($(filter fuzz edges coverage,$(FLAVOR)),)
CC := $(firstword $(shell command -v clang clang-14 clang-19 clang-16 2>/dev/null) clang)
else ifeq ($(origin CC),default)
CC := gcc
endif

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wvla -Wformat=2 -Wimplicit-fallthrough -Wundef \
	-Wno-missing-field-initializers
# Which warnings the other compiler has is nothing that counting is about.
ifeq ($(FLAVOR),coverage)
WARNINGS := $(filter-out -Werror,$(WARNINGS))
endif
FLAVOR_release := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong
FLAVOR_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FLAVOR_tsan := -O1 -fsanitize=thread -Wno-error=tsan
FLAVOR_edges := $(FLAVOR_release)
# Counters live in a mapped file from before main() on: neither SIGKILL nor an
# adjunct's confinement loses what was counted.
FLAVOR_coverage := -O1 -fprofile-update=atomic -fprofile-instr-generate=$(CURDIR)/build/coverage/raw/%m%c.profraw \
	-fcoverage-mapping -mllvm -runtime-counter-relocation
FLAVOR_fuzz := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
CFLAGS ?= -g
ALL_CFLAGS = -std=gnu17 $(FLAVOR_$(FLAVOR)) $(WARNINGS) -fPIC -fvisibility=hidden \
	-D_GNU_SOURCE -DOTR_VERSION='"$(VERSION)"' $(CFLAGS) \
	-Ievent-queues -Iadjunct-drivers -Ihv-shim/base -Ihv-shim/partition -Ivf-manager -I$(OUT)/generated
ALL_LDFLAGS = $(filter -fsanitize=% -fno-sanitize-recover=% -fprofile-instr-generate=%,$(FLAVOR_$(FLAVOR))) -Wl,--as-needed $(LDFLAGS)

pkg_cflags = $(foreach p,$(1),$(shell pkg-config --cflags $(p) 2>/dev/null | sed 's/-I\//-isystem \//g'))
pkg_libs = $(if $(1),$(shell pkg-config --libs $(1)))

# DPDK is linked statically and only with what is used: an adjunct starts
# faster and its private memory stays small. Libraries that newer releases split
# off are added where they exist (22.11 to 25.11).
DPDK_LIBDIR = $(shell pkg-config --variable=libdir libdpdk)
dpdk_archives = $(wildcard $(foreach l,$(1),$(DPDK_LIBDIR)/librte_$(l).a))
DPDK_DRIVERS := net_virtio net_ring bus_vdev bus_pci mempool_ring
DPDK_CORE := vhost cryptodev rcu hash dmadev pci ethdev meter net mbuf mempool ring eal \
	telemetry kvargs log argparse
dpdk_libs = -Wl,--whole-archive $(call dpdk_archives,$(DPDK_DRIVERS) $(1)) -Wl,--no-whole-archive \
	-Wl,--start-group $(call dpdk_archives,$(DPDK_CORE)) -Wl,--end-group -lnuma -lbsd -lpthread -ldl -lm

# ---- General registers only ------------------------------------------------
# `NAME_FP := no`, an adjunct image whose manifest says `fp: no` (adjunct-drivers/adj.h):
# it is made of copies of its sources and libraries that were compiled to no vector and no
# floating-point register; of a library NAME_GENERAL_SRCS is only, NAME_FP_SRCS never in
# the copy. On other machines, and in builds that instrument, it is made like any other.
# Zeros of a small structure take less time than the string instruction takes to begin.
GENERAL_FLAGS := -mgeneral-regs-only -DADJ_GENERAL_REGISTERS \
	-mmemset-strategy=unrolled_loop:256:noalign,rep_8byte:-1:noalign
general_made := $(and $(filter release,$(FLAVOR)),$(filter x86_64,$(shell uname -m)))

# ---- What the folders declare --------------------------------------------
# LIBRARIES, PROGRAMS: names; for each NAME: NAME_SRCS; NAME_PKGS (pkg-config),
# NAME_USES (libraries of ours), NAME_FP=no, NAME_DPDK=1, NAME_DPDK_DRIVERS (more of
# DPDK's drivers), NAME_OUT (path under $(OUT)),
# NAME_LDFLAGS, NAME_TEXTS (files turned into C strings).
LIBRARIES :=
PROGRAMS :=
MODULES := $(wildcard */module.mk */*/module.mk)
include $(MODULES)

object = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
general_object = $(patsubst %.c,$(OUT)/general/%.o,$(1))

# A text file x/y.name as a C string `text_<name, dots to underscores>`.
text_header = $(OUT)/generated/text/$(notdir $(1)).h
define text_rule
$(call text_header,$(1)): $(1) | deps-check
	$$(call quiet,GEN,$$@)mkdir -p $$(@D); { \
	printf '/* Generated from $(1). */\nstatic const char text_$(subst .,_,$(notdir $(1)))[] =\n'; \
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/.*/\t"&\\n"/' $$<; printf ';\n'; } > $$@
endef

define target_rules
$(1)_OBJS := $(call object,$($(1)_SRCS))
$(1)_GENERAL_OBJS := $(call general_object,$($(1)_GENERAL_SRCS) $(filter-out $($(1)_FP_SRCS),$($(1)_SRCS)))
# A source that two targets share is compiled once, with what both need.
$$($(1)_OBJS) $$($(1)_GENERAL_OBJS): TARGET_CFLAGS += $$(call pkg_cflags,$$(strip $(filter-out libdpdk,$($(1)_PKGS)) $(if $($(1)_DPDK),libdpdk)))
$$($(1)_OBJS) $$($(1)_GENERAL_OBJS): | $(foreach t,$($(1)_TEXTS),$(call text_header,$(t)))
ALL_OBJS += $$($(1)_OBJS) $$($(1)_GENERAL_OBJS)
ALL_TEXTS += $($(1)_TEXTS)
endef

define library_rules
$(call target_rules,$(1))
$(OUT)/lib/$(1).a: $$($(1)_OBJS)
$(OUT)/general/lib/$(1).a: $$($(1)_GENERAL_OBJS)
$(OUT)/lib/$(1).a $(OUT)/general/lib/$(1).a:
	$$(call quiet,AR,$$@)mkdir -p $$(@D); rm -f $$@; ar rcs $$@ $$^
endef

define program_rules
$(call target_rules,$(1))
$(1)_MADE_OF := $(if $(and $(general_made),$(filter no,$($(1)_FP))),\
	$$($(1)_GENERAL_OBJS) $(foreach u,$($(1)_USES),$(OUT)/general/lib/$(u).a),\
	$$($(1)_OBJS) $(foreach u,$($(1)_USES),$(OUT)/lib/$(u).a))
$(OUT)/$($(1)_OUT): $$($(1)_MADE_OF)
	$$(call quiet,LD,$$@)mkdir -p $$(@D); $$(CC) $$(ALL_LDFLAGS) -o $$@ $$($(1)_MADE_OF) \
	$($(1)_LDFLAGS) $(if $($(1)_DPDK),$$(call dpdk_libs,$($(1)_DPDK_DRIVERS))) \
	$$(call pkg_libs,$$(strip $($(1)_PKGS) $(foreach u,$($(1)_USES),$($(u)_PKGS))))
endef

$(foreach l,$(LIBRARIES),$(eval $(call library_rules,$(l))))
$(foreach p,$(PROGRAMS),$(eval $(call program_rules,$(p))))
$(foreach t,$(sort $(ALL_TEXTS)),$(eval $(call text_rule,$(t))))

$(OUT)/obj/%.o: %.c | deps-check
	$(call quiet,CC,$<)mkdir -p $(@D); $(CC) $(ALL_CFLAGS) $(TARGET_CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/general/%.o: %.c | deps-check
	$(call quiet,CC,$<)mkdir -p $(@D); $(CC) $(ALL_CFLAGS) $(GENERAL_FLAGS) $(TARGET_CFLAGS) -MMD -MP -c -o $@ $<

-include $(patsubst %.o,%.d,$(sort $(ALL_OBJS)))

# Programs marked NAME_TEST=1 are built by the tests that need them.
RUNTIME_PROGRAMS := $(foreach p,$(PROGRAMS),$(if $($(p)_TEST),,$(p)))
TEST_PROGRAMS := $(foreach p,$(PROGRAMS),$(if $($(p)_TEST),$(p)))
.PHONY: all
all: $(foreach p,$(RUNTIME_PROGRAMS),$(OUT)/$($(p)_OUT)) $(EXTRA_FILES) | deps-check ## Build every program

# What is missing on the machine is named and installed; DEPS=0 only reports.
.PHONY: deps-check
deps-check:
	@tests/setup/deps.sh build

# These three do all of their own set-up, in this order.
.PHONY: run
run: ## Bring up two partitions, send real traffic, take them down (KEEP=1 leaves them)
	@tests/setup/deps.sh run
	@$(MAKE) all FLAVOR=release
	@hv-shim/examples/demo.sh

.PHONY: test
test: ## Run every test (ONLY=pattern: those whose name matches)
	@tests/setup/deps.sh test
	@tests/run.sh

# Too long to wait for: an hour of preemptions, each request's number and order checked.
.PHONY: nightly
nightly: ## Run an hour of preemptions at random, and kill those concerned at any point of a yield
	@ONLY='^(e2e/yield|storm/yield_deaths)$$' POINTS=$${POINTS:-20} STORM_SECONDS=$${STORM_SECONDS:-3600} KILLS=$${KILLS:-100} SUITE_SECONDS=7200 \
		$(MAKE) test

.PHONY: coverage
coverage: ## Run unit and end-to-end tests on a build that counts branches, and judge
	@tests/setup/deps.sh test
	@tests/coverage/run.sh

# A machine with an SR-IOV card in it, if only a virtual one: tests/rig/README.md.
.PHONY: rig rig-test
rig: ## Boot a virtual machine with an SR-IOV card and give a shell in it
	@tests/setup/deps.sh test
	@tests/rig/run.sh --shell
rig-test: ## Run the tests in that machine (make test does, too)
	@ONLY=^rig/ $(MAKE) test

.PHONY: bench
bench: ## Measure everything against its peers (ROWS=name,name: a part)
	@tests/setup/deps.sh bench
	@$(MAKE) all $(foreach p,$(TEST_PROGRAMS),$(if $(filter bench/%,$($(p)_OUT)),$(OUT)/$($(p)_OUT))) FLAVOR=release
	@tests/bench/run.sh

.PHONY: bench-figure
bench-figure: ## Measure latency against load of requests to an adjunct (tests/bench/figure.sh)
	@tests/setup/deps.sh bench
	@$(MAKE) all $(OUT)/bench/load_client $(OUT)/bench/spin FLAVOR=release
	@tests/bench/figure.sh

# Which test programs there are, for tests/run.sh: "kind name" each.
.PHONY: list-tests
list-tests:
	@printf '%s\n' $(sort $(patsubst tests/%,%,$(filter tests/%,$(foreach p,$(TEST_PROGRAMS),$($(p)_OUT)))))

.PHONY: check-format
check-format: ## Show where clang-format would lay out the code differently
	@git ls-files '*.c' '*.h' | xargs clang-format --dry-run

.PHONY: clean
clean: ## Remove build/
	rm -rf build

.PHONY: help
help: ## Show this list
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nV=1 shows the commands. FLAVOR=asan, tsan, fuzz, edges or coverage builds under build/FLAVOR.\n'
	@printf 'DEPS=0 names missing packages and installs nothing.\n'
