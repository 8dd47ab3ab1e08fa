#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# `outrigger vf` on a card that a kernel drives: from a PF that is down to VFs with
# settings and drivers; the same again; drift; another number; VFs in use; who holds
# one, and that it comes back as it was; and back to none.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"

vf() { timeout 100 "$bin/outrigger" --state-dir "$work/state" vf "$@" </dev/null; }
document() { # COUNT RULE...: the wish
	{
		printf 'version: 1\npfs:\n  - pf: %s\n    vfs: %s\n' "$pf" "$1"
		shift
		[ $# = 0 ] || printf '    vf:\n'
		[ $# = 0 ] || printf '      - {%s}\n' "$@"
	} >"$work/vfs.yaml"
}
apply() { vf apply -f "$work/vfs.yaml" "$@"; }
ip_shows() { ip link show "$(pf_interface)" | grep -E "vf $1 .*$2"; } # INDEX REGEX
is_up() { [ $(($(cat "/sys/class/net/$(pf_interface)/flags") & 1)) = 1 ]; }
# As soon as it is up, which is before its link, and again once the functions are there.
apply_renamed() { # NAME NAME
	apply >"$work/renamed" 2>&1 &
	local apply=$!
	within 30 is_up && ip link set "$(pf_interface)" name "$1" &&
		within 30 test -e "$pf_path/virtfn1" && ip link set "$(pf_interface)" name "$2"
	local renamed=$?
	wait $apply && cat "$work/renamed" && return $renamed
	cat "$work/renamed"
	return 1
}
has_no_link() { [ "$(cat "/sys/class/net/$(pf_interface)/operstate")" = down ]; }

modprobe igbvf
need "the physical function is there" [ -d "$pf_path/net" ]
# As after a boot: other tests here have new VFs left without a driver.
echo 1 >"$pf_path/sriov_drivers_autoprobe"
ip link set "$(pf_interface)" down
check "it is down" within 10 has_no_link
check "list" vf list
said "list: the card" "^$pf +0 of 7 +igb "
document 3 'spoofchk: yes' 'index: 0, mac: 02:00:00:00:01:00, vlan: 7, qos: 2' \
	'index: 1, mac: 02:00:00:00:01:01, trust: yes' 'index: 2, driver: dpdk'
check "a plan" apply --dry-run
said "a plan: VFs" '^\+ pf .*: vfs 0 -> 3$'
check "a plan touches nothing" [ "$(vf_count)" = 0 ]
need "apply" apply
check "the link is there, which the card lost meanwhile" link_is_up
check "there are three" [ "$(vf_count)" = 3 ]
check "an address and a VLAN" ip_shows 0 '02:00:00:00:01:00.* vlan 7, qos 2'
check "an address and trust" ip_shows 1 '02:00:00:00:01:01.* trust on'
check "vfio-pci for DPDK" [ "$(vf_driver 2)" = vfio-pci ]
check "the kernel's driver for the others" [ "$(vf_driver 0) $(vf_driver 1)" = "igbvf igbvf" ]
check "its interface has the address that was set first" \
	grep -q 02:00:00:00:01:00 "$pf_path/virtfn0/net/"*/address
check "new VFs are probed as before" [ "$(cat "$pf_path/sriov_drivers_autoprobe")" = 1 ]
check "apply again" apply --detailed-exitcode
said "apply again: nothing to do" '^nothing to do$'

ip link set "$(pf_interface)" vf 0 vlan 9
check "somebody changes a VLAN" apply
said "it is put right, and no more" '^1 done$'
check "the VLAN is as it was" ip_shows 0 'vlan 7'
document 3 'index: 0, state: disable'
refused "what igb cannot do" 'driver igb cannot set this' apply
document 3 'max_tx_rate: 100'
check "a rate" apply
check "the rate is there" ip_shows 2 'max_tx_rate 100Mbps'

document 4
refused "another number" 'has 3 VFs, 4 wanted: .*--allow-disruptive' apply
exec 9<>"/dev/vfio/$(vf_group 2)"
refused "another number while a program has a VF" 'has it open; stop that first' \
	apply --allow-disruptive
exec 9>&-
check "another number, with the word" apply --allow-disruptive
check "there are four" [ "$(vf_count)" = 4 ]

check "bind" vf bind "$(pf_interface)/3" --owner red
check "vfio-pci has it" [ "$(vf_driver 3)" = vfio-pci ]
refused "another owner" 'is held by "red"' vf release "$(vf_address 3)" --owner blue
ip link set "$(pf_interface)" vf 3 vlan 33
check "release" vf release "$(vf_address 3)" --owner red
check "the kernel's driver has it again" [ "$(vf_driver 3)" = igbvf ]
check "its VLAN went with its owner" not ip_shows 3 'vlan 33'

doctor_finds() { { vf doctor -j || :; } | jq -e "any(.findings[]; .name == \"$1\")" >/dev/null; }
check "doctor: there is an IOMMU here" not doctor_finds iommu-missing
ip link set "$(pf_interface)" down
check "doctor: the link is down" doctor_finds link-down
ip link set "$(pf_interface)" up

# The card goes, and its VFs with it, and comes back without any.
spawn "$work/watch" timeout 200 "$bin/outrigger" --state-dir "$work/state" -j vf watch -i 0.2
watched() { grep -q "\"function\":\"$1\",\"event\":\"$2\"" "$work/watch"; } # ADDRESS EVENT
first=$(vf_address 0)
vf bind "$first" --owner red >/dev/null
check "watch: somebody holds a VF" within 30 watched "$first" held
echo 1 >"$pf_path/remove"
check "watch: the VF is gone" within 30 watched "$first" vanished
check "watch: and the card" within 30 watched "$pf" vanished
check "list without the card" vf list
check "doctor: what was held is not there" doctor_finds record-orphaned
refused "another owner" 'was held by "red"' vf release "$first" --owner blue
check "release of what is not there" vf release "$first" --owner red
refused "and once is enough" 'is not there, and nobody held it' vf release "$first" --owner red
echo 1 >/sys/bus/pci/rescan
check "watch: the card is back" within 30 watched "$pf" appeared
stop "$last"
check "its link comes up" pf_up
document 2
check "apply after that" apply
check "there are two" [ "$(vf_count)" = 2 ]
document 0
check "and none" apply --allow-disruptive

# As udev does at a boot, which makes the functions in the very seconds in which it begins.
ip link set "$(pf_interface)" down
document 2 'index: 1, mac: 02:00:00:00:01:01, vlan: 7'
check "apply, while the card's interface gets other names" apply_renamed renamed0 renamed1
check "that is its name" [ "$(pf_interface)" = renamed1 ]
check "there are two" [ "$(vf_count)" = 2 ]
check "with their settings" ip_shows 1 '02:00:00:00:01:01.* vlan 7'
printf 'version: 1\n' >"$work/vfs.yaml"
check "prune" apply --prune --allow-disruptive
check "there are none, as before" [ "$(vf_count)" = 0 ]
check "nothing is remembered" [ -z "$(ls "$work/state/vf")" ]
finish
