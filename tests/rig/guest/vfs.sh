#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the rig promises of its SR-IOV card, seen with the kernel's own means: the
# link, virtual functions from none to all and back, an IOMMU group for each, a
# driver of one's choice, and traffic between two with the kernel's driver.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"
all=7

groups_are_own() { # each VF in a group, alone
	local i group members
	for ((i = 0; i < all; i++)); do
		group=$(vf_group "$i")
		members=$(find "/sys/kernel/iommu_groups/$group/devices/" -mindepth 1 -printf '%f ')
		[ "$members" = "$(vf_address "$i") " ] || { echo "VF $i, group $group: $members"; return 1; }
	done
	[ "$(for ((i = 0; i < all; i++)); do vf_group "$i"; done | sort -u | wc -l)" = $all ]
}
mac_is_set() { # INDEX MAC
	ip link set "$(pf_interface)" vf "$1" mac "$2" &&
		ip link show "$(pf_interface)" | grep -qE "vf $1 .*$2"
}
in_namespace() { ip netns exec "otr-rig-$1" "${@:2}"; }
interface_of() { basename "$pf_path/virtfn$1"/net/*; }
to_namespace() { # INDEX NAMESPACE ADDRESS
	local interface
	bind_vf "$1" igbvf && interface=$(interface_of "$1") && ip netns add "otr-rig-$2" &&
		ip link set "$interface" netns "otr-rig-$2" &&
		in_namespace "$2" ip address add "$3" dev "$interface" &&
		in_namespace "$2" ip link set "$interface" up
}

need "the physical function is there" [ -d "$pf_path/net" ]
check "it offers $all virtual functions" [ "$(cat "$pf_path/sriov_totalvfs")" = $all ]
need "its link comes up" pf_up
echo 0 >"$pf_path/sriov_drivers_autoprobe"
need "all of them are made" vfs $all
check "each in an IOMMU group of its own" groups_are_own
check "one more is refused" not vfs $((all + 1))
check "then there are none" [ "$(vf_count)" = 0 ]
need "three are made" vfs 3
check "an address is given to one" mac_is_set 0 02:00:00:00:01:00
check "and to another" mac_is_set 1 02:00:00:00:01:01
check "vfio-pci takes one" bind_vf 2 vfio-pci
check "it is a file that a program can open" [ -c "/dev/vfio/$(vf_group 2)" ]
check "the interrupts are remapped: no unsafe ones are allowed" \
	[ "$(cat /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts)" = N ]
modprobe igbvf
check "the kernel's driver takes one, in a namespace" to_namespace 0 a 10.78.0.1/24
check "and another" to_namespace 1 b 10.78.0.2/24
check "they ping each other" within 30 in_namespace a ping -n -q -c 3 -i 0.2 -W 2 10.78.0.2
ip netns delete otr-rig-a
ip netns delete otr-rig-b
check "none is left" vfs 0
finish
