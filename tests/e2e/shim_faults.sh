#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The daemon's system calls fail, once or from the Nth on for ever, and so do its
# allocations, those of its libraries too. It must answer or end with a line that
# says why, never crash or hang; once the fault is over the document is applied, and
# what there is must be what there is without any fault. faults/ has it all;
# OTR_FULL=1 takes every N of system calls and every tenth allocation, else every
# k-th; FAULTS=M takes M times as many of these.
. "$(dirname "$0")/lib.sh"

faults() { # MODE STEP FULL-STEP PHASE...
	local step=$((($2 + ${FAULTS:-1} - 1) / ${FAULTS:-1}))
	[ -z "${OTR_FULL:-}" ] || step=$3
	say "every $step of $1"
	OTR_BUILD=$build OTR_E2E_MARK=$state "$helpers/shim_faults" "$1" "$state" "$daemon_log" $step \
		"${@:4}" || failures=$((failures + 1))
	rm -rf "${state:?}"/*
}
faults once 60 1 apply attach restart prune
faults forever 80 1 apply attach prune
faults malloc-once 1000 10 apply attach restart
faults malloc-forever 2000 10 apply start
exit $failures
