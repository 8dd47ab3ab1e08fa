# SPDX-License-Identifier: BSD-2-Clause
#
# Runs as process 1 of the rig, by busybox sh in the initramfs that vm_assets.sh
# packs: puts the root together, and goes there. The lower layers come read-only
# over 9p: what layer.sh unpacked, and below it the machine's own root. All that
# is written stays in the guest's memory, but for /run/rig.
#
# shellcheck shell=busybox
mkdir -p /host /layer /rw /new
cached=trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro
mount -t 9p -o $cached host /host
mount -t 9p -o $cached layer /layer
mount -t tmpfs -o size=80% tmpfs /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/layer:/host,upperdir=/rw/upper,workdir=/rw/work overlay /new || {
	echo "the root cannot be put together"
	poweroff -f
}
project=$(sed 's/.*rig\.project=\([^ ]*\).*/\1/' /proc/cmdline)
for folder in dev proc sys; do mount --move /$folder /new/$folder; done
mount -t tmpfs tmpfs /new/run
mkdir -p /new/run/rig /new/run/lock /new/dev/pts /new/dev/shm
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=none out /new/run/rig
mount -t devpts -o mode=620,ptmxmode=666 devpts /new/dev/pts
mount -t tmpfs tmpfs /new/dev/shm
mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
mount -t securityfs securityfs /new/sys/kernel/security
mount -t debugfs debugfs /new/sys/kernel/debug
exec switch_root /new /bin/bash "$project/tests/rig/guest.sh"
