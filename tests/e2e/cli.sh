#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The command line against a shim that answers from a file (fake_shim.c): every
# command as text and as JSON, what it asks the daemon for, its errors and exit
# statuses, the bar on a terminal, completion, and the manual page. TAP lines.
answers=tests/e2e/cli_answers.json
. "$(dirname "$0")/cli.inc"

# ---- Every command, as text and as JSON ----------------------------------------
run status
gives 0 status
quiet status
equals "status draws the system" <<'END'
● outriggerd 0.1.0 · up 3 min 20 s · pid 4711 · rootless · /run/user/1000/outrigger

PARTITION  STATE     REACHED BY                            ADJUNCT                   VF
red        running
└─net0     running   10.77.0.1/24                       →  ethdev, up 3 min 12 s  →  soft0 vf 0
blue       running
└─net0     running   10.77.0.2/24, fd00::2/64 on eth7   →  ethdev, up 3 min 12 s  →  soft0 vf 1
vm         failed    owner alice
├─net0     starting  /run/outrigger/vhost/vm.net0.sock  →  ethdev                 →  soft0 vf 2
└─ring0    failed    shared rings                       →  ethdev                 →  soft0 vf 3, link down

ADAPTER  STATE    LINK  KIND      VFS IN USE       FIRMWARE  MODEL
soft0    running  up    embedded  ■■■■□□□□ 4 of 8  1.0.0     Outrigger soft adapter

