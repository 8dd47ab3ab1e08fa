#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What `make run` does: starts outriggerd in a state directory of its own, brings
# up embedded.yaml beside this file, sends ping and iperf3 from one partition to
# the other, shows live rates meanwhile and kills an adjunct under them, sums up,
# takes everything down, and looks that nothing stays behind. Needs no root.
#
#   KEEP=1     leaves it running and prints what to try next
#   DEMO_SECONDS=5  how long iperf3 sends
set -u -o pipefail
cd "$(dirname "$0")/../.."

document=hv-shim/examples/embedded.yaml
send_seconds=${DEMO_SECONDS:-5}
peer=10.77.0.2
PATH=$PWD/build/bin:$PATH:/usr/sbin:/sbin

[ -x build/bin/outriggerd ] || { echo "Nothing is built yet: make run"; exit 1; }
state=$(mktemp -d "${XDG_RUNTIME_DIR:-/tmp}/outrigger-demo.XXXXXX") || exit 1
export OUTRIGGER_STATE_DIR=$state
log=$state/outriggerd.log
daemon='' server='' rates='' client='' pids='' finished=0

start_daemon() {
	setsid outriggerd --state-dir "$state" >>"$log" 2>&1 &
	daemon=$!
	local deadline=$((SECONDS + 10))
	until timeout 5 outrigger -q status >/dev/null 2>&1; do
		kill -0 "$daemon" 2>/dev/null || return 1
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.05
	done
}
stop() { # PID: ends one of our own children
	[ -z "$1" ] || { kill "$1" && wait "$1"; } 2>/dev/null
}
alive() { # of the processes that ran for the partitions; those not yet reaped are gone
	local pid
	for pid in $pids; do
		! grep -qs '^State:.[^ZX]' "/proc/$pid/status" || echo "$pid"
	done
}
# Down, then the daemon's end; says what does not go away within its time.
take_down() {
	timeout 30 outrigger "$@" down || return 1
	stop "$daemon"
	daemon=
	local left deadline=$((SECONDS + 10))
	while left=$(alive) && [ -n "$left" ]; do
		if [ $SECONDS -ge $deadline ]; then
			echo "Still there: processes" $left
			return 1
		fi
		sleep 0.05
	done
}
at_exit() {
	local status=$?
	[ $finished = 0 ] || return
	[ $status -ne 0 ] || status=1
	stop "$rates"
	stop "$client"
	stop "$server"
	if [ $status -eq 130 ]; then
		printf '\nInterrupted; taking everything down.\n'
	else
		printf '\nThe demonstration failed. The log of outriggerd:\n'
		tail -n 50 "$log"
	fi
	# Even if the daemon died: a new one takes over what it left, and removes it.
	[ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null || start_daemon
	take_down -q && rm -rf "$state"
	exit $status
}
trap at_exit EXIT
trap 'exit 130' INT TERM
fail() { echo "$*"; exit 1; }
shown() { # prints a command as one would type it, then runs it
	printf '\n$ %s\n' "$*"
	timeout 60 "$@"
}

echo "Two partitions; behind each one's interface an adjunct, a process of its own,"
echo "drives a virtual function of its own."
start_daemon || fail "outriggerd does not start."
shown outrigger up -f "$document" || fail "up failed."
shown outrigger status || fail "status failed."
# Of everything that runs for the partitions; a standby is in no list, only a child.
all_pids() {
	{
		outrigger -j status | grep -oE '"(keeper_)?pid": *[0-9]+' | grep -oE '[0-9]+$'
		cat "/proc/$daemon/task/$daemon/children" 2>/dev/null | tr ' ' '\n'
	} | grep -E '[0-9]' | grep -vx "$daemon" | sort -un | tr '\n' ' '
}
within() { # SECONDS COMMAND...: until it succeeds
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $deadline ] || return 1
		sleep 0.05
	done
}
standbys_wait() { [ "$(grep -c 'a standby waits' "$log")" -ge "$1" ]; }
within 10 standbys_wait 2 || fail "The standbys are not prepared."
pids=$(all_pids)
processes=$(wc -w <<<"$pids")

shown outrigger exec red -- ping -c 5 -i 0.2 -W 5 $peer | tee "$state/ping" || fail "no answer."
rtt=$(awk -F'[/ ]' '/^rtt|^round-trip/ { print $8 }' "$state/ping")

outrigger exec blue -- iperf3 -s -1 --forceflush >"$state/server" 2>&1 &
server=$!
deadline=$((SECONDS + 10))
until grep -q listening "$state/server"; do
	[ $SECONDS -lt $deadline ] || fail "iperf3 does not listen: $(cat "$state/server")"
	sleep 0.05
done
printf '\n$ outrigger exec red -- iperf3 -c %s -t %s    (meanwhile: outrigger device stats -w)\n' \
	$peer "$send_seconds"
outrigger device stats -w </dev/null &
rates=$!
timeout $((send_seconds + 30)) outrigger exec red -- iperf3 -f m -c $peer -t "$send_seconds" \
	>"$state/client" 2>&1 &
client=$!
# Half-way, the adjunct that drives blue's function dies.
sleep "$((send_seconds / 2))"
victim=$(outrigger -j adjunct list | tr -d '\n' | grep -oE '\{[^}]*"blue.net0"[^}]*\}' |
	grep -oE '"pid": *[0-9]+' | grep -oE '[0-9]+$')
printf '\n$ kill -KILL %s    (the adjunct blue.net0)\n' "${victim:?}"
kill -KILL "$victim" || fail "It cannot be killed."
took_over() { grep -oE 'blue/net0: adjunct-restarted: .*' "$log"; }
within 10 took_over || fail "No adjunct took over."
gap=$(grep -oE 'took over after [0-9.]+ ms' "$log" | grep -oE '[0-9.]+ ms')
wait "$client" || fail "iperf3: $(cat "$state/client")"
client=
pids="$pids $(all_pids)"
stop "$rates"
rates=
wait "$server" || fail "the iperf3 server failed: $(cat "$state/server")"
server=
throughput=$(awk '/receiver/ { print $(NF - 2), $(NF - 1) }' "$state/client")

cat <<END

What ran
  processes    outriggerd, $processes more: the adapter, and for each partition a keeper,
               an adjunct, and a standby for it
  ping         ${rtt:?} ms from red to blue and back, average
  iperf3       ${throughput:?} through two adjuncts, $send_seconds s of TCP
  the kill     nobody served blue/net0 for ${gap:?}; iperf3 went on
END

if [ "${KEEP:-}" = 1 ]; then
	finished=1
	cat <<END

It stays up (KEEP=1). To try next, in this or another terminal:
  export OUTRIGGER_STATE_DIR=$state PATH=$PWD/build/bin:\$PATH
  outrigger status
  outrigger exec red -- ping $peer
  outrigger exec red -- bash
  outrigger device stats -w
  outrigger device show red/net0
  outrigger log -f
To end it:
  outrigger down && kill $daemon && sleep 1 && rm -r $state
END
	disown "$daemon"
	exit 0
fi

printf '\n$ outrigger down\n'
take_down || fail "Not everything could be taken down."
finished=1
rm -rf "$state"
printf '\nDone. KEEP=1 make run leaves it running.\n'
