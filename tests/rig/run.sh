#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Boots the rig: a virtual machine with a real SR-IOV card (an Intel 82576, as
# QEMU's igb makes it) behind an IOMMU, on Debian's own kernel, whose root is this
# machine's root, read-only, with a layer of memory on top. No rights, and nothing
# on this machine changes. README.md says what is inside.
#
#   run.sh                     every test of tests/rig/guest/, and those of
#                              tests/e2e/ that tell more on that kernel; TAP
#   run.sh PATH...             these scripts of the project
#   run.sh --shell             a shell (make rig)
#
# RIG=0: not here, thank you. Exit status 77: not run, the last line says why.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
export LC_ALL=C.UTF-8
# Memory in MiB, of which 512 become huge pages. From 2816 on some of it is above
# 4 GiB; then the firmware also puts the virtual functions' registers up there, and
# QEMU 10.0 loses the upper half of such an address: the functions answer nothing.
# Seconds: for one script, and for all; some minutes are only for a busy machine.
memory=2560 script_seconds=300 all_seconds=900
no() { printf '%s\n' "$*"; exit 77; }
die() { printf 'run.sh: %s\n' "$*" >&2; exit 1; }

[ "${RIG:-1}" != 0 ] || no "RIG=0: the rig is not run"
shell=
[ "${1-}" != --shell ] || { shell=1; shift; }
for program in busybox cpio xz; do
	command -v $program >/dev/null || no "$program is not here (tests/setup/deps.sh test)"
done
layer=$(tests/rig/layer.sh) || { printf '%s\n' "$layer"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/otr-rig.XXXXXX") || exit 1
qemu=
cleanup() {
	[ -z "$qemu" ] || kill -KILL "$qemu" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

mkdir "$work/out"
export RIG_ROOT=$layer
kernel=$(tests/rig/vm_assets.sh kernel) && [ -n "$kernel" ] || die "no kernel in $layer"
tests/rig/vm_assets.sh initramfs "$work/initramfs" tests/rig/init.sh virtio_pci 9pnet_virtio \
	9p overlay || exit 1

# A folder of this machine that the guest sees under the name TAG.
share() { # TAG PATH OPTIONS
	machine+=(-virtfs "local,path=$2,mount_tag=$1,security_model=none,multidevs=remap$3")
}
# The layer's QEMU may be linked with libraries that are only there; if it has
# none, the machine's own is as new.
own=$layer/usr/bin/qemu-system-x86_64
firmware=$layer/usr/share/qemu
card=igb,id=card,bus=port1,netdev=pf,mac=02:00:00:00:00:01
virtio=disable-legacy=on,iommu_platform=on,romfile=
machine=(-L "$firmware" -L "$layer/usr/share/seabios" -L /usr/share/qemu -L /usr/share/seabios
	-machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m $memory
	-nodefaults -display none -no-reboot
	-device intel-iommu,intremap=on,caching-mode=on
	# Without a peer of its netdev the card has no link.
	-netdev user,id=pf,restrict=on -device pcie-root-port,id=port1,slot=1
	-device "$card"
	# DPDK's driver for the card's functions has no receive interrupt; virtio's has.
	-netdev hubport,id=wire0,hubid=0 -device pcie-root-port,id=port2,slot=2
	-device "virtio-net-pci,bus=port2,netdev=wire0,mac=02:00:00:00:03:00,$virtio"
	-netdev hubport,id=wire1,hubid=0 -device pcie-root-port,id=port3,slot=3
	-device "virtio-net-pci,bus=port3,netdev=wire1,mac=02:00:00:00:03:01,$virtio"
	-kernel "$kernel" -initrd "$work/initramfs")
share host / ,readonly=on
share layer "$layer" ,readonly=on
share out "$work/out" ""
# no_timer_check: on a busy machine the timer may look as if it did not work.
arguments="console=ttyS0 panic=-1 no_timer_check intel_iommu=on iommu=pt rig.project=$PWD"
arguments+=" rig.build=${OTR_BUILD:-$PWD/build}"
# A build that counts branches does so in the guest's memory, and is brought here at the end.
counters=${LLVM_PROFILE_FILE:+$(dirname "$LLVM_PROFILE_FILE")}
[ -z "$counters" ] || mkdir "$work/out/counters" || exit 1
# What these say here they say in the guest: what it does not know of its arguments the
# kernel puts into the environment of process 1.
for name in BENCH_RUNS BENCH_SECONDS NATIVE_VF_KILLS; do
	[ -z "${!name-}" ] || arguments+=" $name=${!name}"
done
boot() { # ARGUMENT...
	LD_LIBRARY_PATH=$layer/usr/lib/x86_64-linux-gnu exec "$own" "${machine[@]}" "$@"
}

if [ -n "$shell" ]; then
	touch "$work/out/shell"
	(boot -serial mon:stdio -append "$arguments quiet")
	exit
fi

# ---- Tests --------------------------------------------------------------------
[ $# -gt 0 ] || set -- tests/rig/guest/*.sh tests/e2e/main_job.sh tests/e2e/confinement.sh tests/e2e/cgroup.sh tests/e2e/share.sh
for script; do
	[ -x "$script" ] || die "$script is not a test"
	echo "$script_seconds $script"
done >"$work/out/scripts"
mkfifo "$work/monitor.in" "$work/monitor.out" || exit 1
boot -serial "file:$work/console" -append "$arguments" -chardev "pipe,id=monitor,path=$work/monitor" \
	-mon chardev=monitor >"$work/qemu.log" 2>&1 </dev/null &
qemu=$!

# What a test may ask for that nobody inside can do: the card is taken out of its slot
# ("eject"), or put there. Its word is the name of a file, and nothing else of it is used.
hand_on_slot() {
	local asked=$work/out/slot
	if [ -e "$asked.eject" ]; then
		echo "device_del card" >"$work/monitor.in"
		rm "$asked.eject"
	elif [ -e "$asked.plug" ]; then
		echo "device_add $card" >"$work/monitor.in"
		rm "$asked.plug"
	fi
}
deadline=$((SECONDS + all_seconds))
while kill -0 $qemu 2>/dev/null && [ $SECONDS -lt $deadline ]; do
	hand_on_slot
	sleep 0.2
done

# One script's lines as ours; the status counts if the lines do not tell.
tell() { # NAME
	local log=$work/out/$1.log status
	[ -e "$log" ] || { echo "not ok - $1: it was not run"; return 1; }
	sed -E "s/^((not )?ok [0-9]+ - )/\1$1: /; s/^Bail out!/# &/" "$log"
	read -r status 2>/dev/null <"$work/out/$1.status" || status="none, not done in time"
	case $status in
	0) grep -q '^ok ' "$log" || echo "ok - $1" ;;
	77) echo "ok - $1 # SKIP $(tail -n 1 "$log")" ;;
	*) echo "not ok - $1: exit status $status"; return 1 ;;
	esac
}
failed=0
[ -z "$counters" ] || cp "$work/out/counters/"*.profraw "$counters/" || failed=1
for script; do tell "$(basename "$script" .sh)" || failed=1; done
if [ $failed = 1 ]; then
	echo "# the end of the console, and of QEMU's output:"
	tail -n 40 "$work/console" "$work/qemu.log" | tr -d '\r' | sed 's/^/#   /'
fi
exit $failed
