#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Two partitions on two virtual functions of the card, each through an adjunct: the
# driver is DPDK's, by VFIO, and the way between them is the card's own switch.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"

two_vfs() {
	local i
	echo 0 >"$pf_path/sriov_drivers_autoprobe"
	vfs 2 || return 1
	for i in 0 1; do
		ip link set "$(pf_interface)" vf $i mac 02:00:00:00:02:0$i && bind_vf $i vfio-pci || return 1
	done
}
document() {
	cat <<END
version: 1
adapters:
  - {name: vf0, kind: dpdk, device: "$(vf_address 0)"}
  - {name: vf1, kind: dpdk, device: "$(vf_address 1)"}
partitions:
  - name: red
    devices:
      - {name: net0, kind: tap, address: 10.77.0.1/24, mac: "02:00:00:00:02:00",
         vf: {adapter: vf0}, adjunct: {image: ethdev}}
  - name: blue
    devices:
      - {name: net0, kind: tap, address: 10.77.0.2/24, mac: "02:00:00:00:02:01",
         vf: {adapter: vf1}, adjunct: {image: ethdev}}
END
}
bring_up() { document | up; }
faults() { dmesg | grep -c 'DMAR:.*fault'; }

need "the link is up" pf_up
need "two virtual functions, with vfio-pci" two_vfs
need "the daemon starts" daemon_start
need "two partitions on them" bring_up
check "ping" pings red 10.77.0.2
check "and back" pings blue 10.77.0.1
cat "$work/out"
check "the IOMMU saw no fault" [ "$(faults)" = 0 ]
check "down" outrigger down
check "none is left" vfs 0
finish
