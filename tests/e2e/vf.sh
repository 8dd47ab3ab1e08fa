#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# `outrigger vf` on a machine that was recorded: an Intel 82576 with four VFs, one with
# each kind of owner, as files below --root. No daemon runs. TAP lines.
. "$(dirname "$0")/lib.sh"

root=$work/root devices=$work/root/sys/bus/pci/devices
vf() { timeout 60 "$bin/outrigger" vf "$@" </dev/null; }
there() { vf "$@" --root "$root"; }
put() { mkdir -p "$(dirname "$2")" && printf '%s\n' "$1" >"$2"; } # TEXT FILE

# ---- The machine ----------------------------------------------------------------
function_is() { # ADDRESS DRIVER GROUP
	mkdir -p "$devices/$1" "$root/sys/bus/pci/drivers/$2" "$root/sys/kernel/iommu_groups/$3/devices/$1"
	put 0x020000 "$devices/$1/class"
	put '' "$devices/$1/driver_override"
	ln -sfn "../../drivers/$2" "$devices/$1/driver"
	ln -sfn "../../../../kernel/iommu_groups/$3" "$devices/$1/iommu_group"
}
interface_is() { # ADDRESS NAME MAC FLAGS CARRIER
	put "$3" "$devices/$1/net/$2/address"
	put "$4" "$devices/$1/net/$2/flags"
	put "$5" "$devices/$1/net/$2/carrier"
	put 0 "$devices/$1/net/$2/addr_assign_type"
	put 1000 "$devices/$1/net/$2/speed"
	put 7 "$devices/$1/net/$2/ifindex"
}
pf=0000:01:00.0
function_is $pf igb 10
interface_is $pf enp1s0f0 a0:36:9f:00:00:01 0x1003 1
for fact in vendor:0x8086 device:0x10c9 sriov_vf_device:10ca sriov_totalvfs:7 sriov_numvfs:4 \
	sriov_offset:128 sriov_stride:2 sriov_drivers_autoprobe:1 numa_node:0; do
	put "${fact#*:}" "$devices/$pf/${fact%%:*}"
done
index=0
for address in 0000:01:10.0 0000:01:10.2 0000:01:10.4 0000:01:10.6; do
	function_is $address igbvf $((11 + index))
	ln -sfn "../$address" "$devices/$pf/virtfn$index"
	index=$((index + 1))
done
interface_is 0000:01:10.0 enp1s16 02:00:00:00:00:10 0x1002 0
interface_is 0000:01:10.2 enp1s16f2 02:00:00:00:00:11 0x1003 1
function_is 0000:01:10.4 vfio-pci 13
mkdir -p "$root/proc/4711/fd" "$root/sys/class/iommu/dmar0"
put testpmd "$root/proc/4711/comm"
ln -s /dev/vfio/13 "$root/proc/4711/fd/5"
put 256 "$root/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

# ---- Looking ---------------------------------------------------------------------
check "list" there list
said "list: the PF" '^0000:01:00\.0 +4 of 7 +igb +enp1s0f0 +up +a0:36:9f:00:00:01 +10 +0'
said "list: a VF whose interface is up" '0000:01:10\.2 +vf 1 +igbvf +enp1s16f2 +up .*its interface enp1s16f2 is up'
said "list: a VF that a program has" 'process 4711 \(testpmd\) has it open'
said "list: a VF in another namespace" '0000:01:10\.6 .*another network namespace'
list_says() { there list -j | jq -e "$1" >/dev/null; }
check "list -j" list_says '.version == 1 and (.pfs[0].vfs | length) == 4 and .pfs[0].vfs[2].iommu_group == 13'
for name in 0000:01:10.2 01:10.2 pci/0000:01:10.2 pci_0000_01_10_2 enp1s0f0/1 enp1s16f2; do
	check "show $name" there show "$name"
	said "show $name: the VF" '^VF +0000:01:10\.2'
done
refused "show what is not there" '0000:01:11.0: no function.*outrigger vf list' there show 0000:01:11.0
check "the machine that runs, without a daemon and without a state directory" \
	env -u XDG_RUNTIME_DIR "$bin/outrigger" vf list

