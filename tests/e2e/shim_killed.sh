#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The daemon is killed at its Nth system call while it applies a document, serves a
# program's attach, restarts adjuncts, takes partitions away, takes everything down,
# starts, and starts after it was killed in the middle of a change; every other time
# the next one is killed as well. Each time the document is applied again, and then
# there must be the same processes, descriptors, namespaces, mounts, memory files and
# files as ever, and a program's frames must arrive; where its device stands they must
# even while no daemon runs. faults/ has it all; OTR_FULL=1 takes every N, which
# takes half an hour, else every 70th.
. "$(dirname "$0")/lib.sh"

step=70
[ -z "${OTR_FULL:-}" ] || step=1
OTR_BUILD=$build OTR_E2E_MARK=$state "$helpers/shim_faults" killed "$state" "$daemon_log" $step \
	apply attach restart prune down start resume
failures=$?
exit $failures
