#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What rights the processes of a running system have, as the kernel tells it of
# every thread, compared with what SECURITY.md says, as root and as an ordinary
# user; that the source's table and the systemd unit say the same; and that what
# takes the few rights which are left still works.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/rights.inc"

# ---- What is documented ----------------------------------------------------------
words() { tr -s ' ' '\n' | grep . | sort | tr '\n' ' '; }
documented_capabilities() { # yes|no: in force in the shim
	sed -nE "s/^\| \`(CAP_[A-Z_]+)\` \| $1\\b.*/\1/p" "$security" | words
}
source_capabilities() { # true|false
	sed -nE "s/^\t\{CAPABILITY\((CAP_[A-Z_]+)\), \.own = $1,.*/\1/p" hv-shim/processes/privileges.c | words
}
unit_capabilities() {
	sed -n 's/^CapabilityBoundingSet=//p' hv-shim/install/outriggerd.service.in | words
}
same() { # TEXT TEXT: and not empty
	echo "'$1'" "'$2'"
	[ -n "$1" ] && [ "$1" = "$2" ]
}
# The daemon's names every call, those for memory too; its children have it all.
names_in() { grep -o 'SCMP_SYS([a-z0-9_]*)' "$1" | sed 's/.*(//; s/)//'; } # FILE
tree_list() { names_in hv-shim/processes/syscalls.c; }
list_length() { echo $(($(grep -o 'SCMP_SYS([a-z]' "$1" | wc -l) + 2)); } # FILE: and mmap, mprotect

# ---- What is there ------------------------------------------------------------------
expect_all() {
	local process
	for process in '`outriggerd`, root' '`outriggerd`, rootless' '`outrigger-keeper`' \
		'`outrigger-soft-adapter`' '`outrigger-vf-adapter`' adjunct; do
		expect "$process" || return 1
	done
}
apart_from() { # PID DAEMON KIND...: in other namespaces than the daemon
	local kind
	for kind in "${@:3}"; do
		[ "$(readlink "/proc/$1/ns/$kind")" != "$(readlink "/proc/$2/ns/$kind")" ] ||
			{ echo "$kind is shared with the daemon"; return 1; }
	done
}
root_is() { # PID WORDS: all that its file system holds
	local found
	cat "/proc/$1/mountinfo"
	found=$(cd "/proc/$1/root/" && find . -mindepth 1 | sort | tr '\n' ' ')
	same "-$found" "-$2" && grep -qE ' / / ro,' "/proc/$1/mountinfo" &&
		[ "$(wc -l <"/proc/$1/mountinfo")" = "$(($(wc -w <<<"$2") ? 2 : 1))" ]
}
# A process of the same user, without capabilities, cannot look into PID.
closed_to_siblings() {
	! setpriv --bounding-set=-all --inh-caps=-all cat "/proc/$1/environ" >/dev/null 2>&1
}
own_socket() { # FILE USER
	[ "$(stat -c %U "$1")" = "$2" ] || { ls -l "$1"; return 1; }
}

# ---- The daemon's list, from inside -------------------------------------------------------
tree_said() { grep -a '^tree: ' "$daemon_log"; }
tree_is_done() { tree_said | grep -qx 'tree: done'; }
swept() { # TABLE
	local tried refused
	tree_said | grep "sweep: $1"
	read -r tried refused < <(tree_said |
		sed -nE "s/^tree: sweep: $1: ([0-9]+) tried, ([0-9]+) refused, .*/\1 \2/p") || return 1
	[ "$tried" -gt 300 ] && [ "$refused" = "$tried" ]
}
# What the walls of outrigger-vf-adapter leave, tried within them. It needs no card for that.
try_the_vf_adapter() {
	names_in vf-manager/adapter/confine.c >"$work/listed"
	chmod a+r "$work/listed"
	OTR_LISTED=$work/listed "${as_user[@]}" "$helpers/tree" vf-adapter >"$work/vf-adapter.log" 2>&1
	daemon_log=$work/vf-adapter.log
	check "$mode: the walls of outrigger-vf-adapter stand" tree_is_done
	for table in native $([ "$(uname -m)" != x86_64 ] || echo x32 i386); do
		check "$mode: within them every $table call but its list is refused" swept "$table"
	done
	check "$mode: what an intruder wants is there without them, and refused" wanted_is_refused 25 EPERM
	check "$mode: opening a file, which is listed, is not" grep -qx 'tree: open: done' "$daemon_log"
	check "$mode: of ioctl() it has nothing" grep -qx 'tree: ioctl: 0 of 3' "$daemon_log"
	daemon_log=$work/outriggerd.log
}
# What the kernel knows answers something else where there is no list.
wanted_is_refused() { # AT-LEAST ERRNO
	local known possible
	known=$("$helpers/tree" outside | grep '^tree: wanted: ' | grep -vc ' ENOSYS$')
	possible=$(tree_said | grep '^tree: wanted: ' | grep -v " $2$")
	echo "$known known here; not refused: $possible"
	[ "$known" -ge "$1" ] && [ -z "$possible" ] &&
		[ "$(tree_said | grep -c '^tree: wanted: ')" -ge "$known" ]
}
# A child in place of a keeper tries all that is not on the list.
try_the_list() {
	mkdir -p "$work/libexec"
	cp -r "$build/libexec/outrigger/." "$work/libexec/"
	cp "$helpers/tree" "$work/libexec/outrigger-keeper"
	tree_list >"$work/listed"
	chmod -R a+rX "$work/libexec" "$work/listed"
	export OTR_LISTED=$work/listed
	check "$mode: a daemon whose keeper tries every call" daemon_start --libexec "$work/libexec"
	refused "$mode: which does not become one" "could not create it: exited" up \
		< <(echo '{version: 1, partitions: [{name: trial}]}')
	check "$mode: it has tried them all" within 20 tree_is_done
	for table in native $([ "$(uname -m)" != x86_64 ] || echo x32 i386); do
		check "$mode: every $table call but the list is refused" swept "$table"
	done
	check "$mode: what an intruder wants is there without the list, and refused by it" wanted_is_refused 25 ENOSYS
	check "$mode: down" outrigger down
	check "$mode: the daemon ends" daemon_stop
}