# ---- Apply ------------------------------------------------------------------------
cat >"$work/vfs.yaml" <<END
version: 1
pfs:
  - pf: pci/$pf
    vfs: 4
    vf:
      - {index: 0, driver: dpdk}
END
check "apply --dry-run" there apply -f "$work/vfs.yaml" --dry-run
said "apply --dry-run: the step" '^~ vf 0000:01:10\.0: driver igbvf -> vfio-pci$'
said "apply --dry-run: the sum" '^1 to do; nothing was touched$'
there apply -f "$work/vfs.yaml" --dry-run --detailed-exitcode >/dev/null
[ $? = 10 ]
report $? "apply --detailed-exitcode: 10 for changes"
plan_says() { there apply -f "$work/vfs.yaml" -n -j | jq -e "$1" >/dev/null; }
check "apply -j" plan_says '.dry_run and .changed == 1 and .changes[0].action == "bind"'
sed -i 's/index: 0, driver: dpdk/index: 2, driver: dpdk/' "$work/vfs.yaml"
check "apply what is so already" there apply -f "$work/vfs.yaml" --dry-run --detailed-exitcode
said "apply what is so already: nothing to do" '^nothing to do$'
sed -i 's/vfs: 4/vfs: 5/' "$work/vfs.yaml"
refused "apply another number" 'VF 2 \(0000:01:10.4\): process 4711 \(testpmd\) has it open; stop' \
	there apply -f "$work/vfs.yaml" --dry-run --allow-disruptive
sed -i 's/vfs: 5/vfs: 8/' "$work/vfs.yaml"
refused "apply more than there can be" 'has at most 7 VFs, 8 wanted' \
	there apply -f "$work/vfs.yaml" --dry-run
sed -i 's/index: 2/index: 8/' "$work/vfs.yaml"
refused "apply a bad document" 'vfs.yaml:6: pfs\[0\].vf\[0\].index: 8 is too high' \
	there apply -f "$work/vfs.yaml" --dry-run
usage() { "$@" >"$work/out" 2>&1; [ $? = 2 ]; }
for words in "apply -f $work/vfs.yaml" "apply" "export" "export --format xml" "bind" "show"; do
	# shellcheck disable=SC2086 # several words
	usage there $words
	report $? "usage: vf $words"
done
if [ "$(id -u)" = 0 ]; then
	as_nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
fi
cp "$bin/outrigger" "$work/outrigger" && chmod 755 "$work/outrigger"
for words in "bind 01:10.0" "release 01:10.0" "apply -f /dev/null"; do
	# shellcheck disable=SC2086 # several words
	refused "an ordinary user: vf $words" 'needs root' "${as_nobody[@]-env}" "$work/outrigger" vf $words
done

# ---- Doctor ------------------------------------------------------------------------
check "doctor: warnings and notes only" there doctor
said "doctor: RDMA" '^note rdma-missing machine: '
said "doctor: with what to do" '^  modprobe rdma_rxe'
rm -r "$root/sys/class/iommu/dmar0"
refused "doctor: an error" '^error iommu-missing machine: ' there doctor
put vfio-pci "$root/etc/driverctl.d/0000:01:10.6"
doctor_says() { { there doctor -j || :; } | jq -e "$1" >/dev/null; }
check "doctor -j" doctor_says '[.findings[] | select(.name == "owner-driverctl") | .object] == ["0000:01:10.6"]'

# ---- Export -------------------------------------------------------------------------
mkdir "$work/export"
for format in cdi pcidp gres nova; do
	check "export $format" there export --format $format -o "$work/export"
done
check "export: a file each, and nothing aside" \
	[ "$(find "$work/export" -type f -printf '%f\n' | sort | tr '\n' ' ')" = \
	"gres-pf-0000-01-00-0.conf nova-pf-0000-01-00-0.conf outrigger.local-pf-0000-01-00-0.json pcidp-pf-0000-01-00-0.json " ]
check "export cdi: the file" jq -e '.cdiVersion == "0.5.0" and
	.devices[2].containerEdits.deviceNodes[1].path == "/dev/vfio/13"' \
	"$work/export/outrigger.local-pf-0000-01-00-0.json"
refused "export to nowhere" 'nowhere/.*No such file' there export --format cdi -o "$work/nowhere"

