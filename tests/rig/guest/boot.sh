#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# A boot with the units and the udev rule that `make install` brings: systemd, its udev and
# nothing enabled but those, in a process, mount and control group namespace of its own, on
# the rig's kernel and card. The functions of the section pfs, the daemon and the partitions
# come in the order that the units say, while udev renames the card's interface, whenever it
# comes to that, and loads the functions' driver of the kernel. Then the card goes and comes late, and the rule sees to its functions.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"
command -v udevadm >/dev/null || skip "udevadm is not here (Debian: udev)"

units=(outrigger-vf.service outriggerd.service outrigger.service)
control=/run/outrigger
# Everything is written to the rig's layer of memory, and gone with it.
install_units() {
	local file
	for file in hv-shim/install/outrigger*.service.in; do
		sed "s|@BINDIR@|$bin|g" "$file" >"/etc/systemd/system/$(basename "${file%.in}")" || return 1
	done
	cp hv-shim/install/80-outrigger.rules.in /etc/udev/rules.d/80-outrigger.rules
	rm -rf /etc/systemd/system/*.wants
	mkdir -p /etc/tmpfiles.d
	ln -sf /dev/null /etc/tmpfiles.d/tmp.conf # a boot empties /tmp, and this test is there
	ln -sfn /usr/lib/systemd/system/multi-user.target /etc/systemd/system/default.target
	systemctl --root=/ enable "${units[@]}"
}
write_document() {
	mkdir -p /etc/outrigger
	cat >/etc/outrigger/outrigger.yaml <<-END
	version: 1
	pfs:
	  - pf: $pf
	    vfs: 2
	    vf:
	      - {driver: dpdk}
	      - {index: 0, mac: "02:00:00:00:02:00"}
	      - {index: 1, mac: "02:00:00:00:02:01"}
	adapters:
	  - {name: vf0, kind: dpdk, device: "$vf0"}
	  - {name: vf1, kind: dpdk, device: "$vf1"}
	partitions:
	  - name: red
	    devices: [{name: net0, kind: tap, address: 10.77.0.1/24, mac: "02:00:00:00:02:00", vf: {adapter: vf0}}]
	  - name: blue
	    devices: [{name: net0, kind: tap, address: 10.77.0.2/24, mac: "02:00:00:00:02:01", vf: {adapter: vf1}}]
	END
}

rule_is_read() { # and nothing is said of any line of it
	udevadm test --action=add /sys/class/net/lo >"$work/rules" 2>&1
	grep '80-outrigger' "$work/rules"
	grep -q 'Reading rules file: .*/80-outrigger.rules' "$work/rules" &&
		! grep -qE '80-outrigger.rules:[0-9]+' "$work/rules"
}

# ---- A boot of its own -------------------------------------------------------
boot_starts() {
	mkdir -p /sys/fs/cgroup/boot
	spawn "$work/boot.log" sh -c 'echo $$ >/sys/fs/cgroup/boot/cgroup.procs && exec unshare --mount \
		--cgroup --pid --fork --kill-child --mount-proc sh -c "umount /sys/fs/cgroup &&
		mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec env -i PATH=$PATH container=rig \
		/lib/systemd/systemd --system --log-target=console --log-level=info --show-status=no"'
	within 10 boot_process
}
boot_process() { pgrep -P "$last" >"$work/boot.pid"; }
booted() { nsenter --target "$(cat "$work/boot.pid")" --mount --pid --cgroup -- "$@"; }
unit_is() { [ "$(booted systemctl is-active "$1")" = "$2" ]; }
all_active() {
	local unit
	for unit in "${units[@]}"; do
		unit_is "$unit" active && continue
		booted systemctl status --no-pager "$unit"
		booted systemctl list-jobs --no-pager
		return 1
	done
}
shown() { booted systemctl show --value -p "$2" "$1"; } # UNIT PROPERTY
before() { # UNIT UNIT: the first was done when the second began
	echo "$1 done at $(shown "$1" ActiveEnterTimestampMonotonic), $2 begun at $(shown "$2" InactiveExitTimestampMonotonic)"
	[ "$(shown "$1" ActiveEnterTimestampMonotonic)" -le "$(shown "$2" InactiveExitTimestampMonotonic)" ]
}
# What was said, and when, by whoever has a part in it.
show_boot() {
	say "systemd's words:"
	show "$work/boot.log" 100
	say "the journal's:"
	booted journalctl -b --no-pager -o short-monotonic >"$work/journal"
	grep -E 'outrigger|udev|igb|renamed' "$work/journal" >"$work/journal.part"
	show "$work/journal.part" 150
}
otr_booted() { booted "$bin/outrigger" --state-dir $control "$@"; }
both_talk() { otr_booted exec red -- ping -n -q -c 3 -i 0.2 -W 2 10.77.0.2; }
functions_are() { [ "$(vf_count)" = 2 ] && [ "$(vf_driver 0) $(vf_driver 1)" = "vfio-pci vfio-pci" ]; }

need "the link is up" pf_up
need "two virtual functions" vfs 2
vf0=$(vf_address 0) vf1=$(vf_address 1)
need "and none" vfs 0
ip link set "$(pf_interface)" down
! grep -q '^igbvf ' /proc/modules || modprobe -r igbvf # udev loads it, as soon as there are functions
need "the units and the rule" install_units
write_document
check "udev takes the rule" rule_is_read
need "systemd starts" boot_starts
check "it comes to all three units" within 30 all_active || show_boot
check "the functions are there, with their driver" functions_are
check "they were before the daemon began" before outrigger-vf.service outriggerd.service || show_boot
check "and the daemon before the partitions" before outriggerd.service outrigger.service
check "partitions talk" within 20 both_talk
check "once more: nothing is to do" otr_booted up -f /etc/outrigger/outrigger.yaml --detailed-exitcode

check "the partitions are taken down" booted systemctl stop outrigger.service
check "the functions stay" functions_are
echo 1 >"$pf_path/remove"
need "the card is pulled" within 10 not test -e "$pf_path"
echo 1 >/sys/bus/pci/rescan
check "it comes back: so do its functions, by the rule" within 20 functions_are
check "and the partitions" within 20 both_talk
check "all units are well" all_active
finish
