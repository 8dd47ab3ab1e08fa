# SPDX-License-Identifier: BSD-2-Clause
# The program `outrigger`. Everything but main() is a library, so that the unit
# tests reach it.
LIBRARIES += cli
cli_SRCS := $(addprefix hv-shim/cli/,cmd_adjunct.c cmd_device.c cmd_events.c cmd_exec.c cmd_log.c cmd_partition.c \
	cmd_stats.c cmd_status.c cmd_top.c cmd_up.c cmd_vf.c cmd_vf_change.c cmd_vf_report.c command_table.c completion.c connect.c errors.c help.c \
	options.c output.c partition_spec.c progress.c source.c units.c watch.c)
cli_PKGS := jansson smartcols libsystemd
cli_TEXTS := hv-shim/cli/outrigger.1.in

PROGRAMS += outrigger
outrigger_SRCS := hv-shim/cli/main.c
outrigger_PKGS := jansson smartcols
outrigger_USES := cli document vfmanager base
outrigger_LDFLAGS := -lm
outrigger_OUT := bin/outrigger