# ---- The flows ------------------------------------------------------------------------
document() { # OWNER [DEVICE]
	cat <<END
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 5}]
partitions:
  - name: red
    devices:
      - {name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0, index: 0},
         adjunct: {standby: yes}}
${2:+      - $2}
  - name: blue
    owner: $1
    devices:
      - {name: net0, kind: tap, address: 10.77.0.2/24, vf: {adapter: soft0, index: 1}}
      - {name: net1, kind: vhost-user, vf: {adapter: soft0, index: 2}}
  - name: green
    devices: [{name: net0, kind: native, vf: {adapter: soft0, index: 3}}]
END
}
keeper_is_confined() { # PID
	as_documented "$1" '`outrigger-keeper`' && limits_are "$1" 640 67108864 &&
		apart_from "$1" "$daemon" "${kinds[@]}" && root_is "$1" "./dev ./dev/net ./dev/net/tun "
}
adapter_is_confined() { # PID
	as_documented "$1" '`outrigger-soft-adapter`' && limits_are "$1" 4096 268435456 &&
		apart_from "$1" "$daemon" "${kinds[@]}" pid && root_is "$1" ""
}
look() { # WHEN COUNT
	local what name pid kinds=(net mnt ipc uts)
	[ "$mode" = root ] || kinds+=(user)
	check "$1: the shim's rights are the documented ones" as_documented "$daemon" "\`outriggerd\`, $mode"
	field '(.partitions[] | "keeper \(.name) \(.keeper_pid)"), (.adapters[] | "adapter \(.name) \(.pid)"),
		(.adjuncts[] | "adjunct \(.name) \(.pid)")' >"$work/running"
	check "$1: $2 other processes that the shim knows" [ "$(wc -l <"$work/running")" = "$2" ]
	while read -r what name pid; do
		case $what in
		keeper) check "$1: keeper $name: documented rights, limits, namespaces, only the TAP device" \
			keeper_is_confined "$pid" ;;
		adapter) check "$1: adapter $name: documented rights, limits, namespaces, an empty root" \
			adapter_is_confined "$pid" ;;
		adjunct) check "$1: adjunct $name: documented rights" as_documented "$pid" adjunct ;;
		esac
	done <"$work/running"
	[ "$mode" != root ] || check "$1: each is closed to its siblings" all_closed
}
all_closed() {
	local pid
	for pid in $(marked); do
		closed_to_siblings "$pid" || { echo "open: $(tr '\0' ' ' <"/proc/$pid/cmdline")"; return 1; }
	done
}
everything() { # OWNER of blue
	local pid
	need "$mode: the daemon starts" daemon_start
	need "$mode: up" up < <(document "$1")
	check "$mode: every kind of device runs" \
		[ "$(field '[.adapters[], .partitions[], .adjuncts[] | .state] | unique | join(" ")')" = running ]
	check "$mode: ping" pings red 10.77.0.2
	look "$mode" 8
	check "$mode: the owner has the partition's socket" own_socket "$state/partition/blue.sock" "$1"
	check "$mode: and the guest's" own_socket "$state/vhost/blue.net1.sock" "$1"
	# What the keeper kept its capability for.
	check "$mode: one more interface, later" up < <(document "$1" \
		'{name: net1, kind: tap, address: "fd77::1/64", mtu: 1400, vf: {adapter: soft0, index: 4}}')
	check "$mode: it is there" in_partition red ping -n -q -c 1 -W 2 fd77::1
	check "$mode: an adjunct is restarted" outrigger adjunct restart red.net0
	check "$mode: its private memory is known" outrigger adjunct show red.net0
	said "$mode: in bytes" 'private memory +[1-9]'
	check "$mode: the daemon is killed" daemon_stop KILL
	check "$mode: a new one starts" daemon_start
	look "$mode, second daemon" 9
	check "$mode: ping again" pings red 10.77.0.2
	# What the next daemon starts has no more than what the first one started.
	pid=$(pid_of keeper red)
	kill -KILL "$pid" "$(pid_of adapter soft0)"
	check "$mode: keeper and adapter are killed" within 5 gone "$pid"
	check "$mode: up repairs it" within 20 eval 'up < <(document '"$1"') && device_is red/net0 running && device_is red/net1 running && device_is blue/net0 running && device_is green/net0 running'
	look "$mode, repaired" 9
	check "$mode: ping once more" pings red 10.77.0.2
	check "$mode: down" outrigger down
	check "$mode: nothing is left" nothing_left
	check "$mode: the daemon ends" daemon_stop
}

