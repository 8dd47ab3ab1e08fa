#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# `make coverage`: builds everything with counters (clang), runs the unit and the
# end-to-end tests and the rig on that build, and judges which branches they took
# (report.sh). A suite that fails here fails the whole, as in `make test`.
#
#   ONLY=REGEX     those suites alone, added to what an earlier run counted
#   FAULTS=4       so many times as many places for faults in the daemon as `make test` has
#
# The counters of a program are mapped from a file of build/coverage/raw/ before
# main() begins: what was counted survives SIGKILL, seccomp and an empty root, and
# costs a program no system call of its own. Several processes count in one file at the
# same time, so that all counting is atomic: most outcomes are differences of counts.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1

# Of all branches; core files must have every one that can be reached. What is
# missing are above all the ways in which the daemon's own system calls can fail.
overall_percent=87

[ -n "${ONLY-}" ] || rm -rf build/coverage/raw
export FAULTS=${FAULTS:-4}
FLAVOR=coverage tests/run.sh
status=$?
tests/coverage/report.sh "$overall_percent" || status=1
exit $status
