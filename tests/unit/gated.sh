#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Runs a program built with sanitizers and fails if it fails, or if any process
# of it wrote a sanitizer report: Criterion 2.4 counts a test that leaks, or
# reports without dying, as passed.
#
#   tests/unit/gated.sh PROGRAM [ARGUMENT...]
#   tests/unit/gated.sh --check    # that a leak is seen; needs build/asan/tests/gate/leaky
#
# Exit: the program's status; 1 if there were reports (printed to stderr).
set -u
cd "$(dirname "$0")/../.." || exit 1

if [ "${1-}" = --check ]; then
	report=$("$0" build/asan/tests/gate/leaky 2>&1)
	status=$?
	if [ $status -eq 1 ] && [[ $report == *"detected memory leaks"* ]]; then
		echo "gated.sh: a leak is seen"
		exit 0
	fi
	printf '%s\ngated.sh: a leak went unseen\n' "$report" >&2
	exit 1
fi
if [ $# -eq 0 ]; then
	echo "usage: tests/unit/gated.sh PROGRAM [ARGUMENT...] | --check" >&2
	exit 2
fi

logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}log_path=$logs/asan:detect_leaks=1"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}log_path=$logs/ubsan:print_stacktrace=1"
"$@"
status=$?
reports=$(find "$logs" -type f -size +0)
if [ -n "$reports" ]; then
	count=$(wc -l <<<"$reports")
	# shellcheck disable=SC2086
	head -qn 60 $reports >&2
	echo "gated.sh: $1: $count sanitizer report(s)" >&2
	[ $status -eq 0 ] && status=1
fi
exit $status
