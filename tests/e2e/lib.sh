# SPDX-License-Identifier: BSD-2-Clause
#
# What the end-to-end tests share: a state directory of their own, a daemon that
# is always ended together with all that it left running, waits that have an
# end, TAP lines, and the look for leftovers. Sourced by tests/e2e/*.sh.
#
# Every daemon started here carries a mark in its environment which all of its
# children inherit: so they are found, and only they, whatever happened to it.
#
# shellcheck shell=bash
set -u -o pipefail
export LC_ALL=C.UTF-8
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
build=${OTR_BUILD:-$PWD/build}
bin=$build/bin
helpers=$build/tests/e2e
PATH=$PATH:/usr/sbin:/sbin
unset OUTRIGGER_STATE_DIR

work=$(mktemp -d "${TMPDIR:-/tmp}/otr-e2e.XXXXXX") || exit 1
# Another user's programs may pass through, to a folder that is theirs.
chmod 711 "$work"
state=$work/state
mkdir -m 711 "$state"
daemon_log=$work/outriggerd.log
daemon='' spawned=()
# A command that becomes an ordinary user, put before daemon and programs.
as_user=()
# A command that the daemon alone is started by.
daemon_within=()
number=0 failures=0

# ---- Checks ------------------------------------------------------------------
say() { printf '# %s\n' "$*"; }
show() { [ ! -s "$1" ] || tail -n "${2:-40}" "$1" | tr -d '\r' | sed 's/^/#   /'; }

# report STATUS NAME: a TAP line.
report() {
	number=$((number + 1))
	if [ "$1" = 0 ]; then
		echo "ok $number - $2"
		return 0
	fi
	failures=$((failures + 1))
	echo "not ok $number - $2"
	return 1
}
# check NAME COMMAND...: it succeeds; else what it said. Its output stays in $work/out.
check() {
	local name=$1 status
	shift
	"$@" >"$work/out" 2>&1
	status=$?
	report $status "$name" && return
	say "exit status $status of: $*"
	show "$work/out"
	return 1
}
# refused NAME TEXT COMMAND...: it exits with status 1 and says TEXT (a regular expression).
refused() {
	local name=$1 text=$2 status
	shift 2
	"$@" >"$work/out" 2>&1
	status=$?
	[ $status = 1 ] && grep -qE -- "$text" "$work/out"
	report $? "$name" && return
	say "exit status $status, wanted 1 and '$text', of: $*"
	show "$work/out"
	return 1
}
# said NAME TEXT: the command of the check before did (a regular expression).
said() {
	grep -qE -- "$2" "$work/out"
	report $? "$1" && return
	say "nowhere '$2' in:"
	show "$work/out"
	return 1
}
log_says() { grep -qE -- "$1" "$daemon_log"; }
not() { ! "$@"; }
skipped() { # NAME REASON: of one check
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}
# Without which the rest makes no sense.
need() {
	check "$@" || bail "cannot go on after: $1"
}
bail() {
	echo "Bail out! $*"
	exit 1
}
skip() { # REASON: of the whole test
	echo "$*"
	exit 77
}
finish() {
	# tests/sanitized.sh runs all this under sanitizers; children log with the daemon.
	if grep -nE -A 30 'AddressSanitizer: |runtime error: ' "$daemon_log" 2>/dev/null; then
		report 1 "no sanitizer reported"
	fi
	say "$number checks, $failures failed"
	[ $failures = 0 ] || exit 1
	exit 0
}

# within SECONDS COMMAND...: until it succeeds. So long it may take on a machine that has
# nothing else to do; one that has is given more time.
patience=6
within() {
	local deadline=$((SECONDS + patience * $1))
	shift
	until "$@" >"$work/within" 2>&1; do
		if [ $SECONDS -ge $deadline ]; then
			cat "$work/within"
			echo "not in time: $*"
			return 1
		fi
		sleep 0.05
	done
}

# settles COMMAND...: until what it says has stayed the same for a while, as what the daemon
# holds does once it has noticed who has left. Left in $work/settled.
settles() {
	local deadline=$((SECONDS + 5 * patience))
	"$@" >"$work/settling"
	until
		sleep 0.5
		mv "$work/settling" "$work/settled"
		"$@" >"$work/settling"
		cmp -s "$work/settling" "$work/settled"
	do
		[ $SECONDS -lt $deadline ] || { diff "$work/settled" "$work/settling"; return 1; }
	done
}

