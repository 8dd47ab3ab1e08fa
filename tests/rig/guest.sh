#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Process 1 of the rig once its root is there: what a boot would do (loopback,
# drivers, huge pages), then the tests that the machine asked for, each with its
# own time, or a shell on the console; then it powers off. What it says of tests
# goes to /run/rig, a folder of the machine: NAME.log and NAME.status for each.
set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/run LC_ALL=C.UTF-8 TERM=${TERM:-linux}
cd "$(dirname "$0")/../.." || exit 1
OTR_BUILD=$(sed 's/.*rig\.build=\([^ ]*\).*/\1/' /proc/cmdline)
export OTR_BUILD
# Mapped files, which the folder of the machine cannot have.
if [ -e /run/rig/counters ]; then
	mkdir -m 1777 /run/counters
	export LLVM_PROFILE_FILE=/run/counters/%m%c.profraw
fi

hostname rig
ip link set lo up
# What udev would do elsewhere.
ln -s /proc/self/fd /dev/fd
for stream in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${stream%:*}" "/dev/${stream#*:}"; done
modprobe -a igb vfio-pci tun kvm_amd
chmod 666 /dev/net/tun
echo 256 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
mkdir -p /dev/hugepages && mount -t hugetlbfs hugetlbfs /dev/hugepages
mkdir -p /etc && ln -sfn /proc/self/mounts /etc/mtab

if [ -e /run/rig/shell ]; then
	echo "The rig: $(uname -r), PF $(basename /sys/bus/pci/drivers/igb/0000:*). It ends with the shell."
	setsid --ctty --wait bash -i </dev/ttyS0 >/dev/ttyS0 2>&1
else
	while read -r seconds script; do
		log=/run/rig/$(basename "$script" .sh)
		timeout -k 10 "$seconds" "$script" </dev/null >"$log.log" 2>&1
		echo $? >"$log.status"
		# After each: there may be no time for all.
		[ ! -e /run/counters ] || cp /run/counters/* /run/rig/counters/
	done </run/rig/scripts
fi
sync
exec busybox poweroff -f
