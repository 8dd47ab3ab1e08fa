# SPDX-License-Identifier: BSD-2-Clause
# The program `outrigger`. Everything but main() is a library, so that the unit
# tests reach it; document_schema.c is the daemon's description of the document.
LIBRARIES += cli
cli_SRCS := $(addprefix hv-shim/cli/,cmd_adjunct.c cmd_device.c cmd_events.c cmd_exec.c cmd_log.c cmd_partition.c \
	cmd_stats.c cmd_status.c cmd_up.c command_table.c completion.c connect.c errors.c help.c \
	options.c output.c partition_spec.c progress.c source.c units.c) hv-shim/document_schema.c
cli_PKGS := jansson smartcols
cli_TEXTS := hv-shim/cli/outrigger.1.in

PROGRAMS += outrigger
outrigger_SRCS := hv-shim/cli/main.c
outrigger_PKGS := jansson smartcols
outrigger_USES := cli base
outrigger_LDFLAGS := -lm
outrigger_OUT := bin/outrigger