! vm/ring0: the adjunct ended with status 1 during its start: ?[31mno port?[0m
END
LC_ALL=C run status
! grep -q '[^[:print:][:space:]]' "$out"
report $? "status is ASCII where the locale is"
run status -j
json '.version == 1 and .pid == 4711 and (.partitions | length) == 3' "status -j"
run -j status
json '.state_dir == "/run/user/1000/outrigger"' "-j before the command"

run partition list
gives 0 "partition list"
says "vm    failed   alice  no         net0, ring0" "partition list: a row"
run partition
says "NAMESPACE" "a noun alone lists"
run partition list -j
json '.version == 1 and .partitions[0].name == "red"' "partition list -j"
json 'has("adjuncts") | not' "partition list: no adjuncts"
run partition list --all
says "red.net0   running   adjunct, local  -          drives soft0 vf 0" "partition list --all: adjuncts, too"
run partition list -a -j
json '.partitions[0].name == "red" and .adjuncts[0].name == "red.net0"' "partition list -a -j"
run partition show vm
says "/run/outrigger/partition/vm.sock" "partition show: the socket"
says "! vm/ring0: " "partition show: what is wrong"
run partition show red -j
json '.partition.devices[0].addresses == ["10.77.0.1/24"]' "partition show -j"

run device list
says "02:11:22:33:44:34" "device list: the MAC address"
run device list red
[ "$(wc -l <"$out")" = 2 ]
report $? "device list PARTITION: only its own"
asked '.parameters == {"partition": "red"}' "device list PARTITION: asked for"
run device list -j
json '.devices | length == 4' "device list -j"
run device show red/net0
says "driven by   red.net0" "device show"
asked '.parameters == {"partition": "red", "device": "net0"}' "device show: asked for"
run device show red/net0 -j
json '.device.name == "net0"' "device show -j"

run device stats
says "red/net0      2.44 M   3.65 GB     1.22 M   78.0 MB           7           0" "device stats: SI units, and what the function dropped"
run device stats red/net0
says "tx_bytes          1851850500  1851850500" "device stats of one: exact counters"
says "tx_spoof_dropped           -           7" "device stats of one: the function's counters"
run device stats -j
json '.stats[0].counters.tx_frames == 2436000' "device stats -j"
run device stats -w -i 0.1
gives 0 "device stats -w"
says "red/net0         812 k     9744.0        406 k      207.9          0     8.12 k" "device stats -w: rates"
says "blue/net0        406 k     4872.0        203 k      103.9          3" "device stats -w: dropped frames"
asked '.more and .parameters.interval_ms == 100' "device stats -w: the interval"
run device stats -w -j
jq -es 'length == 3 and .[2].version == 1 and .[2].stats[0].per_second.tx_frames == 812000 and
	(.[0].stats[0] | has("per_second") | not)' "$out" >/dev/null
report $? "device stats -w -j: an object a line, with rates from the second on"

run adjunct list
says "red.net0   running   ethdev  soft0 vf 0  local  shared  32 MiB  3 min 12 s  4901" "adjunct list"
run adjunct list -j
json '.adjuncts | length == 4' "adjunct list -j"
run adjunct show red.net0
says "private memory  3.40 MiB" "adjunct show"
run adjunct show red.net0 -j
json '.adjunct.image == "ethdev"' "adjunct show -j"

run log
equals "log: time, level, message; no control characters" <<'END'
2023-11-14 22:13:20.000 info    outriggerd 0.1.0 started
2023-11-14 22:13:20.001 debug   keeper red: connected
2023-11-14 22:13:22.500 warning adapter soft0: ?]0;evil? link down
2023-11-14 22:13:23.500 error   adjunct vm.ring0: ended with status 1
END
asked '.more and .parameters == {"lines": 100, "follow": false}' "log: asked for"
run log -f -n 7 -j
asked '.parameters == {"lines": 7, "follow": true}' "log -f -n 7: asked for"
jq -es 'length == 4 and .[3].level == 3 and .[0].version == 1' "$out" >/dev/null
report $? "log -j: an object a line"

run events show
gives 0 "events show"
says "3 of 16" "events show: what waits in a queue"
run events top -n 1 -i 0.1
gives 0 "events top"
sed -i "s/$(printf '\\033')[^A-Za-z]*[A-Za-z]//g" "$out"
grep -qE '^red +2 +2\.00 k ' "$out"
report $? "events top: a partition's rate"
grep -qE '^young +0 +- ' "$out"
report $? "events top: none of a partition that has just come"
grep -qE '^red +99 +net0 +3 of 16 +- ' "$out"
report $? "events top: nor of a guest that has"
grep -qE '^red +71 +net0 +3 of 16 +2\.50 k +5 +2 +broken' "$out"
report $? "events top: a queue that its guest has broken"

run version
says "outriggerd 0.1.0, running" version
run version -j
json '.version == 1 and .outriggerd == "0.1.0"' "version -j"
outrigger --state-dir "$work/nowhere" version >"$out" 2>"$err"
status=$?
gives 0 "version without a daemon"
says "outriggerd does not run here" "version without a daemon says so"

# ---- up and down -----------------------------------------------------------------
document() { printf '# %s\nversion: 1\nadapters: []\npartitions:\n  - name: réd   # first\n' "$1" >"$work/$1.yaml"; }
for scenario in changes same planned fails refused busy gone slow; do document $scenario; done
run up -f "$work/changes.yaml"
gives 0 up
sed -i 's/ in [0-9.]* m\?s$/ in TIME/' "$out"
equals "up: what changed, and a summary" <<'END'
+ adapter soft0: embedded, 8 VFs
+ partition red
+ device red/net0
~ device blue/net0: vlan 0 -> 5
-/+ device vm/net0: kind native -> vhost-user
- partition green
3 created, 2 changed, 1 removed in TIME
END
quiet "up without a terminal"
jq -e --rawfile text "$work/changes.yaml" --arg path "$work/changes.yaml" '.more and .parameters ==
	{document: $text, file: $path, dry_run: false, prune: false}' "$requests" >/dev/null
report $? "up: asked for"
run up -f "$work/changes.yaml" -q
[ ! -s "$out" ] && [ ! -s "$err" ]
report $? "up -q says nothing"
run up -f "$work/changes.yaml" --detailed-exitcode
gives 10 "up --detailed-exitcode with changes"
run up -f "$work/changes.yaml" -j
json '.version == 1 and .changed == 6 and .failed == 0 and (.changes | length) == 6 and
	.changes[3] == {action: "update", object: "device", name: "blue/net0",
		detail: "vlan 0 -> 5", failed: false}' "up -j: the result"
jq -es 'length == 6 and .[5].done == 6 and .[0].total == 6 and .[0].change.name == "soft0"' "$err" >/dev/null
report $? "up -j: progress, an object a line"
run up -f "$work/same.yaml" --detailed-exitcode
gives 0 "up with nothing to do"
equals "up with nothing to do says so" <<<"nothing to do"
run up -f "$work/planned.yaml" --dry-run --prune
gives 0 "up --dry-run"
says "3 to create, 2 to change, 1 to remove; nothing was touched" "up --dry-run: summary"
says "~ device blue/net0: vlan 0 -> 5" "up --dry-run: the plan"
asked '.parameters.dry_run and .parameters.prune' "up --dry-run --prune: asked for"
run up -f "$work/planned.yaml" -n --detailed-exitcode
gives 10 "up --dry-run --detailed-exitcode with drift"
run up -f "$work/planned.yaml" -n -j
json '.dry_run and .changed == 6 and (.changes | length) == 6' "up --dry-run -j"
run up -f "$work/fails.yaml"
gives 1 "up where a change fails"
says "! device red/net0: could not create it: the driver found no port at vf0" "up: which change failed, and why"
says "2 created, 1 failed" "up: the summary counts it"
warns "1 of 3 changes failed" "up: the error says what to do"
run up -f "$work/fails.yaml" -j
json '.failed == 1 and .changes[2].failed and .changes[2].message == "the driver found no port at vf0"' "up -j where a change fails"
outrigger --state-dir "$work" up -f - <"$work/changes.yaml" >"$out" 2>"$err"
status=$?
gives 0 "up -f -"
run down
gives 0 down
says "- adapter soft0" "down: what went"
run down -j
json '.changed == 3' "down -j"

# ---- Documents that are refused ----------------------------------------------------
run up -f "$work/refused.yaml"
gives 1 "up with a bad document"
diff - "$err" <<END
outrigger: $work/refused.yaml:5: partitions[0].devices[0].mtu: 9000 is not from 68 to 2016
    5 |   - name: réd   # first
END
report $? "a bad document: file, line, reason, and the line itself"
run up -f "$work/refused.yaml" -j
json_error '.version == 1 and .error.name == "InvalidDocument" and .error.line == 5 and
	(.error.file | endswith("refused.yaml"))' "a bad document with -j"
document "unknown line"
run up -f "$work/unknown line.yaml"
warns "unknown line.yaml: adapters: is missing" "a bad document without a line"
printf 'name: \xff\n' >"$work/latin.yaml"
run up -f "$work/latin.yaml"
gives 1 "up with text that is not UTF-8"
warns "is not UTF-8 text" "text that is not UTF-8: the reason"
printf 'a\0b' >"$work/nul.yaml"
run up -f "$work/nul.yaml"
warns "contains a NUL byte" "a document with a NUL"
head -c 900000 /dev/zero | tr '\0' '#' >"$work/large.yaml"
run up -f "$work/large.yaml"
warns "too large" "a document that is too large"
run up -f "$work/none.yaml"
gives 1 "up without the file"
warns "$work/none.yaml: cannot read: No such file or directory" "up without the file: the reason"
run up -f "$work/busy.yaml"
warns "another change is under way" "up while busy"

# ---- partition create and destroy ------------------------------------------------------
run partition create green -d name=net0,kind=tap,address=10.0.0.1/24,address=10.0.1.1/24,mtu=1400,adapter=soft0,index=2,trust=on,image=ethdev -d name=net1,kind=native,adapter=soft0,adjunct=none
gives 0 "partition create"
says "+ partition green" "partition create says so"
asked '.parameters.partition == {name: "green", devices: [
	{name: "net0", kind: "tap", address: ["10.0.0.1/24", "10.0.1.1/24"], mtu: 1400,
		vf: {adapter: "soft0", index: 2, trust: true}, adjunct: {image: "ethdev"}},
	{name: "net1", kind: "native", vf: {adapter: "soft0"}, adjunct: "none"}]}' "partition create --device: asked for"
