#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every test there is, as `make test` runs them: builds what is needed, runs as
# many suites at a time as there are processors, prints a line for each, the
# whole log of those that failed, and a summary. The kinds of suites:
#
#   unit/NAME       a Criterion program of tests/unit, release build
#   unit-asan/NAME  the same under AddressSanitizer and UBSan, by gated.sh
#   unit-asan-gate  that gated.sh sees a leak, which Criterion does not
#   race/NAME       a program of tests/race under ThreadSanitizer
#   race-plain/NAME the same, release build: other timing
#   model/all       tests/model/run.sh
#   fuzz/NAME       tests/fuzz/run.sh SECONDS NAME
#   storm/NAME      tests/storm/NAME.sh: as e2e/, and not in `make test` unless asked for
#   e2e/NAME        tests/e2e/NAME.sh, if executable
#   e2e-asan/NAME   some of them with every process under AddressSanitizer and UBSan,
#                   by sanitized.sh
#   coverage/listed tests/coverage/listed.sh: the list of what no test can reach is of
#                   what is there
#   rig/all         tests/rig/run.sh: in a virtual machine with an SR-IOV card
#
# A suite that writes TAP lines ("ok - name", "not ok - name", "ok - name # SKIP
# why") counts for as many tests as it has lines, else for one: exit status 0
# passed, 77 skipped (the reason is the last line), all else failed. Criterion
# and the models write TAP, and fail if they run no test.
#
#   ONLY=REGEX       the suites whose name matches; none is an error
#   FUZZ_SECONDS=20  for each fuzz target
#   ATTACHES=2000    times that the neighbour of e2e/hostile_neighbour comes and goes
#   FAULTS=1         of e2e/shim_faults: so many times as many places
#   ROUNDS=25        deeds of e2e/churn, and of e2e-asan/churn
#   PEER_STEP=12     of e2e/peer_faults; 1: every kind of call
#   FLIPS=10000000   ring entries that unit/flipper reads while they are rewritten
#   STORM_SECONDS=2, KILLS=4  of random quanta, and adjuncts killed under them, in e2e/yield;
#                    `make nightly` has an hour of them
#   POINTS=N         storm/yield_deaths as well: so many instructions of a yield, on either side,
#                    at which each of those concerned is killed; `make nightly` has 20
#   SUITE_SECONDS=300  that a suite may take
#   SHARE_SECONDS=1           of two clients that want all of a global adjunct, in e2e/global
#   EDGES=all, STEPS=all  kill an adjunct at every edge, at every instruction: minutes
#   EVENT_OPERATIONS=10000000 random ones that unit/event_queues compares
#   FLIPPED_EVENTS=60000      entries that it forwards while they are rewritten
#   RIG=0            not rig/all, which is then a skip
#   JOBS=N           suites at a time, but for e2e and rig
#   CI=true          a skip is a failure
#   FLAVOR=coverage  that build, unit/, e2e/ and rig/ suites alone; see tests/coverage/run.sh
#
# Programs under test find the build in $OTR_BUILD. Logs: $OTR_BUILD/test-logs/.
set -u -o pipefail
cd "$(dirname "$0")/.."

flavor=${FLAVOR:-release}
case $flavor in
release) out=build ;;
coverage) out=build/coverage ;;
*) echo "FLAVOR is release or coverage, not $flavor"; exit 2 ;;
esac
export OTR_BUILD=$PWD/$out
logs=$OTR_BUILD/test-logs
only=${ONLY:-.}
jobs=${JOBS:-$(nproc)}
fuzz_seconds=${FUZZ_SECONDS:-20}
suite_seconds=${SUITE_SECONDS:-300}
unset MAKEFLAGS MFLAGS MAKELEVEL FLAVOR

mkdir -p "$logs"
started=$SECONDS
[ -t 1 ] && calm=$'\r\033[K' || calm=

