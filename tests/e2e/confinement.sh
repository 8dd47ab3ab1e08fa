#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What an adjunct that was taken over can do, tried from inside and looked at from
# outside, as root and as an ordinary user. From inside: confinement/intruder.c,
# a driver that the shim starts as one of its images, beside a sibling that
# serves. From outside: what the kernel says of every thread of serving adjuncts.
. "$(dirname "$0")/lib.sh"

numbers=471 # of system calls that the intruder knows (confinement/sweep.c)
document() { # IMAGE of the intruder's devices
	cat <<END
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 4}]
partitions:
  - name: red
    devices: [{name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0, index: 0}}]
  - name: blue
    devices:
      - {name: net0, kind: tap, address: 10.77.0.2/24, vf: {adapter: soft0, index: 1}}
      - {name: net1, kind: vhost-user, vf: {adapter: soft0, index: 2}}
END
	[ -z "${1:-}" ] || cat <<END
  - name: evil
    devices: [{name: net0, kind: native, vf: {adapter: soft0, index: 3}, adjunct: {image: $1}}]
END
}

# ---- From outside --------------------------------------------------------------------
each_thread() { # PID PATTERN...: every one is in the status of every thread
	local status pattern
	local -i threads=0
	for status in /proc/"$1"/task/*/status; do
		threads+=1
		for pattern in "${@:2}"; do
			grep -qE "^$pattern\$" "$status" || { echo "$status: no $pattern"; cat "$status"; return 1; }
		done
	done
	echo "$threads threads"
	[ $threads -gt 0 ]
}
without_rights() { # PID
	each_thread "$1" 'CapEff:\s0+' 'CapPrm:\s0+' 'CapInh:\s0+' \
		'CapBnd:\s0+' 'CapAmb:\s0+' 'NoNewPrivs:\s1' 'Seccomp:\s2' 'Seccomp_filters:\s[1-9].*'
}
own_namespaces() { # PID OTHER...: shares none with any of them
	local kind pid=$1 other
	local -a kinds=(mnt net ipc uts pid)
	[ "$mode" = root ] || kinds+=(user)
	shift
	for kind in "${kinds[@]}"; do
		for other; do
			[ "$(readlink "/proc/$pid/ns/$kind")" != "$(readlink "/proc/$other/ns/$kind")" ] ||
				{ echo "$kind is shared with $other"; return 1; }
		done
	done
}
empty_root() { # PID: nothing in it, nothing mounted but it, read-only
	local entries mounts
	entries=$(ls -A "/proc/$1/root/") || return 1
	mounts=$(cat "/proc/$1/mountinfo")
	echo "$entries" "$mounts"
	[ -z "$entries" ] && [ "$(wc -l <<<"$mounts")" = 1 ] && [[ $mounts == *' / / ro,'* ]]
}
limited() { # PID
	local line
	while read -r line; do
		grep -qE "^$line" "/proc/$1/limits" || { echo "no $line"; cat "/proc/$1/limits"; return 1; }
	done <<'END'
Max core file size +0 +0 
Max open files +128 +128 
Max data size +67108864 +67108864 
END
}
# Descriptors of PID, adjunct NAME: only of kinds that serving needs, none of memory
# or files but its own.
own_descriptors() {
	local fd target
	local -i count=0
	for fd in "/proc/$1/fd"/*; do
		target=$(readlink "$fd") || continue
		count+=1
		case ${fd##*/}:$target in
		0:*) [ "$(stat -Lc %t:%T "$fd")" = 1:3 ] || { echo "$fd: not the null device"; return 1; } ;;
		[12]:"$daemon_log") ;;
		*:'socket:['* | *:'anon_inode:[eventfd]' | *:'anon_inode:[eventpoll]') ;;
		*:'anon_inode:[timerfd]' | *:'anon_inode:[signalfd]') ;;
		*:'pipe:['*) private_pipe "$1" "$target" || { echo "$fd: $target is another's too"; return 1; } ;;
		*:/dev/net/tun | *:"/memfd:outrigger:$2 (deleted)" | *:"/memfd:outrigger:inflight (deleted)") ;;
		*) echo "$fd: $target"; return 1 ;;
		esac
	done
	echo "$count descriptors"
	[ $count -gt 3 ]
}
private_pipe() { # PID PIPE: nobody else has an end of it
	! find /proc/[0-9]*/fd -lname "$2" 2>/dev/null | grep -qv "^/proc/$1/"
}
only_own_memory() { # PID NAME OTHER...: no file of another adjunct is mapped
	local record other
	! grep -F 'memfd:' "/proc/$1/maps" | grep -vF -e "memfd:outrigger:$2 " -e 'memfd:outrigger:inflight ' || return 1
	# Of guests' in-flight records, which are all called so, its own only.
	for record in $(awk '/memfd:outrigger:inflight / { print $5 }' "/proc/$1/maps"); do
		for other in "${@:3}"; do
			! grep " $record .*memfd:" "/proc/$other/maps" || { echo "$other has it, too"; return 1; }
		done
	done
}
look_at() { # NAME: a serving adjunct
	local pid others
	pid=$(pid_of adjunct "$1")
	mapfile -t others < <(field "[.adjuncts[] | select(.name != \"$1\") | .pid] + [.adapters[].pid] | .[]")
	check "$mode: $1: no thread has a capability; none can gain any; each has the list" without_rights "$pid"
	check "$mode: $1: namespaces of its own" own_namespaces "$pid" "$daemon" "${others[@]}"
	check "$mode: $1: an empty root that cannot be written" empty_root "$pid"
	check "$mode: $1: limits" limited "$pid"
	check "$mode: $1: descriptors of its own only" own_descriptors "$pid" "$1"
	check "$mode: $1: memory of its own only" only_own_memory "$pid" "$1" "${others[@]}"
}