printf 'owner: alice\ndevices:\n- {name: a, kind: tap, vf: {adapter: soft0}}\n' >"$work/partition.yaml"
run partition create green -f "$work/partition.yaml" -d name=b,kind=tap,adapter=soft0 -j
json '.created == ["green"]' "partition create -j"
asked '.parameters.partition | .name == "green" and .owner == "alice" and
	[.devices[].name] == ["a", "b"]' "partition create --file with --device: asked for"
run partition create other -f <(printf 'name: green\n')
gives 1 "partition create with two names"
warns 'names the partition "green", the command line "other"' "partition create with two names: the reason"
run partition create green -f <(printf 'a: 1\na: 2\n')
gives 1 "partition create with bad YAML"
warns ":2: " "partition create with bad YAML names the line"
run partition create green -f hv-shim/examples/embedded.yaml
warns "this is a whole document" "partition create with a whole document"
for spec in "vlna=5|there is no key \"vlna\"" "vlan=x|\"x\" is not a number" "trust=2|is not on or off" \
	"name|not of the form KEY=VALUE" "mtu=1,mtu=2|given twice" "adjunct=none,cpu=shared|beside adjunct=none"; do
	run partition create green -d "${spec%%|*}"
	gives 2 "--device ${spec%%|*}"
	warns "${spec#*|}" "--device ${spec%%|*}: the reason"
