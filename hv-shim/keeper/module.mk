# SPDX-License-Identifier: BSD-2-Clause
PROGRAMS += outrigger-keeper
outrigger-keeper_SRCS := hv-shim/keeper/main.c hv-shim/keeper/methods.c hv-shim/keeper/store.c \
	hv-shim/keeper/namespace.c hv-shim/keeper/tap.c hv-shim/keeper/confine.c
outrigger-keeper_PKGS := jansson libnl-3.0 libnl-route-3.0 libseccomp
outrigger-keeper_USES := confine base
outrigger-keeper_OUT := libexec/outrigger/outrigger-keeper
outrigger-keeper_TEXTS := hv-shim/org.outrigger.Keeper.varlink