# ---- Processes ---------------------------------------------------------------
alive() { # PID: not even as a zombie
	local line
	{ read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
	line=${line##*) }
	[ "${line:0:1}" != Z ]
}
gone() { ! alive "$1"; }
# spawn LOG COMMAND...: in the background; its pid in $last. Standard input stays
# open and silent, for programs that end with it.
spawn() {
	local log=$1
	shift
	[ -p "$work/silence" ] || mkfifo "$work/silence"
	: >"$log" # whoever waits for a word in it must not find one of a run before
	"$@" <>"$work/silence" >"$log" 2>&1 &
	last=$!
	disown "$last"
	spawned+=("$last")
}
# spawn_in LOG PARTITION PROGRAM ARGUMENT...
spawn_in() {
	local log=$1 name=$2
	shift 2
	spawn "$log" "${as_user[@]}" "$bin/outrigger" --state-dir "$state" exec "$name" -- "$@"
}
# stop PID [SIGNAL]: asks, then insists.
stop() {
	local patience=1
	kill "-${2:-TERM}" "$1" 2>/dev/null
	within 5 gone "$1" >/dev/null && return
	kill -KILL "$1" 2>/dev/null
	within 5 gone "$1"
}
# Everything that a daemon of this test started and that still runs, the daemon
# itself too.
marked() {
	grep -lzxF -- "OTR_E2E_MARK=$state" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
}
no_marked() { [ -z "$(marked)" ]; }
cpu_ticks() { # PID...: user and system time of them all
	local pid line sum=0
	local -a field
	for pid; do
		{ read -r line <"/proc/$pid/stat"; } 2>/dev/null || continue
		read -ra field <<<"${line##*) }"
		sum=$((sum + field[11] + field[12]))
	done
	echo $sum
}

# ---- The daemon and its command line -------------------------------------------
outrigger() { timeout 60 "${as_user[@]}" "$bin/outrigger" --state-dir "$state" "$@" </dev/null; }
in_partition() { # NAME PROGRAM ARGUMENT...
	local name=$1
	shift
	outrigger exec "$name" -- "$@"
}
daemon_answers() {
	alive "$daemon" || { echo "outriggerd has ended"; return 0; }
	outrigger -q status
}
daemon_start() { # ARGUMENT...
	OTR_E2E_MARK=$state "${as_user[@]}" "${daemon_within[@]}" "$bin/outriggerd" --state-dir "$state" -v "$@" \
		>>"$daemon_log" 2>&1 </dev/null &
	daemon=$!
	disown "$daemon"
	within 10 daemon_answers && alive "$daemon"
}
daemon_stop() { # [SIGNAL]
	[ -z "$daemon" ] || stop "$daemon" "${1:-TERM}"
}
up() { # ARGUMENT...: with the document from standard input
	cat >"$work/document.yaml"
	outrigger up -f "$work/document.yaml" "$@"
}
field() { outrigger -j status | jq -r "$1"; } # JQ-EXPRESSION
pid_of() { # adapter, keeper or adjunct, NAME
	case $1 in
	adapter) field ".adapters[] | select(.name == \"$2\") | .pid" ;;
	keeper) field ".partitions[] | select(.name == \"$2\") | .keeper_pid" ;;
	adjunct) field ".adjuncts[] | select(.name == \"$2\") | .pid" ;;
	esac
}
replaced() { # NAME OLD-PID: another adjunct serves under that name
	local pid
	pid=$(pid_of adjunct "$1")
	[ -n "$pid" ] && [ "$pid" != "$2" ] && [ "$pid" != null ] &&
		[ "$(field ".adjuncts[] | select(.name == \"$1\") | .state")" = running ]
}
device_is() { # PARTITION/DEVICE STATE
	[ "$(outrigger -j device show "$1" | jq -r .device.state)" = "$2" ]
}
counter() { # PARTITION/DEVICE NAME
	outrigger -j device stats "$1" | jq -r ".stats[0].counters.$2"
}
vf_counter() { # PARTITION/DEVICE NAME: as the adapter counts
	outrigger -j device stats "$1" | jq -r ".stats[0].vf.$2"
}
pings() { # PARTITION ADDRESS [OPTION...]
	local from=$1 to=$2
	shift 2
	in_partition "$from" ping -n -q -c 3 -i 0.2 -W 2 "$@" "$to"
}
namespace_of() { in_partition "$1" readlink /proc/self/ns/net; }

# ---- Traffic -------------------------------------------------------------------
# iperf FROM TO ADDRESS [OPTION...]: two seconds; the result in $work/iperf.json.
iperf() {
	local from=$1 to=$2 address=$3
	shift 3
	spawn_in "$work/iperf-server.log" "$to" iperf3 -s -1 --forceflush
	within 10 grep -q listening "$work/iperf-server.log" || return 1
	in_partition "$from" iperf3 -J -c "$address" -t 2 "$@" >"$work/iperf.json"
	local status=$?
	# Some versions end with 0 although they failed.
	jq -e .error "$work/iperf.json" && status=1
	within 10 gone "$last" && return $status
	in_partition "$to" ss -tnoi
	cat "$work/iperf-server.log"
	stop "$last"
	return 1
}
iperf_is() { jq -e "$1" "$work/iperf.json"; } # JQ-EXPRESSION

# ---- Leftovers -----------------------------------------------------------------
# nothing_left [NAMESPACE...]: after down, and before the daemon's end.
nothing_left() {
	local result=0 namespace left
	within 5 not_even_one || result=1
	left=$(find "$state" -type s ! -path "$state/control.sock")
	[ -z "$left" ] || { echo "sockets are left: $left"; result=1; }
	[ "$(jq -r '.processes | length' "$state/state.json")" = 0 ] ||
		{ echo "the saved state still names processes"; result=1; }
	for namespace; do
		left=$(find /proc/[0-9]*/ns/net /proc/[0-9]*/fd -lname "$namespace" 2>/dev/null)
		[ -z "$left" ] || { echo "$namespace is held by $left"; result=1; }
	done
	return $result
}
not_even_one() {
	local pid left=''
	for pid in $(marked); do
		[ "$pid" = "$daemon" ] || left+=" $pid ($(tr '\0' ' ' <"/proc/$pid/cmdline"))"
	done
	[ -z "$left" ] || { echo "still running:$left"; return 1; }
}

cleanup() {
	local status=$? pid
	trap - EXIT
	trap '' INT TERM
	for pid in "${spawned[@]}"; do alive "$pid" && stop "$pid"; done
	if [ $failures != 0 ] || { [ $status != 0 ] && [ $status != 77 ]; }; then
		say "the end of the daemon's log:"
		show "$daemon_log" 60
	fi
	[ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null
	# A daemon that dies in the middle of a spawn leaves a child that comes late.
	for _ in 1 2; do
		for pid in $(marked); do kill -KILL "$pid" 2>/dev/null; done
		within 5 no_marked || status=1
	done
	umount "$state" 2>/dev/null # if it is a disk of its own
	rm -rf "$work"
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
