#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Receive interrupts, by VFIO: two partitions on two virtio cards that share a wire, each
# through an adjunct. While nothing comes the adjuncts sleep and take no processor; the
# first frame wakes them, and after a death their successors just so. (DPDK's driver for
# the 82576's functions has no receive interrupt: adjunct_vf.sh is about a device that is
# polled.)
. "$(dirname "$0")/../../e2e/lib.sh"

cards() { # the two virtio cards' addresses, in order
	grep -lx 0x1041 /sys/bus/pci/devices/*/device | cut -d/ -f6 | sort
}
for_dpdk() {
	local card path
	[ "$(cards | wc -l)" = 2 ] || return 1
	for card in $(cards); do
		path=/sys/bus/pci/devices/$card
		[ ! -e "$path/driver" ] || echo "$card" >"$path/driver/unbind" || return 1
		echo vfio-pci >"$path/driver_override" && echo "$card" >/sys/bus/pci/drivers_probe &&
			[ "$(basename "$(readlink "$path/driver")")" = vfio-pci ] || return 1
	done
}
document() {
	local i=0 card
	printf 'version: 1\nadapters:\n'
	for card in $(cards); do printf '  - {name: card%d, kind: dpdk, device: "%s"}\n' $((i++)) "$card"; done
	cat <<-EOF
	partitions:
	  - name: red
	    devices:
	      - {name: net0, kind: tap, address: 10.77.0.1/24, mac: "02:00:00:00:03:00",
	         vf: {adapter: card0}, adjunct: {image: ethdev}}
	  - name: blue
	    devices:
	      - {name: net0, kind: tap, address: 10.77.0.2/24, mac: "02:00:00:00:03:01",
	         vf: {adapter: card1}, adjunct: {image: ethdev}}
	EOF
}
bring_up() { document | up; }
# Times that an adjunct's serving thread slept, and processor time that it took.
sleeps() { awk '/^voluntary/ { print $2 }' "/proc/$(pid_of adjunct "$1.net0")/status"; }
ticks() { cpu_ticks "$(pid_of adjunct red.net0)" "$(pid_of adjunct blue.net0)"; }
# In 2 s: no more wake-ups than the daemon's looking after it, where a device that is polled
# has a thousand a second; and no processor time to speak of.
idles() {
	local before_ticks before_sleeps
	before_ticks=$(ticks) before_sleeps=$(sleeps red)
	sleep 2
	echo "$(($(sleeps red) - before_sleeps)) sleeps, $(($(ticks) - before_ticks)) ticks"
	[ $(($(sleeps red) - before_sleeps)) -le 50 ] && [ $(($(ticks) - before_ticks)) -le 3 ]
}
wakes() { # by one frame and its answer
	local before
	before=$(counter blue/net0 wakeups)
	pings red 10.77.0.2 -c 1 && [ "$(counter blue/net0 wakeups)" -gt "$before" ]
}

need "two virtio cards, with vfio-pci" for_dpdk
need "the daemon starts" daemon_start
need "two partitions on them" bring_up
check "ping" within 20 pings red 10.77.0.2
check "with nothing to do they sleep" within 10 idles
say "$(tail -n 1 "$work/within")"
check "a frame wakes them" wakes
check "they sleep again" within 10 idles
old=$(pid_of adjunct blue.net0)
kill -KILL "$old"
check "an adjunct is killed: another takes over" within 20 replaced blue.net0 "$old"
check "a frame wakes it, too" within 20 wakes
check "and it sleeps" within 10 idles
check "iperf3 under interrupts" iperf red blue 10.77.0.2
say "$(jq '.end.sum_received.bits_per_second / 1e6 | floor' "$work/iperf.json") Mbit/s"
check "down" outrigger down
check "nothing is left" nothing_left
finish