done
run partition create green
gives 2 "partition create of nothing"
run partition destroy red blue
gives 0 "partition destroy"
says "- partition blue" "partition destroy: both"
run partition destroy red green blue -j
gives 1 "partition destroy of one that is not there"
json '.destroyed == ["red", "blue"]' "partition destroy -j tells what went"

# ---- exec --------------------------------------------------------------------------------
if unshare -n true 2>/dev/null; then
	run exec red -- readlink /proc/self/ns/net
	gives 0 exec
	! grep -qxF "$(readlink /proc/self/ns/net)" "$out" && grep -q '^net:' "$out"
	report $? "exec is in another network namespace"
	run exec red -- sh -c 'exit 7'
	gives 7 "exec has the program's status"
	run exec red no-such-program
	gives 127 "exec of a program that is not there"
	warns "no-such-program: not found in PATH" "exec of a program that is not there: the reason"
	run exec red "$work/control.sock"
	gives 126 "exec of what is no program"
	(cd /usr && run exec red -- sh -c 'pwd; echo $OUTRIGGER_PARTITION; ls /proc/self/fd')
	grep -qx /usr "$out"
	report $? "exec keeps the working directory"
	says red "exec tells the partition's name"
	# As many as the same program has without us.
	own=$( (cd /usr && timeout 20 sh -c 'pwd; ls /proc/self/fd' 2>"$err" </dev/null >"$work/own"); wc -l <"$work/own")
	[ "$(wc -l <"$out")" = $((own + 1)) ]
	report $? "exec leaves no descriptor open"
	run exec red
	gives 0 "exec without a program runs a shell"
else
	number=$((number + 1))
	echo "ok $number - exec as root # SKIP not allowed to make a network namespace"
fi
if unshare -Ur true 2>/dev/null; then
	run exec blue -- sh -c 'id -u; readlink /proc/self/ns/user'
	gives 0 "exec into a user namespace"
	grep -qx 0 "$out" && ! grep -qxF "$(readlink /proc/self/ns/user)" "$out"
	report $? "exec into a user namespace: root there"
else
	number=$((number + 1))
	echo "ok $number - exec into a user namespace # SKIP not allowed to make one"
fi
run exec vm true
gives 1 "exec without a namespace"
warns "device of kind tap" "exec without a namespace: the next step"
run exec bare true
warns "outriggerd sent no namespace" "exec, and no descriptor comes"

