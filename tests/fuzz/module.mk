# SPDX-License-Identifier: BSD-2-Clause
# Fuzz targets: a name in FUZZ_TARGETS, its sources, and a seed corpus (a
# handful of small files) in tests/fuzz/corpus/NAME/, optionally words in
# tests/fuzz/NAME.dict. A target may include tests/fuzz/fuzz.h. Built by clang
# with `make FLAVOR=fuzz fuzz-programs`, run by tests/fuzz/run.sh.
FUZZ_TARGETS += varlink_server
fuzz_varlink_server_SRCS := tests/fuzz/varlink_server.c tests/fuzz/peer.c
fuzz_varlink_server_USES := base eventqueues

FUZZ_TARGETS += varlink_client
fuzz_varlink_client_SRCS := tests/fuzz/varlink_client.c tests/fuzz/peer.c
fuzz_varlink_client_USES := base eventqueues

FUZZ_TARGETS += yaml
fuzz_yaml_SRCS := tests/fuzz/yaml.c
fuzz_yaml_USES := base eventqueues

FUZZ_TARGETS += switch
fuzz_switch_SRCS := tests/fuzz/switch.c
fuzz_switch_USES := softswitch base

FUZZ_TARGETS += document
fuzz_document_SRCS := tests/fuzz/document.c
fuzz_document_USES := document vfmanager base eventqueues

FUZZ_TARGETS += vhost_messages
fuzz_vhost_messages_SRCS := tests/fuzz/vhost_messages.c
fuzz_vhost_messages_PKGS := libsystemd
fuzz_vhost_messages_USES := shimvhost base

FUZZ_TARGETS += vhost_ring
fuzz_vhost_ring_SRCS := tests/fuzz/vhost_ring.c tests/unit/ethdev/guest.c \
	adjunct-drivers/ethdev/vhost_ring.c
fuzz_vhost_ring_USES := base

FUZZ_TARGETS += vf_manager
fuzz_vf_manager_SRCS := tests/fuzz/vf_manager.c
fuzz_vf_manager_PKGS := libnl-3.0 jansson
fuzz_vf_manager_USES := vfmanager base

ifeq ($(FLAVOR),fuzz)
define fuzz_target
fuzz_$(1)_OUT := tests/fuzz/$(1)
fuzz_$(1)_LDFLAGS := -fsanitize=fuzzer
fuzz_$(1)_TEST := 1
PROGRAMS += fuzz_$(1)
endef
$(foreach t,$(FUZZ_TARGETS),$(eval $(call fuzz_target,$(t))))
endif

.PHONY: fuzz-programs fuzz-targets fuzz-compiler
fuzz-programs: $(foreach t,$(FUZZ_TARGETS),$(OUT)/tests/fuzz/$(t))
fuzz-targets:
	@echo $(FUZZ_TARGETS)
fuzz-compiler:
	@echo $(CC)
