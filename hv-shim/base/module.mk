# SPDX-License-Identifier: BSD-2-Clause
LIBRARIES += base
base_SRCS := hv-shim/base/net_layout.c
base_PKGS := jansson
