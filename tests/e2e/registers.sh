#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Images whose manifest says `fp: no` (adjunct-drivers/adj.h): no instruction in them names
# a vector or floating-point register, and none is in use when they hand a processor back,
# as they notice themselves (adjunct-drivers/runtime/registers.h). Both looks are shown to
# find what they look for, by the image hog, which was made so and uses vectors when asked.
. "$(dirname "$0")/lib.sh"

[ "$(uname -m)" = x86_64 ] || skip "fp: no is a mark without a consequence but on x86_64"
export OUTRIGGER_STATE_DIR=$state
libexec=$work/libexec
yields() { timeout 60 taskset -c 0 "$helpers/yielder" "$@"; }
disassembled() { objdump -d --no-show-raw-insn "$1" >"$work/code"; }
# general_only PROGRAM: all of it. The x87's instructions begin with an f, as no other does.
general_only() {
	disassembled "$1" || return 1
	[ "$(grep -cP '^ +[0-9a-f]+:\t' "$work/code")" -gt 5000 ] || { echo "that is no program"; return 1; }
	not grep -P -m 5 '%[xyz]mm\d|%st\b|%mm[0-7]|%k[0-7]|:\t(?:\S+ )?f[a-z]' "$work/code"
}
says_so() { "$1" --version | grep -q 'general registers only'; }

cp -r "$build/libexec/outrigger" "$libexec" || exit 1
cp "$helpers/hog" "$libexec/outrigger-adjunct-hog" || exit 1
cat >"$libexec/images/hog.yaml" <<'END'
name: hog
version: 0.1.0
interface: 1
executable: outrigger-adjunct-hog
class: net
devices: [echo]
memory: {minimum: 1M, default: 1M}
ports: [native]
fp: no
END

marked_so=0
for manifest in "$build"/libexec/outrigger/images/*.yaml; do
	program=$libexec/$(sed -nE 's/^executable: *([^ ]+).*/\1/p' "$manifest")
	name=$(basename "$manifest" .yaml)
	if grep -qE '^fp: no\b' "$manifest"; then
		check "$name has general registers only" general_only "$program"
		check "$name was made so, and says so" says_so "$program"
		marked_so=$((marked_so + 1))
	else
		check "$name was not made so" not says_so "$program"
	fi
done
check "there is an image that says so" [ $marked_so -gt 0 ]
check "one vector instruction is found in one that should have none" not general_only "$libexec/outrigger-adjunct-hog"
said "it is that one" 'vpcmpeqb %ymm0'
check "it says that it was made so" says_so "$libexec/outrigger-adjunct-hog"

# ---- While they serve -----------------------------------------------------------------------
need "the daemon starts" daemon_start --libexec "$libexec"
need "up: two adjuncts that are lent a processor" up <<'END'
version: 1
adapters: [{name: echo0, kind: echo, vfs: 2}]
partitions:
  - name: red
    devices:
      - {name: net0, kind: native, vf: {adapter: echo0, index: 0}, adjunct: {image: echo, cpu: donated}}
      - {name: net1, kind: native, vf: {adapter: echo0, index: 1}, adjunct: {image: hog, cpu: donated}}
END
for deed in sizes order full "frames 3000" "storm 1 1"; do
	# shellcheck disable=SC2086
	check "echo: $deed" yields red net0 $deed
done
# The frames alone are some hundred dispatches, of which it looks at one in 64.
check "echo had no vector registers in use" not log_says 'red.net0: .*vector registers'
if grep -qw xgetbv1 /proc/cpuinfo; then
	check "hog takes some" yields red net1 vectors
	check "which it notices" within 10 log_says 'red.net1: .*vector registers were in use; they are cleared'
	check "and once they are cleared, no more" yields red net1 vectors
	check "that is said once" [ "$(grep -c 'red.net1: .*vector registers' "$daemon_log")" = 1 ]
else
	check "a processor that does not tell is not asked" yields red net1 vectors
	check "and nothing is said" not log_says 'vector registers'
fi
finish
