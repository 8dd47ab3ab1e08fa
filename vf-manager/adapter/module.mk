# SPDX-License-Identifier: BSD-2-Clause
# The process behind an adapter of kind sriov.
PROGRAMS += vf_adapter
vf_adapter_SRCS := $(addprefix vf-manager/adapter/,main.c methods.c confine.c control.c card.c \
	faults.c watch.c)
vf_adapter_PKGS := jansson libseccomp
vf_adapter_USES := vfmanager confine base
vf_adapter_OUT := libexec/outrigger/outrigger-vf-adapter
vf_adapter_TEXTS := adjunct-drivers/soft-adapter/org.outrigger.Adapter.varlink