# ---- Errors --------------------------------------------------------------------------------
outrigger --state-dir "$work/nowhere" status >"$out" 2>"$err"
status=$?
gives 1 "no daemon"
warns "outriggerd is not running (no socket at $work/nowhere/control.sock): start it with \`systemctl start outriggerd\`, or \`outriggerd --state-dir $work/nowhere\` in another terminal" "no daemon: where, and what to do"
OUTRIGGER_STATE_DIR=$work/elsewhere outrigger status >"$out" 2>"$err"
status=$?
warns "no socket at $work/elsewhere/control.sock" "OUTRIGGER_STATE_DIR"
outrigger -j -s "$work/nowhere.sock" status >"$out" 2>"$err"
status=$?
json_error '.error.message | startswith("outriggerd is not running")' "no daemon, with -j"
[ ! -s "$out" ]
report $? "no daemon, with -j: no result"
run partition show green
gives 1 "a partition that is not there"
warns "partition green: there is no such partition" "a partition that is not there: who"
warns "outrigger partition list" "a partition that is not there: the next step"
run up -f "$work/gone.yaml"
gives 1 "a daemon that goes away"
warns "outriggerd closed the connection" "a daemon that goes away: the reason"
for arguments in "" "frobnicate" "partition frob" "up" "up --frob" "up -f" "up -f x y" "device show" \
	"device show red" "device show red/a/b" "log -n 1001" "log -n x" "device stats -i 0" \
	"completion zsh" "status extra" "exec" "help frob" "help --format=pdf"; do
	# shellcheck disable=SC2086 # several words
	run $arguments
	gives 2 "usage: outrigger $arguments"
done
run partition frob
warns "\`outrigger partition --help\`" "usage: where to read on"
run status -j --frob
gives 2 "usage with -j"
(run status; true) && outrigger --state-dir "$work" status >/dev/full 2>"$err"
status=$?
gives 1 "standard output that is full"
warns "standard output: No space left on device" "standard output that is full: the reason"
outrigger --state-dir "$work" log 2>"$err" | true
[ ! -s "$err" ]
report $? "a reader that leaves: nothing on standard error"
(trap '' PIPE; outrigger --state-dir "$work" device stats -w -i 0.1 2>"$err" | head -1 >/dev/null)
[ ! -s "$err" ]
report $? "a reader that leaves, SIGPIPE ignored by the parent"

# ---- Interrupted ---------------------------------------------------------------------------
for signal in INT TERM; do
	: >"$requests"
	: >"$out" # else the last round's answer looks like this one's
	# A background job of a script has SIGINT ignored: env restores it.
	env --default-signal=INT outrigger --state-dir "$work" up -f "$work/slow.yaml" >"$out" 2>"$err" &
	client=$!
	deadline=$((SECONDS + 10))
	until grep -q "partition red" "$out" || [ $SECONDS -ge $deadline ]; do sleep 0.02; done
	kill -$signal $client
	wait $client
	status=$?
	gives $((128 + $(kill -l $signal))) "up and SIG$signal"
	warns " of 6 changes done: outriggerd carries on with the rest" "up and SIG$signal: what goes on"
done

# ---- On a terminal -------------------------------------------------------------------------
terminal() { # COMMAND: its output on a terminal of its own, 100 columns wide
	: >"$requests"
	# COLUMNS and stty: script's terminal has no size of its own.
	TERM=xterm script -qec "stty cols 100 rows 30; $1" /dev/null </dev/null >"$out" 2>"$err"
	status=$?
}
esc=$'\033'
terminal "outrigger --state-dir '$work' up -f '$work/slow.yaml'"
says "${esc}[32m+${esc}[0m partition red" "on a terminal: colours"
says "━" "on a terminal: a bar"
says "  2 of 6  " "on a terminal: how far"
says "  device red/net0" "on a terminal: what is being done"
terminal "NO_COLOR=1 outrigger --state-dir '$work' status; outrigger --no-color --state-dir '$work' log"
! grep -qF "${esc}[3" "$out"
report $? "NO_COLOR and --no-color"
terminal "TERM=dumb outrigger --state-dir '$work' status"
! grep -qF "${esc}[3" "$out"
report $? "a terminal without colours"
terminal "outrigger --state-dir '$work' log"
says "${esc}[31merror  ${esc}[0m" "log is coloured by level"
terminal "outrigger --state-dir '$work' up -f '$work/refused.yaml'"
tr -d '\r' <"$out" | sed "s/${esc}\[[0-9]*m//g" | grep -qxF "      |   ^~~~~~~~~~~"
report $? "on a terminal: a mark below the refused line"
terminal "outrigger --state-dir '$work' device stats -w -i 0.1"
says "${esc}[3A${esc}[J" "device stats -w is redrawn in place"
terminal "stty cols 60; outrigger --state-dir '$work' device"
! grep -q MAC "$out"
report $? "a narrow terminal: no MAC column"