# ---- As root: the tree in place of the machine's own, where files keep what is written ----
# The commands that change something, up to what only a kernel does (tests/unit/vf_manager).
own_mounts=(unshare --mount)
[ "$(id -u)" = 0 ] || own_mounts=(unshare --user --map-root-user --mount)
machine() {
	# shellcheck disable=SC2016 # for the inner shell
	timeout 60 "${own_mounts[@]}" bash -c 'mount --bind "$0/sys" /sys && mount --bind "$0/proc" /proc &&
		exec "${@:1}"' "$root" "$bin/outrigger" --state-dir "$work/state" vf "$@" </dev/null
}
if "${own_mounts[@]}" mount --bind "$root/sys" /sys 2>/dev/null; then
	for file in drivers_probe drivers/vfio-pci/unbind devices/0000:01:10.4/reset; do
		put '' "$root/sys/bus/pci/$file"
	done
	sed -i 's/vfs: .*/vfs: 4/; s/index: ., driver: dpdk/index: 2, driver: dpdk/' "$work/vfs.yaml"
	check "root: apply what is so already" machine apply -f "$work/vfs.yaml"
	said "root: nothing to do" '^nothing to do$'
	check "root: bind" machine bind 01:10.4
	said "root: bound" '^bound 0000:01:10\.4: driver vfio-pci$'
	check "root: bind again" machine bind 01:10.4
	said "root: bound already" '^nothing to do$'
	refused "root: bind for another" 'is held by "operator"' machine bind 01:10.4 --owner other
	check "root: list" machine list
	said "root: list: who holds it" '0000:01:10\.4 .* operator'
	refused "root: release what a program has open" 'process 4711 .testpmd. has it open' \
		machine release 01:10.4
	refused "root: release as another" 'held by "operator", not by "other"' \
		machine release 01:10.4 --owner other
	mv "$root/proc/4711/fd/5" "$work/fd5"
	check "root: release" machine release enp1s0f0/2 -j
	said "root: release: the answer" '"released": ?"0000:01:10.4"'
	check "root: release: it was taken from its driver" \
		grep -q 0000:01:10.4 "$root/sys/bus/pci/drivers/vfio-pci/unbind"
	check "root: release: it was reset" grep -q 1 "$devices/0000:01:10.4/reset"
	check "root: release: nothing is remembered" [ -z "$(ls "$work/state/vf")" ]
	refused "root: release again" 'nobody holds it' machine release 01:10.4
	refused "root: release what is not there" '0000:01:11.0: is not there, and nobody held it' \
		machine release 01:11.0
	refused "root: release what is no address" 'no function with VFs' machine release eth9
	mv "$work/fd5" "$root/proc/4711/fd/5"
	# There is no such interface in this kernel: the step fails, and is told.
	sed -i 's/index: 2, driver: dpdk/index: 0, vlan: 7/' "$work/vfs.yaml"
	refused "root: a step that fails" '^! vf 0000:01:10\.0: enp1s0f0: No such device' \
		machine apply -f "$work/vfs.yaml"
	said "root: the sum" '1 of 1 changes failed'
else
	skipped "the commands that change something" "no mount namespace can be made here"
fi

# ---- Watch --------------------------------------------------------------------------
timeout 60 "$bin/outrigger" -j vf watch --root "$root" -i 0.1 >"$work/watch" 2>&1 </dev/null &
watch=$!
spawned+=("$watch")
# It has looked once when a change that comes and goes is told.
seen() {
	put 0 "$devices/$pf/net/enp1s0f0/carrier"
	sleep 0.15
	put 1 "$devices/$pf/net/enp1s0f0/carrier"
	sleep 0.15
	grep -q link-up "$work/watch"
}
check "watch: the link" within 30 seen
mv "$devices/$pf/virtfn3" "$work/virtfn3"
check "watch: a VF goes" within 10 grep -q '"0000:01:10.6".*"vanished"' "$work/watch"
mv "$work/virtfn3" "$devices/$pf/virtfn3"
check "watch: and comes" within 10 grep -q '"0000:01:10.6".*"appeared"' "$work/watch"
check "watch: JSON lines" jq -es 'all(.version == 1 and (.function | length) > 0)' "$work/watch"
kill "$watch"
check "watch: ends after so many looks" there watch -i 0.1 -n 2
finish
