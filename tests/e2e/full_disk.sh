#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A machine that lacks something while everything runs: room on the disk of the
# state folder, the TUN device, descriptors, processes. Whoever asked is told;
# what runs goes on; when the lack is over all is as before. In a mount namespace
# of its own, so that nobody else ever sees this machine.
if [ -z "${OTR_OWN_MOUNTS:-}" ]; then
	export OTR_OWN_MOUNTS=1
	if [ "$(id -u)" = 0 ]; then
		exec unshare --mount --propagation private "$0"
	fi
	unshare --user --map-root-user --mount true 2>/dev/null || {
		echo "this kernel lets no ordinary user make a mount namespace"
		exit 77
	}
	exec unshare --user --map-root-user --mount --propagation private "$0"
fi
. "$(dirname "$0")/lib.sh"

document() { # VLAN of both
	cat <<END
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 3}]
partitions:
  - name: red
    devices: [{name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0, index: 0, vlan: $1}}]
  - name: blue
    devices: [{name: net0, kind: tap, address: 10.77.0.2/24, vf: {adapter: soft0, index: 1, vlan: $1}}]
END
}
changed() { document "$1" | up; }
fill() { ! cat /dev/zero >"$state/filler" 2>"$work/fill" && grep "No space left" "$work/fill"; }
saved_vlan() { jq '.document.partitions[0].devices[0].vf.vlan // 0' "$state/state.json"; }

# ---- A full disk -----------------------------------------------------------------------
need "a small disk for the state" mount -t tmpfs -o size=64k,mode=711 tmpfs "$state"
need "the daemon starts" daemon_start
need "up" changed 5
check "ping" pings red 10.77.0.2
need "the disk is filled" fill
refused "a change is made, and whoever asked hears that it is not saved" \
	"could not be saved \(No space left on device\)" changed 6
check "the log says so as well" log_says "the state cannot be saved in .*No space left on device"
check "traffic flows" pings red 10.77.0.2
check "status answers" outrigger status
check "the saved state is the one before, whole" [ "$(saved_vlan)" = 5 ]
check "the daemon is killed, and one starts on the full disk" eval 'daemon_stop KILL && daemon_start'
check "traffic flows" pings red 10.77.0.2
rm "$state/filler"
check "with room again the change is saved" changed 8
check "it is" [ "$(saved_vlan)" = 8 ]
check "a new daemon knows it" eval 'daemon_stop KILL && daemon_start && changed 8'
said "there is nothing to do" "nothing to do"
check "traffic flows" pings red 10.77.0.2
check "down" outrigger down
check "nothing is left" nothing_left
check "the daemon ends" daemon_stop
fill >/dev/null
rm -f "$state/state.json"
fill >/dev/null
check "a daemon starts on a disk that is full from the beginning" daemon_start
rm "$state/filler"
check "and works once there is room" changed 0
check "ping" pings red 10.77.0.2
check "down" outrigger down

# ---- No TUN device ------------------------------------------------------------------------
need "the TUN device is hidden" mount -t tmpfs tmpfs /dev/net
refused "a TAP device is refused with the reason" \
	"device red/net0: could not create it: .*(/dev/net/tun|TUN).*No such file.*down and up" changed 0
check "it failed, and says so" device_is red/net0 failed
check "a device that needs none comes up" up <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 3}]
partitions: [{name: green, devices: [{name: net0, kind: native, vf: {adapter: soft0}}]}]
END
check "it is removed again" outrigger partition destroy green
need "the TUN device is back" umount /dev/net
# A keeper has no file system but the device it found when it started.
check "down, as it said" outrigger down
check "up" changed 0
check "ping" pings red 10.77.0.2
check "down" outrigger down
check "nothing is left" nothing_left
check "the daemon ends" daemon_stop

# ---- Few descriptors ---------------------------------------------------------------------
few_start() { (ulimit -n "$1"; daemon_start; echo "$daemon" >"$work/daemon"); local status=$?; daemon=$(<"$work/daemon"); return $status; }
ten() {
	echo 'version: 1'
	echo 'adapters: [{name: soft0, kind: embedded, vfs: 10}]'
	echo 'partitions:'
	local i
	for i in 0 1 2 3 4 5 6 7 8 9; do
		echo "  - {name: p$i, devices: [{name: net0, kind: tap, address: 10.79.$i.1/24, vf: {adapter: soft0}}]}"
	done
}
# Room for one device and for what whoever runs this has open; ten take twice as many.
check "a daemon with 40 descriptors starts" few_start 40
ten | up >"$work/out" 2>&1
status=$?
[ $status = 1 ] && grep -q "Too many open files" "$work/out"
report $? "ten partitions are too many for it, and it says why" || { say "exit status $status"; show "$work/out"; }
check "it still answers" outrigger status
check "and takes down what there is" outrigger down
check "nothing is left" nothing_left
check "one device fits" up <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 1}]
partitions: [{name: p0, devices: [{name: net0, kind: tap, address: 10.79.0.1/24, vf: {adapter: soft0}}]}]
END
check "down" outrigger down
check "nothing is left" nothing_left
finish