# ---- Help, completion, the manual -----------------------------------------------------------
run --help
gives 0 --help
says "partition destroy NAME..." "--help lists the commands"
run up --help
says "--detailed-exitcode" "up --help"
run help partition create
says "outrigger partition create NAME [OPTION...]" "help partition create"
run partition --help
says "partition destroy" "partition --help"
run help --format=markdown
says "| \`outrigger completion bash\\|fish\` |" "help --format=markdown"
says "| \`outrigger exec NAME [-- PROGRAM [ARGUMENT...]]\` |" "help --format=markdown: exec"
outrigger completion bash >"$work/completion.bash" && bash -n "$work/completion.bash" 2>"$err"
report $? "completion bash is a bash script"
complete_bash() { # WORD...: what is offered for the last word
	bash -c 'source "$1"; shift
		COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
		_outrigger; printf "%s\n" "${COMPREPLY[@]}"' bash "$work/completion.bash" "$@" >"$out" 2>"$err"
	status=$?
}
complete_bash outrigger pa
equals "completion: a command" <<<partition
complete_bash outrigger partition d
equals "completion: a verb" <<<destroy
complete_bash outrigger up --d
equals "completion: options" <<'END'
--dry-run
--detailed-exitcode
END
complete_bash outrigger --state-dir "$work" partition show ""
equals "completion: partitions" <<'END'
red
blue
vm
END
complete_bash outrigger -s "$work/control.sock" device show vm/
equals "completion: devices" <<'END'
vm/net0
vm/ring0
END
complete_bash outrigger --state-dir "$work" adjunct show red
equals "completion: adjuncts" <<<red.net0
complete_bash outrigger up -f Make
equals "completion: files" <<<Makefile
complete_bash outrigger exec red -- readlin
says readlink "completion: programs"
complete_bash outrigger completion f
equals "completion: shells" <<<fish
complete_bash outrigger --state-dir "$work/nowhere" partition show ""
[ ! -s "$err" ]
report $? "completion without a daemon is silent"
outrigger completion fish >"$work/outrigger.fish"
report $? "completion fish"
if command -v fish >/dev/null; then
	fish -n "$work/outrigger.fish" 2>"$err"
	report $? "completion fish is a fish script"
	complete_fish() { # LINE
		fish --no-config -c "source $work/outrigger.fish; complete -C '$1'" 2>"$err" | cut -f1 >"$out"
	}
	complete_fish "outrigger partition d"
	equals "fish: a verb" <<<destroy
	complete_fish "outrigger up --d"
	# fish 4 also offers what has the word further in, as --state-dir.
	sed -i '/^--d/!d' "$out"
	sort -o "$out" "$out"
	equals "fish: options" <<'END'
--detailed-exitcode
--dry-run
END
	OUTRIGGER_STATE_DIR=$work complete_fish "outrigger partition show "
	sort -o "$out" "$out"
	equals "fish: partitions" <<'END'
blue
red
vm
END
else
	number=$((number + 1))
	echo "ok $number - completion for fish # SKIP fish is not installed"
fi
outrigger help --format=man >"$work/outrigger.1"
MANROFFSEQ='' man --warnings -E UTF-8 -l -Tutf8 -Z "$work/outrigger.1" 2>"$err" >/dev/null && [ ! -s "$err" ]
report $? "the manual page renders without a warning"
MANWIDTH=80 man -l "$work/outrigger.1" 2>"$err" | col -b >"$out"
says "--detailed-exitcode" "the manual page has the options"
says "device stats [PARTITION[/DEVICE]]" "the manual page has the commands"
cli_finish
