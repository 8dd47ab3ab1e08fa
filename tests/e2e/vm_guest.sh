# SPDX-License-Identifier: BSD-2-Clause
#
# Runs as process 1 of the virtual machine of vm.sh, by busybox sh: brings the
# interface up, tries traffic with the partition `red`, and says on the console
# how that went.
#
# shellcheck shell=busybox
red=10.77.0.1
result() { # NAME COMMAND...
	local name=$1 status
	shift
	"$@" >/tmp/out 2>&1
	status=$?
	[ $status = 0 ] || cat /tmp/out
	echo "RESULT $status $name"
}
retry() { # COMMAND...: for 20 s
	local i=0
	until "$@"; do
		i=$((i + 1))
		[ $i -lt 20 ] || return 1
		sleep 1
	done
}
has_mac() { grep -q "mac=$(cat /sys/class/net/eth0/address)" /proc/cmdline; }
by_virtio() { [ "$(basename "$(readlink /sys/class/net/eth0/device/driver)")" = virtio_net ]; }
set_up() {
	ip link set lo up
	ip address add 10.77.0.3/24 dev eth0
	ip link set eth0 up
}
send_bulk() {
	dd if=/dev/urandom of=/tmp/bulk bs=65536 count=128 2>/dev/null
	echo "SUM sent $(sha256sum </tmp/bulk | cut -d ' ' -f 1)" >/dev/console
	retry nc -w 5 $red 5001 </tmp/bulk
}
receive_bulk() {
	# Its standard input stays open: an end of it would end the other side, too.
	mkfifo /tmp/silence
	retry nc -w 5 $red 5002 <>/tmp/silence >/tmp/got
	echo "SUM received $(sha256sum </tmp/got | cut -d ' ' -f 1)" >/dev/console
	[ "$(wc -c </tmp/got)" = 8388608 ]
}
rebind() { # as a reset of the device by its driver
	local device
	device=$(basename "$(readlink /sys/class/net/eth0/device)")
	echo "$device" >/sys/bus/virtio/drivers/virtio_net/unbind &&
		echo "$device" >/sys/bus/virtio/drivers/virtio_net/bind && set_up
}

uname -sr
set_up
echo "REACHED up"
result "the interface is a virtio-net" by_virtio
result "with the device's address" has_mac
result "ping red" ping -c 5 -i 0.2 -W 2 $red
result "ping red with frames of the greatest size" ping -c 3 -s 1472 -W 2 $red
result "8 MiB to red" send_bulk
result "8 MiB from red" receive_bulk
echo "REACHED checked"
result "the driver is unbound and bound again" rebind
result "ping red after that" ping -c 3 -W 2 $red
echo "REACHED rebound"
nc -l -p 6000
