#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# netdevsim, the kernel's card for tests of what igb has not: devlink with
# firmware versions, flashing and reload, and virtual functions' attributes of
# another driver.
. "$(dirname "$0")/../../e2e/lib.sh"
device=netdevsim/netdevsim1
path=/sys/bus/netdevsim/devices/netdevsim1

has_port() { [ -n "$(ls "$path/net" 2>/dev/null)" ]; }
interface() { basename "$path"/net/*; }
flash() {
	# Firmware comes from a folder that is the kernel's to say.
	mkdir -p /lib/firmware && echo image >/lib/firmware/otr-rig.fw
	devlink dev flash "$device" file otr-rig.fw
}
vf_shows() { ip -d link show "$(interface)" | grep -E "vf 1 .*$1"; } # REGEX

need "the module loads" modprobe netdevsim
echo "1 1" >/sys/bus/netdevsim/new_device
need "a device is made, with a port" within 10 has_port
check "devlink shows it" devlink dev show "$device"
check "with its driver" [ "$(devlink -j dev info "$device" | jq -r ".info[].driver")" = netdevsim ]
check "firmware is flashed" flash
said "to the end, with its progress" 'Flashing'
check "the driver is started anew" devlink dev reload "$device" action driver_reinit
check "the port is there again" within 10 has_port
check "a firmware's activation is refused" not devlink dev reload "$device" action fw_activate
check "two virtual functions are made" sh -c "echo 2 >$path/sriov_numvfs"
check "one gets an address and a VLAN" \
	ip link set "$(interface)" vf 1 mac 02:00:00:00:03:01 vlan 7
check "the address is shown" vf_shows 02:00:00:00:03:01
check "the VLAN is shown" vf_shows 'vlan 7'
check "it is to be trusted, and its link to be down" \
	ip link set "$(interface)" vf 1 trust on state disable
check "both are shown" vf_shows 'link-state disable.*trust on'
check "none is left" sh -c "echo 0 >$path/sriov_numvfs"
echo 1 >/sys/bus/netdevsim/del_device
check "the device is gone" within 10 not test -e "$path"
finish
