#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A virtual function given whole to a virtual machine: the partition's device is of kind
# vfio, its owner gets the group's file, and QEMU (with the rig's own KVM) boots a kernel
# whose igbvf drives it. It talks to another partition's function. While the machine has
# the function nobody takes it away, and afterwards it goes back.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"

# The rig's own kernel, whose package has the function's driver.
export RIG_ROOT=$PWD/build/rig/layer
console=$work/console
group_file() { outrigger -j device show vm/net0 | jq -r .device.path; }
ulimit -l unlimited
modprobe igbvf
need "the physical function is there" [ -d "$pf_path/net" ]
need "a kernel" tests/rig/vm_assets.sh kernel
kernel=$(cat "$work/out")
need "an initramfs" tests/rig/vm_assets.sh initramfs "$work/initramfs" tests/rig/vm_guest.sh igbvf
need "the daemon starts" daemon_start
need "up: a function for a partition, and one for a virtual machine" up <<END
version: 1
adapters: [{name: nic0, kind: sriov, device: $pf, vfs: 2}]
partitions:
  - name: red
    devices: [{name: net0, kind: netdev, address: 10.77.0.1/24, vf: {adapter: nic0, index: 0}}]
  - name: vm
    owner: nobody
    devices: [{name: net0, kind: vfio, vf: {adapter: nic0, index: 1}}]
END
check "the device names its group" [ "$(group_file)" = "/dev/vfio/$(vf_group 1)" ]
check "which is the owner's" [ "$(stat -c %U "$(group_file)")" = nobody ]
check "vfio-pci has it" [ "$(vf_driver 1)" = vfio-pci ]
mac=$(outrigger -j device show vm/net0 | jq -r .device.mac)
: >"$console"
spawn "$work/qemu.log" qemu-system-x86_64 -machine q35 -accel kvm -cpu host -smp 1 -m 256 \
	-nodefaults -display none -no-reboot -serial "file:$console" -kernel "$kernel" \
	-initrd "$work/initramfs" -append "console=ttyS0 quiet panic=-1" \
	-device "vfio-pci,host=$(vf_address 1)"
vm=$last
reached() { grep -qa "^REACHED $1" "$console" || gone "$vm"; }
guest() { # SECONDS NAME
	within "$1" reached "$2" && grep -qa "^REACHED $2" "$console" && return
	tail -n 20 "$console" "$work/qemu.log"
	return 1
}
check "it boots, with the function as its interface" guest 120 "up: igbvf $mac"
check "it pings red" guest 60 ping
check "red pings it" within 10 pings red 10.77.0.3
refused "it is not taken away meanwhile" 'held by|has it open|VFIO group' \
	"$bin/outrigger" --state-dir "$state" vf release "$(vf_address 1)" --owner outrigger:nic0
check "nor when the partition goes: that is told" outrigger partition destroy vm
check "it is told" log_says "its VFIO group $(vf_group 1) open; stop that first"
check "the machine runs on" pings red 10.77.0.3
stop "$vm" KILL
check "down, once it has ended" outrigger down
check "there are no functions, as before" [ "$(vf_count)" = 0 ]
check "nothing is remembered" [ -z "$(ls "$state/vf")" ]
finish
