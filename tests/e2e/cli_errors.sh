#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The command line where things go wrong: a daemon that refuses, answers nonsense or goes
# away in every command, sockets that cannot be used, and words on the command line that
# mean nothing. Each time there is one line that says what is wrong, and its exit status;
# most have the next step. TAP lines.
answers=tests/e2e/cli_errors.json
. "$(dirname "$0")/cli.inc"

# ---- What the daemon refuses ---------------------------------------------------
fails() { # WORDS NAME ARGUMENT...: exit status 1, and these words on standard error
	local words=$1 name=$2
	shift 2
	run "$@"
	[ "$status" = 1 ] && [ "$(wc -l <"$err")" -le 2 ] && grep -qF -- "$words" "$err"
	report $? "$name"
}
fails "outriggerd answered org.outrigger.Shim.NoNameOfOurs" "an error that has no sentence" status
fails 'outriggerd does not accept "frob"' "a parameter that is not accepted" partition list
warns "outrigger version" "a parameter that is not accepted: the next step"
fails "the state cannot be read" "devices cannot be listed" device list
warns "outrigger log" "devices cannot be listed: the next step"
fails "there is no partition gone" "a partition whose devices are asked for" device list gone
fails "adjunct old.net0: there is no adjunct" "an adjunct that is not there" adjunct show old.net0
warns "outrigger adjunct list" "an adjunct that is not there: the next step"
fails "there is no device" "a device that is not there" device show red/net0
warns "outrigger device list" "a device that is not there: the next step"
fails "there is no device" "counters of a device that is not there" device stats red/net0
fails "there is no device" "counters of a device that is not there, again and again" device stats -w -i 0.1 red/net0
fails "it is being started" "an adjunct that cannot be replaced now" adjunct restart new.net0
warns "outrigger status" "an adjunct that cannot be replaced now: the next step"
fails "there is one already" "a partition that exists" partition create red -d name=net0,kind=tap,adapter=soft0
warns "outrigger partition destroy" "a partition that exists: the next step"
fails "you are not its user" "the log, for somebody else" log
fails "another change is under way" "down while busy" down
fails "MethodNotFound" "a daemon that does not know a method" events show
fails "outriggerd closed the connection" "a daemon that goes away" partition destroy red
fails "outriggerd closed the connection" "a daemon that goes away before it answers" adjunct list
fails "there is no such partition" "a program in a partition that is not there" exec red true
run status -j
json_error '.error.name == "NoNameOfOurs"' "an error that has no sentence, with -j"

# ---- Answers that leave something out --------------------------------------------
run adjunct show young.net0
gives 0 "an adjunct that starts"
says "in huge pages   2 MiB" "an adjunct that starts: its huge pages"
! grep -qE "pid|uptime|started in|private" "$out"
report $? "an adjunct that starts: what it has not yet is not shown"
run device show young/rings
gives 0 "a device without a function"
says "shared rings" "a device without a function: how it is reached"
run device show young/odd
says "?" "an address that is no text"
run adjunct restart quick.net0
says "nobody served for 1 ms" "an adjunct that is replaced: how long it took"
run adjunct restart quick.net0 -q
[ "$status" = 0 ] && [ ! -s "$out" ]
report $? "an adjunct that is replaced, with -q"
run adjunct restart quick.net0 -j
json '.gap_ns == 1200000' "an adjunct that is replaced, with -j"
run adjunct restart slow.net0
says "reset   100 ms" "an adjunct that is replaced: its function's reset"
says "no frame came for" "an adjunct that is replaced: and no frame came"

# ---- Sockets that cannot be used -----------------------------------------------------
fails_at() { # WORDS NAME ARGUMENT...: as fails, without the shim
	local words=$1 name=$2
	shift 2
	timeout 20 outrigger "$@" status >"$out" 2>"$err" </dev/null
	status=$?
	[ "$status" = 1 ] && grep -qF -- "$words" "$err"
	report $? "$name"
}
fails_at "no socket at $work/control.sock/x" "a way that leads through a file" --socket "$work/control.sock/x"
fails_at "too long for a socket" "a way that is too long" --socket "$work/$(printf '%0200d' 0)"
fails_at "the state directory: " "a state directory that is too long" --state-dir "/$(printf '%05000d' 0)"
: >"$work/file"
fails_at "nobody listens" "a file that is no socket" --socket "$work/file"
# Without a word on where, another's daemon is not asked.
if [ "$(id -u)" = 0 ]; then
	mkdir -m 711 "$work/other"
	cp "$(command -v outrigger)" "$work/other/outrigger"
	chmod 755 "$work" "$work/other/outrigger"
	chmod 666 "$work/control.sock"
	other() { timeout 20 setpriv --reuid 65534 --regid 65534 --clear-groups "$work/other/outrigger" "$@" >"$out" 2>"$err" </dev/null; status=$?; }
	other --socket "$work/control.sock" status
	warns "or refused this user" "another user's request: the socket says no more"
	chmod 600 "$work/control.sock"
	other --socket "$work/control.sock" status
	gives 1 "and cannot, where that is forbidden"
	warns "permission denied" "and cannot, where that is forbidden: the reason"
else
	number=$((number + 1))
	echo "ok $number - another user's daemon # SKIP not root"
fi

# ---- Words that mean nothing -----------------------------------------------------------
while IFS='|' read -r arguments words; do
	# shellcheck disable=SC2086 # several words
	run $arguments
	[ "$status" = 2 ] && grep -qF -- "$words" "$err"
	report $? "usage: outrigger $arguments"
done <<'END'
log -n 7x|a number from 0 to 1000
log -n -1|a number from 0 to 1000
device stats -i x|seconds from 0.1 to 60
device stats -i 1s|seconds from 0.1 to 60
device stats -i inf|seconds from 0.1 to 60
device stats -i 61|seconds from 0.1 to 60
device stats -i 0.05|seconds from 0.1 to 60
device stats /net0|not of the form PARTITION/DEVICE or PARTITION
device stats red/|not of the form PARTITION/DEVICE or PARTITION
device stats red/a/b|not of the form PARTITION/DEVICE or PARTITION
device show /net0|not of the form PARTITION/DEVICE
device show red/|not of the form PARTITION/DEVICE
help partition frob|there is no command "partition frob"
help status extra|there is no command "status extra"
END
run device show "$(printf 'r\xffd/net0')"
gives 2 "a name that is not UTF-8"
warns "not UTF-8 text" "a name that is not UTF-8: the reason"
for arguments in "help" "help partition" "help partition show" "help up" "partition --help" "up --help" "--version" "status --version"; do
	# shellcheck disable=SC2086 # several words
	run $arguments
	[ "$status" = 0 ] && [ -s "$out" ] && [ ! -s "$err" ]
	report $? "outrigger $arguments"
done

# ---- The daemon's own command line -----------------------------------------------------------
daemon() { # ARGUMENT...
	timeout 20 outriggerd "$@" >"$out" 2>"$err" </dev/null
	status=$?
}
daemon --version
gives 0 "outriggerd --version"
says "outriggerd " "outriggerd --version: says so"
daemon --help
gives 0 "outriggerd --help"
says "--state-dir" "outriggerd --help: the options"
daemon extra
gives 2 "outriggerd with a word that means nothing"
warns "unexpected argument 'extra'" "outriggerd with a word that means nothing: which"
daemon --frob
gives 2 "outriggerd with an option that it has not"
for seconds in "" x 1x 1: 0 100000000000000000000; do
	daemon --start-timeout "$seconds"
	gives 2 "outriggerd --start-timeout '$seconds'"
done
cli_finish