# ---- Which suites ----------------------------------------------------------
programs=$(make -s list-tests) || exit 1
suites=()
add() {
	if [ "$flavor" = coverage ]; then
		[[ $1 == unit/* || $1 == e2e/* || $1 == rig/* ]] || return 0
		# One rewrites memory a hundred million times, one has a build of its own, and
		# one looks at how an image was built; none takes a branch that the others do not.
		[[ $1 != unit/flipper && $1 != e2e/edges && $1 != e2e/registers ]] || return 0
	fi
	[[ ! $1 =~ $only ]] || suites+=("$1")
}
# Those that take longest start first; end-to-end tests come last, one at a time:
# they look at latency, at losses and at the CPU time of an idle system.
add model/all
add coverage/listed
for target in $(make -s fuzz-targets); do add "fuzz/$target"; done
for program in $programs; do
	case $program in
	unit/*) add "unit-asan/${program#*/}" ;;
	race/*) add "$program"; add "race-plain/${program#*/}" ;;
	esac
done
add unit-asan-gate
for program in $programs; do
	[[ $program != unit/* ]] || add "$program"
done
for script in tests/e2e/*.sh; do
	[ ! -x "$script" ] || add "e2e/$(basename "$script" .sh)"
done
# Those in which most is attached, unmapped and killed.
for name in adjunct churn soft_adapter; do add "e2e-asan/$name"; done
[ -z "${POINTS:-}" ] || add storm/yield_deaths
add rig/all
if [ ${#suites[@]} -eq 0 ]; then
	echo "No test matches ONLY=$only."
	exit 1
fi
wanted() { local s; for s in "${suites[@]}"; do [[ $s != "$1"* ]] || return 0; done; return 1; }

# ---- Build -----------------------------------------------------------------
targets() { # FOLDER KIND...: the test programs of these kinds, under FOLDER
	local folder=$1 kind program
	shift
	for kind; do
		for program in $programs; do
			[[ $program != "$kind"/* ]] || printf '%s/tests/%s\n' "$folder" "$program"
		done
	done
}
build() { # FLAVOR TARGET...
	local flavor=$1
	shift
	[ $# -gt 0 ] || return 0
	printf '%-8s %-8s' build "$flavor"
	local from=$SECONDS
	if ! make -j"$(nproc)" FLAVOR="$flavor" "$@" >"$logs/build-$flavor.log" 2>&1; then
		printf '\n'
		cat "$logs/build-$flavor.log"
		echo "The $flavor build failed."
		exit 1
	fi
	printf '%36d s\n' $((SECONDS - from))
}
release=()
# shellcheck disable=SC2046,SC2207 # one word each
{
	# What was counted belongs to one version of every program: no old one may be left.
	if wanted e2e/ || wanted storm/ || wanted rig/ || [ "$flavor" = coverage ]; then
		release+=(all $(targets "$out" e2e))
	fi
	if wanted unit/ || [ "$flavor" = coverage ]; then release+=($(targets "$out" unit)); fi
	! wanted e2e/edges || build edges build/edges/tests/e2e/ethdev_edges
	! wanted race-plain/ || release+=($(targets build race))
	build "$flavor" "${release[@]}"
	! wanted race/ || build tsan $(targets build/tsan race)
	asan=()
	! wanted unit-asan || asan+=($(targets build/asan unit) build/asan/tests/gate/leaky)
	! wanted e2e-asan/ || asan+=(all $(targets build/asan e2e))
	build asan "${asan[@]}"
	! wanted fuzz/ || build fuzz fuzz-programs
}
# What the rig is made of, downloaded once; if that fails, the suite says so.
! wanted rig/ || [ "${RIG:-1}" = 0 ] || tests/rig/layer.sh >/dev/null

# ---- Run -------------------------------------------------------------------
# Becomes one suite; its output is the log, its exit status what the suite says.
run_suite() { # SUITE LOG
	local name=${1#*/} command
	if [ "$flavor" = coverage ]; then
		# Some suites run programs as another user, who may write what only he opens.
		mkdir -p -m 1777 "$OTR_BUILD/raw/$1"
		export LLVM_PROFILE_FILE=$OTR_BUILD/raw/$1/%m%c.profraw
	fi
	case $1 in
	unit/*) command=("$out/tests/unit/$name" --tap="$2.tap") ;;
	unit-asan/*) command=(tests/unit/gated.sh "build/asan/tests/unit/$name" --tap="$2.tap") ;;
	unit-asan-gate) command=(tests/unit/gated.sh --check) ;;
	# Without a random address space: older runtimes refuse some layouts of new kernels.
	race/*) command=(setarch -R "build/tsan/tests/race/$name") ;;
	race-plain/*) command=("build/tests/race/$name") ;;
	model/*) command=(tests/model/run.sh) ;;
	fuzz/*) command=(tests/fuzz/run.sh "$fuzz_seconds" "$name") ;;
	e2e/* | storm/*) command=("tests/$1.sh") ;;
	e2e-asan/*) command=(tests/sanitized.sh "$name") ;;
	coverage/listed) command=(tests/coverage/listed.sh) ;;
	rig/*)
		command=(tests/rig/run.sh) suite_seconds=$((suite_seconds * 2))
		# It ends by itself then, with what it has counted.
		[ "$flavor" != coverage ] || suite_seconds=$((suite_seconds + 360))
		;;
	esac
	# timeout hands a signal on to all that its command started.
	exec timeout -k 10 "$suite_seconds" "${command[@]}" >"$2" 2>&1 </dev/null
}

passed=0 failed=0 skipped=0 done=0
failures=() skips=()
# Counts one finished suite and prints its line.
account() { # SUITE LOG STATUS SECONDS
	local suite=$1 log=$2 status=$3 line name
	local ok=0 bad=0 skip=0 tap=$log
	case $status in
	124 | 137) echo "Not done after $4 seconds." >>"$log" ;;
	esac
	[ ! -e "$log.tap" ] || tap=$log.tap
	while IFS= read -r line; do
		name=$(sed -E 's/^(not )?ok( [0-9]+)?( -)? *//; s/ +\([0-9.]+s\)$//' <<<"$line")
		case $line in
		*"# SKIP"* | *"# skip"*)
			skip=$((skip + 1))
			skips+=("$suite: $name") ;;
		"not ok"*)
			bad=$((bad + 1))
			failures+=("$suite: $name") ;;
		*) ok=$((ok + 1)) ;;
		esac
	done < <(grep -aE '^(not )?ok( |$)' "$tap")
	if [ $((ok + bad + skip)) -eq 0 ]; then
		if [ "$status" -eq 77 ]; then
			skip=1
			skips+=("$suite: $(tail -n 1 "$log")")
		elif [ "$status" -ne 0 ]; then
			bad=1
			failures+=("$suite: exit status $status")
		elif [[ $suite == unit* && $suite == */* ]] || [[ $suite == model/* ]]; then
			bad=1
			failures+=("$suite: ran no test")
		else
			ok=1
		fi
	elif [ $bad -eq 0 ] && [ "$status" -ne 0 ]; then
		bad=1
		failures+=("$suite: exit status $status")
	fi
	done=$((done + 1))
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	local word=ok
	[ $skip -eq 0 ] || word=skip
	[ $bad -eq 0 ] || word=FAIL
	printf '%s%-8s %-32s %3d tests %5d s\n' "$calm" "$word" "$suite" $((ok + bad + skip)) "$4"
	[ $bad -eq 0 ] || { echo "---- $log"; cat "$log"; echo "----"; }
}

declare -A suite_of=() log_of=() began=()
finish_one() {
	local pid status
	wait -n -p pid "${!suite_of[@]}"
	status=$?
	account "${suite_of[$pid]}" "${log_of[$pid]}" $status $((SECONDS - began[$pid]))
	unset "suite_of[$pid]"
}
# Interrupted: nothing of ours stays behind.
trap 'kill "${!suite_of[@]}" 2>/dev/null; wait; exit 130' INT TERM

for suite in "${suites[@]}"; do
	[[ $suite != e2e* && $suite != storm/* && $suite != rig/* ]] || jobs=1
	while [ ${#suite_of[@]} -ge "$jobs" ]; do finish_one; done
	log=$logs/${suite//\//-}.log
	rm -f "$log" "$log.tap"
	[ -z "$calm" ] || printf '%s%-8s %s' "$calm" run "$suite"
	run_suite "$suite" "$log" &
	suite_of[$!]=$suite log_of[$!]=$log began[$!]=$SECONDS
done
while [ ${#suite_of[@]} -gt 0 ]; do finish_one; done

# ---- Summary ---------------------------------------------------------------
printf '\n%d suites in %d s; logs in %s/test-logs/\n' ${#suites[@]} $((SECONDS - started)) "$out"
for line in "${failures[@]}"; do echo "failed:  $line"; done
for line in "${skips[@]}"; do echo "skipped: $line"; done
status=0
[ $failed -eq 0 ] && [ $done -eq ${#suites[@]} ] || status=1
if [ $skipped -gt 0 ] && [ "${CI:-}" = true ]; then
	echo "CI=true: a skip is a failure."
	status=1
fi
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
exit $status
