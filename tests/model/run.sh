#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Checks the models with Spin: each as it stands, which must hold for every
# interleaving, and with each bug that its source plants (PLANT_...), which Spin
# must find: a model that cannot fail proves nothing. Writes one TAP line each;
# exit status 0 if all came out as they must. `run.sh ring` checks one model. Two
# checks run at a time: one needs up to 650 MB.
set -u -o pipefail
cd "$(dirname "$0")"
work=${OTR_BUILD:-../../build}/model
check_seconds=120
at_a_time=2
failed=0 number=0
mkdir -p "$work" && work=$(cd "$work" && pwd) || exit 1

if ! command -v spin >/dev/null; then
	echo "spin is not installed (Debian package spin)"
	exit 77
fi

# Says "holds", "violated" or what went wrong.
check() { # MODEL [MACRO]
	local model=$PWD/$1.pml name=$1${2:+-$2}
	local folder=$work/$name
	rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || return
	# Most searches are over at once; to optimise them would take longer than they do.
	spin -a ${2:+-D"$2"} "$model" >spin.log 2>&1 &&
		gcc -O0 -w -o pan pan.c >gcc.log 2>&1 || { echo "does not compile"; return; }
	# Invalid end states (a process asleep for ever) and assertions, whole state space.
	timeout "$check_seconds" ./pan -m1000000 >pan.log 2>&1
	if ! grep -q '^State-vector' pan.log; then
		echo "did not finish in $check_seconds s"
	elif grep -q 'errors: 0' pan.log && ! grep -q 'max search depth too small' pan.log; then
		echo "holds"
	elif grep -qE 'invalid end state|assertion violated' pan.log; then
		echo "violated"
	else
		echo "incomplete search"
	fi
}

models=() expected=() macros=()
expect() { # MODEL RESULT [MACRO]
	models+=("$1") expected+=("$2") macros+=("${3:-}")
}

report() { # MODEL RESULT MACRO
	local result title="$1: $2${3:+ with $3}"
	result=$(cat "$work/$1${3:+-$3}.result")
	number=$((number + 1))
	if [ "$result" = "$2" ]; then
		echo "ok $number - $title"
	else
		echo "not ok $number - $title: $result"
		failed=1
	fi
}

for model in ${1:-*.pml}; do
	model=${model%.pml}
	expect "$model" holds
	# Those that only its comment names, too: without code for it a bug is not found.
	plants=$(grep -oE 'PLANT_[A-Z0-9_]+' "$model.pml" | sort -u)
	if [ -z "$plants" ]; then
		echo "not ok - $model: plants no bug"
		failed=1
	fi
	for plant in $plants; do
		expect "$model" violated "$plant"
	done
done
running=0
for i in "${!models[@]}"; do
	if [ $running -ge $at_a_time ]; then
		wait -n
		running=$((running - 1))
	fi
	check "${models[i]}" "${macros[i]}" >"$work/${models[i]}${macros[i]:+-${macros[i]}}.result" &
	running=$((running + 1))
done
wait
for i in "${!models[@]}"; do
	report "${models[i]}" "${expected[i]}" "${macros[i]}"
done
echo "1..$number"
exit $failed
