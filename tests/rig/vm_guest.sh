# SPDX-License-Identifier: BSD-2-Clause
#
# Runs as process 1 of a virtual machine inside the rig (guest/sriov_vm.sh), by busybox
# sh: the card's virtual function that it was given is its interface. Says on the console
# how far it came, and ends when it is told so over the network.
#
# shellcheck shell=busybox
ip link set lo up
ip address add 10.77.0.3/24 dev eth0
ip link set eth0 up
driver=$(basename "$(readlink /sys/class/net/eth0/device/driver)")
echo "REACHED up: $driver $(cat /sys/class/net/eth0/address)"
i=0
until ping -c 1 -W 2 10.77.0.1 >/dev/null || [ $i = 30 ]; do i=$((i + 1)); sleep 1; done
ping -c 3 -W 2 10.77.0.1 >/tmp/out && echo "REACHED ping" || cat /tmp/out
nc -l -p 6000
