#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A virtual machine as a partition: an unmodified Debian kernel in QEMU, whose
# virtio-net sits on the partition's vhost-user socket, exchanges traffic with
# programs in the namespace of another partition. By emulation (TCG): a machine
# without KVM will do. What runs inside is vm_guest.sh, which prints a line
# "RESULT status name" for each of its checks.
. "$(dirname "$0")/lib.sh"

command -v qemu-system-x86_64 >/dev/null || skip "qemu-system-x86_64 is not here (Debian: qemu-system-x86)"
kernel=$(tests/rig/vm_assets.sh kernel) || { echo "$kernel"; exit $?; }
console=$work/console
address=10.77.0.3

need "an initramfs" tests/rig/vm_assets.sh initramfs "$work/initramfs" tests/e2e/vm_guest.sh \
	virtio_pci virtio_net
need "the daemon starts" daemon_start
need "up: a TAP partition and one for a virtual machine" up <<END
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 2}]
partitions:
  - name: red
    devices: [{name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0}}]
  - name: vm
    devices: [{name: net0, kind: vhost-user, vf: {adapter: soft0}}]
END

# vectors=0: with message-signalled interrupts QEMU 7.2 (Debian 12) crashes as soon
# as a guest starts a vhost-user device without KVM.
boot() {
	local device mac path
	device=$(outrigger -j device show vm/net0)
	mac=$(jq -r .device.mac <<<"$device") path=$(jq -r .device.path <<<"$device")
	: >"$console"
	spawn "$work/qemu.log" qemu-system-x86_64 -machine q35,memory-backend=ram -accel tcg -cpu max \
		-smp 1 -m 256 -object memory-backend-memfd,id=ram,size=256M,share=on \
		-nodefaults -display none -no-reboot -serial "file:$console" \
		-kernel "$kernel" -initrd "$work/initramfs" \
		-append "console=ttyS0 quiet panic=-1 mac=$mac" \
		-chardev "socket,id=port,path=$path" -netdev vhost-user,id=net,chardev=port \
		-device "virtio-net-pci,netdev=net,mac=$mac,vectors=0,romfile="
	vm=$last
}
# reached NAME: the guest came so far, or it has ended.
reached() { grep -qa "^REACHED $1" "$console" || gone "$vm"; }
guest() { # SECONDS NAME: waits for it; then it must be alive and well
	within "$1" reached "$2" && grep -qa "^REACHED $2" "$console" && return
	echo "the end of the guest's console, and of QEMU's output:"
	tail -n 30 "$console" "$work/qemu.log"
	return 1
}
# Its checks, told as ours.
results() {
	local status name
	while read -r _ status name; do report "$status" "guest: $name"; done \
		< <(tr -d '\r' <"$console" | grep -a '^RESULT ')
	grep -qa '^RESULT' "$console" || report 1 "guest: any result"
}
in_red() { spawn_in "$work/red.$1" red "${@:2}"; } # LOG COMMAND...
same_sum() { # what the guest says it sent or got, and what we got or sent
	local theirs
	theirs=$(tr -d '\r' <"$console" | sed -n "s/^SUM $1 //p" | tail -n 1)
	echo "guest $theirs, red $2"
	[ -n "$2" ] && [ "$theirs" = "$2" ]
}
sum_of() { sha256sum <"$1" | cut -d ' ' -f 1; }

# ---- A first life: traffic both ways -----------------------------------------------
boot
need "it boots and sees its interface" guest 60 up
check "red pings the guest" within 10 pings red $address -c 1
check "and again, with frames of the greatest size" pings red $address -s 1472 -M do
head -c 8388608 /dev/urandom >"$work/down.bin"
in_red up.bin busybox nc -l -p 5001
receiver=$last
in_red down.log sh -c "busybox nc -l -p 5002 <'$work/down.bin'"
in_red go.log busybox nc -l -p 5003
need "the guest's own checks" guest 90 checked
check "red got all of it" within 10 gone "$receiver"
check "bulk from the guest to red: the same checksum" same_sum sent "$(sum_of "$work/red.up.bin")"
check "bulk from red to the guest: the same checksum" same_sum received "$(sum_of "$work/down.bin")"
check "the guest binds its driver anew" guest 30 rebound
check "the new driver's traffic arrives" within 10 pings red $address -c 1
check "both adjuncts are well" [ "$(field '[.adjuncts[].state] | unique | join(" ")')" = running ]
check "counters moved" [ "$(counter vm/net0 tx_bytes)" -gt 8388608 -a "$(counter vm/net0 rx_bytes)" -gt 8388608 ]
sent=$(counter vm/net0 tx_dropped)
check "nothing of the guest's was dropped" [ "$sent" = 0 ]
echo off | in_partition red busybox nc -w 5 $address 6000 >/dev/null 2>&1
check "it powers off" within 20 gone "$vm"
results

# ---- A second one, which dies ---------------------------------------------------------
boot
check "a second one boots on the same socket" guest 60 up
check "red pings it" within 10 pings red $address -c 1
before=$(pid_of adjunct vm.net0)
kill -KILL "$before"
another_runs() {
	device_is vm/net0 running && [ "$(pid_of adjunct vm.net0)" != "$before" ]
}
check "its adjunct is killed, and replaced" within 20 another_runs
check "the guest goes on: red pings it" within 10 pings red $address -c 1
check "over the connection it had" not log_says 'vm.net0: its guest is disconnected'
check "which began once for each of the two" [ "$(grep -c 'vm.net0: a guest is connected' "$daemon_log")" = 2 ]
stop "$vm" KILL
check "it is killed; the adjunct stays" device_is vm/net0 running
check "and red does too" device_is red/net0 running
check "nobody answers any more" not pings red $address -c 1 -W 1
check "down" outrigger down
check "nothing is left" nothing_left
finish