# ---- One table -----------------------------------------------------------------------
check "the source's table is the documented one: in force" same "$(documented_capabilities yes)" "$(source_capabilities true)"
check "the source's table is the documented one: children's" same "$(documented_capabilities no)" "$(source_capabilities false)"
check "the unit's is the same" same "$(unit_capabilities)" "$(
	words < <(documented_capabilities yes; documented_capabilities no))"
check "the unit gives no new privileges" grep -qx NoNewPrivileges=yes hv-shim/install/outriggerd.service.in
need "the documented rights have numbers" expect_all
check "the running shim's row: in force" same "$(row '`outriggerd`, root' 2 | tr -d '`' | words)" "$(source_capabilities true)"
for daemon_row in '`outriggerd`, root' '`outriggerd`, rootless'; do
	check "the daemon's list is as long as documented" same "$(row "$daemon_row" 4)" "$(tree_list | wc -l)"
done
check "it names no call twice" [ -z "$(tree_list | sort | uniq -d)" ]
for program in hv-shim/keeper adjunct-drivers/soft-adapter adjunct-drivers/runtime vf-manager/adapter; do
	check "and has all that $program has" [ -z "$(comm -13 <(tree_list | sort) \
		<(names_in "$program/confine.c" | sort))" ]
done
more=$(sed -nE 's/^static const int syscalls.*\{(.*), -1\};/\1/p' adjunct-drivers/ethdev/ethdev.c | tr -d ' ' | tr , '\n')
check "and what ethdev has besides" [ -n "$more" -a -z "$(comm -13 <(tree_list | sort) <(sed 's/__NR_//' <<<"$more" | sort))" ]
check "the keeper's list is as long as documented" same "$(row '`outrigger-keeper`' 4)" "$(list_length hv-shim/keeper/confine.c)"
check "the adapter's list is as long as documented" same "$(row '`outrigger-soft-adapter`' 4)" \
	"$(list_length adjunct-drivers/soft-adapter/confine.c)"
check "the list for virtual functions is as long as documented" same "$(row '`outrigger-vf-adapter`' 4)" \
	"$(list_length vf-manager/adapter/confine.c)"
check "the adjuncts' list is as long as documented" same "$(row adjunct 4)" \
	"$(list_length adjunct-drivers/runtime/confine.c)"

# ---- As root, and as an ordinary user ---------------------------------------------------
mode=rootless
owner=$(id -un)
if [ "$(id -u)" = 0 ]; then
	mode=root
	everything nobody
	try_the_list
	try_the_vf_adapter
	# Programs in the home of somebody who lets nobody in: root must read a manifest
	# and start its children there, and may override no permission later.
	mkdir -p "$work/home/libexec"
	cp -r "$build/bin" "$work/home/"
	cp -r "$build/libexec/outrigger" "$work/home/libexec/"
	chown nobody:nogroup "$work/home"
	chmod 700 "$work/home"
	bin=$work/home/bin
	check "a daemon in a closed home starts" daemon_start
	check "it brings everything up" up < <(document root)
	check "ping" pings red 10.77.0.2
	check "its rights are the documented ones" as_documented "$daemon" '`outriggerd`, root'
	check "down" outrigger down
	check "the daemon ends" daemon_stop
	# The same as a user of his own, who may read the programs.
	chmod -R a+rX "$work/home"
	mode=rootless owner=nobody
	as_user=(setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all env HOME=/nonexistent)
	rm -rf "$state"
	mkdir -m 711 "$state"
	chown nobody:nogroup "$state"
fi
if "${as_user[@]}" unshare --user --map-root-user --net true 2>/dev/null; then
	everything "$owner"
	[ "$(id -u)" = 0 ] || { try_the_list; try_the_vf_adapter; }
else
	skipped "rootless" "this kernel lets no ordinary user make a user and a network namespace"
fi
finish
