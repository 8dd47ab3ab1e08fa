# SPDX-License-Identifier: BSD-2-Clause
LIBRARIES += base
base_SRCS := $(addprefix hv-shim/base/,log.c guest_layout.c net_layout.c unix_socket.c fd_discard.c varlink.c varlink_client.c \
	varlink_server.c yaml_tree.c)
# Numbers with a point, of documents: not in an image that says `fp: no`.
base_FP_SRCS := hv-shim/base/yaml_tree.c
base_PKGS := jansson yaml-0.1

# The walls of confined processes.
LIBRARIES += confine
confine_SRCS := $(addprefix hv-shim/base/,confine.c confine_seccomp.c)
confine_PKGS := libseccomp