# ---- From inside ----------------------------------------------------------------------
said_by_intruder() { grep -aF 'evil.net0: evil.net0: ' "$daemon_log" | sed 's/.*evil.net0: //'; }
is_done() { said_by_intruder | tail -n 3 | grep 'the intruder is done' || { said_by_intruder | tail -n 5; return 1; }; }
figures() { # before|after
	said_by_intruder | sed -nE "s/^$1: ([0-9]+) deeds, ([0-9]+) possible, ([0-9]+) refused/\1 \2 \3/p"
}
all_possible() { # before
	local tried possible refused
	read -r tried possible refused < <(figures before) || return 1
	said_by_intruder | grep '^before: .*\(refused,\|went wrong,\)'
	echo "$tried deeds, $possible possible, $refused refused"
	[ "$tried" -ge "$1" ] && [ "$possible" = "$tried" ]
}
all_refused() { # AT-LEAST
	local tried possible refused
	read -r tried possible refused < <(figures after) || return 1
	said_by_intruder | grep '^after: .*\(possible$\|went wrong,\)'
	echo "$tried deeds, $possible possible, $refused refused"
	[ "$tried" -ge "$1" ] && [ "$refused" = "$tried" ]
}
swept() { # TABLE
	local tried refused left
	said_by_intruder | grep "^sweep: $1"
	read -r tried refused left < <(said_by_intruder |
		sed -nE "s/^sweep: $1: ([0-9]+) tried, ([0-9]+) refused, ([0-9]+) left out/\1 \2 \3/p") || return 1
	[ "$refused" = "$tried" ] && [ $((tried + left)) = $numbers ]
}
image_install() { # NAME
	cp "$helpers/intruder" "$libexec/outrigger-adjunct-$1"
	chmod 755 "$libexec/outrigger-adjunct-$1"
	cat >"$libexec/images/$1.yaml" <<END
name: $1
version: 0.1.0
interface: 1
executable: outrigger-adjunct-$1
class: net
devices: [embedded]
memory: {minimum: 1M, default: 1M}
ports: [native]
END
}
intrude() { # IMAGE
	local pid
	cat >"$work/targets" <<END
state $state
vf $state/adapter/soft0.vf/vf0
shim $daemon
sibling $(pid_of adjunct red.net0)
END
	chmod 644 "$work/targets"
	: >"$daemon_log"
	check "$mode: $1: starts as a real adjunct" up < <(document "$1")
	check "$mode: $1: has tried everything" within 20 is_done || return
	check "$mode: $1: before it was confined, its deeds were possible" all_possible 12 && show "$work/out"
	check "$mode: $1: each of its deeds is refused" all_refused 50 && show "$work/out"
	if [ "$1" = intruder ]; then
		for table in native $([ "$(uname -m)" != x86_64 ] || echo x32 i386); do
			check "$mode: $1: every $table system call but the list is refused" swept "$table" &&
				show "$work/out"
		done
	fi
	pid=$(pid_of adjunct evil.net0)
	check "$mode: $1: still runs, without rights" without_rights "$pid"
	check "$mode: $1: was not replaced: nothing it did was fatal" not log_says 'evil/net0.*(adjunct-died|was killed)'
	check "$mode: $1: nobody else noticed" pings red 10.77.0.2
	check "$mode: $1: ends when told" outrigger partition destroy evil
}

