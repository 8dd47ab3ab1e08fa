#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A hostile driver on a real function: each descriptor that it hands to its hardware
# points outside the memory it was donated (tests/rig/stray.c). The IOMMU stops every
# one of them and the kernel says so; the partition is told; neighbours on the same card do
# not notice.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"

document() { # [MORE]: an adapter, a partition
	cat <<END
version: 1
adapters:
  - {name: nic0, kind: sriov, device: $pf, vfs: 4}
  ${1-}
partitions:
$(partition red 0 ethdev "nic0, index: 0")
$(partition blue 1 ethdev "nic0, index: 1")
$(partition evil 2 stray "nic0, index: 2")
${2-}
END
}
partition() { # NAME NUMBER IMAGE VF
	cat <<END
  - name: $1
    devices:
      - {name: net0, kind: tap, address: 10.77.0.$(($2 + 1))/24, mac: "02:00:00:00:02:0$2",
         vf: {adapter: $4}, adjunct: {image: $3}}
END
}
# One that the document has by itself, with no process behind it.
single_up() {
	document "- {name: vf3, kind: dpdk, device: \"$(vf_address 3)\"}" "$(partition alone 3 stray vf3)" | up
}
image_install() {
	libexec=$work/libexec
	mkdir -p "$libexec/images"
	cp "$build"/libexec/outrigger/outrigger-* "$libexec/"
	cp "$build"/libexec/outrigger/images/*.yaml "$libexec/images/"
	cp "$helpers/stray" "$libexec/outrigger-adjunct-stray"
	sed -e 's/^name: .*/name: stray/' -e 's/^executable: .*/executable: outrigger-adjunct-stray/' \
		"$libexec/images/ethdev.yaml" >"$libexec/images/stray.yaml"
}
bring_up() { document | up; }
faults() { dmesg | grep -c "DMAR: \[DMA Read.*\[${1#0000:}\]"; } # ADDRESS
a_fault() { [ "$(faults "$1")" -gt 0 ]; }
no_fault() { [ "$(faults "$1")" = 0 ]; }
at_most_one_a_second() {
	local told
	told=$(outrigger -j events show evil | jq '.partitions[0].events[] | select(.event == "dma-fault") | .count')
	echo "$told events in $((SECONDS - strays_since)) s"
	[ "$told" -le $((SECONDS - strays_since + 2)) ]
}
all_answered() { # of the neighbours' ping
	grep -oE '[0-9]+ packets transmitted, [0-9]+ received' "$work/ping.log" |
		awk '{ exit $1 != $4 || $1 != 500 }'
}

need "the link is up" pf_up
need "an image of the hostile driver" image_install
need "the daemon starts" daemon_start --libexec "$libexec"
need "neighbours, and the hostile one, on a function each" bring_up
check "the neighbours reach each other" pings red 10.77.0.2
check "none of them strays" no_fault "$(vf_address 1)"
spawn_in "$work/ping.log" red ping -n -q -i 0.02 -c 500 10.77.0.2
neighbours=$last
strays_since=$SECONDS
in_partition evil ping -n -q -i 0.02 -c 200 -W 1 10.77.0.1 >"$work/evil.log"
check "the IOMMU stops it, and the kernel says so" within 20 a_fault "$(vf_address 2)"
dmesg | grep DMAR: | head -n 3 | sed 's/^/# /'
told() { outrigger -j events show "$1" | jq -e '.partitions[0].events[] | select(.event == "dma-fault")'; }
check "its partition is told" within 20 told evil
check "as an event with its cause" outrigger events show
said "as an event with its cause" "^evil/net0 +dma-fault .*$(vf_address 2) read outside its memory, at 0x1[0-9a-f]+: stopped by the IOMMU"
check "so the log says, with what to do" log_says 'evil/net0: dma-fault: .*take the device down'
check "counted" [ "$(vf_counter evil/net0 dma_faults)" -gt 0 ]
check "no more than once a second" at_most_one_a_second
check "no other partition is told" not told red
check "nor the third" not told blue
check "nothing of what it sent arrives" grep -q ' 0 received' "$work/evil.log"
check "the first neighbour had no fault" no_fault "$(vf_address 0)"
check "nor the second" no_fault "$(vf_address 1)"
check "their traffic ends" within 60 gone "$neighbours"
check "and no frame of it is lost" all_answered
show "$work/ping.log"
check "they reach each other still" pings blue 10.77.0.1

need "a function that is no adapter's of kind sriov" bind_vf 3 vfio-pci
need "another hostile one, on that" single_up
spawn_in "$work/alone.log" alone ping -n -q -i 0.2 -W 1 10.77.0.1
alone=$last
check "the IOMMU stops this one, too" within 20 a_fault "$(vf_address 3)"
check "its partition is told" within 20 told alone
check "as an event with its cause" outrigger events show alone
said "as an event with its cause" "^alone/net0 +dma-fault .*$(vf_address 3) read outside its memory, at 0x1[0-9a-f]+: stopped by the IOMMU"
check "counted" [ "$(vf_counter alone/net0 dma_faults)" -gt 0 ]
check "no other partition is told" not told red
stop "$alone"
check "down" outrigger down
check "nothing is left" nothing_left
check "there are no functions, as before" [ "$(vf_count)" = 0 ]
finish
