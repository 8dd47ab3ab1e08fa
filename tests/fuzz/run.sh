#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Builds the fuzz targets and runs each for a bounded time, one after the other.
#
#   tests/fuzz/run.sh [SECONDS [TARGET...]]     # 10 seconds, all targets
#
# Prints one line for each target, and a sum. What a target finds is kept as
# build/fuzz/crashes/TARGET-*, its log as build/fuzz/TARGET.log; inputs that
# reached new code gather in build/fuzz/corpus/TARGET/ and are used again.
# To look at a find: build/fuzz/tests/fuzz/TARGET build/fuzz/crashes/TARGET-...
#
# Exit: 0 all ran and found nothing; 1 a target failed; 2 usage; 77 skipped:
# there is no clang with libFuzzer.
set -u
cd "$(dirname "$0")/../.." || exit 1

seconds=${1:-10}
if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then
	echo "usage: tests/fuzz/run.sh [SECONDS [TARGET...]]" >&2
	exit 2
fi
shift $(($# > 0))
out=build/fuzz
mkdir -p $out/crashes || exit 1

# Several runs at a time build one after the other, and none shares a target's
# log and corpus with another.
hold() { # NAME: the lock is kept until the next one, or the end
	exec 9>"$out/$1.lock"
	flock -w 600 9 && return
	echo "fuzz: FAILED: another run holds $out/$1.lock"
	exit 1
}

clang=$(make --silent --no-print-directory FLAVOR=fuzz fuzz-compiler)
probe='#include <stddef.h>
int LLVMFuzzerTestOneInput(const unsigned char *d, size_t n); int LLVMFuzzerTestOneInput(const unsigned char *d, size_t n) { return !d && n; }'
if ! $clang -fsanitize=fuzzer,address,undefined -x c -o $out/probe.$$ - <<<"$probe" 2>$out/probe.$$.log; then
	echo "fuzz: SKIP all targets: $clang cannot link libFuzzer (packages clang, libclang-rt-dev)"
	exit 77
fi
rm -f $out/probe.$$ $out/probe.$$.log

all=$(make --silent --no-print-directory FLAVOR=fuzz fuzz-targets) || exit 1
read -ra targets <<<"${*:-$all}"
hold build
if ! make --silent --no-print-directory -j"$(nproc)" FLAVOR=fuzz fuzz-programs >&2; then
	echo "fuzz: FAILED: the targets do not build"
	exit 1
fi

failed=0
for target in "${targets[@]}"; do
	program=$out/tests/fuzz/$target
	seeds=tests/fuzz/corpus/$target
	log=$out/$target.log
	if [ ! -x "$program" ] || [ ! -d "$seeds" ]; then
		echo "fuzz $target: FAILED: no such target, or no seeds in $seeds"
		failed=$((failed + 1))
		continue
	fi
	hold "$target"
	mkdir -p "$out/corpus/$target"
	options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=1500 -max_len=16384
		-print_final_stats=1 -artifact_prefix="$out/crashes/$target-")
	[ -f "tests/fuzz/$target.dict" ] && options+=(-dict="tests/fuzz/$target.dict")
	# The outer limit is for a target that hangs outside libFuzzer's own clock.
	timeout -k 5 $((seconds + 120)) "$program" "${options[@]}" "$out/corpus/$target" "$seeds" \
		>"$log" 2>&1
	status=$?
	executions=$(awk '/^stat::number_of_executed_units:/ {print $2}' "$log")
	if [ $status -eq 0 ] && [ "${executions:-0}" -gt 0 ]; then
		echo "fuzz $target: $executions executions in $seconds s, ok"
	else
		find_file=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
		echo "fuzz $target: ${executions:-0} executions, FAILED (status $status):" \
			"${find_file:-see} $log"
		grep -m3 -E 'ERROR:|SUMMARY:|not so:|runtime error' "$log"
		failed=$((failed + 1))
	fi
done
echo "fuzz: ${#targets[@]} targets, $((${#targets[@]} - failed)) ok, $failed failed"
[ $failed -eq 0 ]