everything() {
	need "$mode: the daemon starts" daemon_start --libexec "$libexec"
	need "$mode: up" up < <(document)
	check "$mode: ping" pings red 10.77.0.2
	for name in red.net0 blue.net0 blue.net1; do look_at "$name"; done
	intrude intruder
	# The daemon's own list would stop some of the deeds before the walls do.
	check "$mode: the daemon ends" daemon_stop
	daemon_within=(env "LD_PRELOAD=$bin/unlisted.so")
	check "$mode: and is back without a list of its own" daemon_start --libexec "$libexec"
	check "$mode: without, indeed" grep -qE '^Seccomp:[[:space:]]0$' "/proc/$daemon/status"
	intrude intruder-unlisted
	check "$mode: the daemon ends" daemon_stop
	daemon_within=()
	check "$mode: and is back with its list" daemon_start --libexec "$libexec"
	# A new adjunct is confined as the first one was.
	check "$mode: an adjunct is replaced" outrigger adjunct restart red.net0
	look_at red.net0
	check "$mode: down" outrigger down
	check "$mode: nothing is left" nothing_left
	check "$mode: the daemon ends" daemon_stop
}

export OTR_INTRUDER_TARGETS=$work/targets
# ---- From a terminal --------------------------------------------------------------------
# FIELD of proc_pid_stat(5): 6 is the session, 7 the terminal.
stat_of() { cut -d' ' -f"$2" "/proc/$1/stat"; } # PID FIELD
without_terminal() { # PID
	echo "terminal $(stat_of "$1" 7) session $(stat_of "$1" 6) of $(stat_of "$daemon" 6)"
	[ "$(stat_of "$1" 7)" = 0 ] && [ "$(stat_of "$1" 6)" = "$(stat_of "$daemon" 6)" ]
}
from_a_terminal() {
	local state=$work/terminal daemon
	mkdir "$state"
	spawn "$work/terminal.log" script -qfec "exec $bin/outriggerd --state-dir $state" /dev/null
	daemon=$last
	need "the daemon starts on a terminal" within 10 daemon_answers
	daemon=$(pgrep -P "$last")
	check "which it has" test "$(stat_of "$daemon" 7)" != 0
	check "up" up <<'END'
version: 1
adapters: [{name: echo0, kind: echo, vfs: 1}]
partitions:
  - name: red
    devices: [{name: net0, kind: native, vf: {adapter: echo0, index: 0}, adjunct: {image: echo}}]
END
	check "its adjunct has none, in the same session" without_terminal "$(pid_of adjunct red.net0)"
	check "nor has its keeper" without_terminal "$(pid_of keeper red)"
	check "down" outrigger down
	check "the daemon ends" stop "$daemon"
}
from_a_terminal

libexec=$work/libexec
chmod 755 "$work" # what an intruder that is not yet confined may list
mkdir -p "$libexec/images"
cp "$build"/libexec/outrigger/outrigger-* "$libexec/"
cp "$build"/libexec/outrigger/images/ethdev.yaml "$libexec/images/"
image_install intruder
image_install intruder-unlisted
chmod -R a+rX "$libexec"
cp -r "$build/bin" "$work/"
cp "$helpers/unlisted.so" "$work/bin/"
chmod -R a+rX "$work/bin"
bin=$work/bin

mode=rootless
if [ "$(id -u)" = 0 ]; then
	mode=root
	everything
	mode=rootless
	as_user=(setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs
		--bounding-set=-all --inh-caps=-all env HOME=/nonexistent)
	rm -rf "$state"
	mkdir -m 711 "$state"
	chown nobody:nogroup "$state"
fi
if "${as_user[@]}" unshare --user --map-root-user --net true 2>/dev/null; then
	everything
else
	skipped "rootless" "this kernel lets no ordinary user make a user and a network namespace"
fi
finish
