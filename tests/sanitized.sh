#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Runs an end-to-end test with every process of the system, and the test's own
# programs, built with AddressSanitizer and UBSan (build/asan), and fails if one of
# them reports. Leaks are not looked for: confined processes may not, and
# tests/unit/gated.sh does. Confinement is as ever, but for what the sanitizer cannot do
# without (base/confine.c, confine_seccomp.c).
#
#   tests/sanitized.sh NAME     of tests/e2e/NAME.sh
#
# Exit: the test's status; 1 if there were reports. The daemon's log, which has those
# of its children, is looked at by tests/e2e/lib.sh.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

export OTR_BUILD=$PWD/build/asan
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}print_stacktrace=1"
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
"tests/e2e/$1.sh" 2>&1 | tee "$log"
status=$?
if grep -qE 'AddressSanitizer: |runtime error: ' "$log"; then
	echo "sanitized.sh: a sanitizer reported"
	[ $status -ne 0 ] || status=1
fi
exit $status
