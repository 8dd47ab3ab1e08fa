#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# bridge.sh SECONDS: iperf3 between two network namespaces that a Linux bridge
# joins, the peer of the row iperf3_namespaces; prints iperf3's JSON. Runs in a
# mount and a network namespace of its own (rows.sh unshares them), so nothing
# of the host is touched and everything goes with this process.

set -eu

mount -t tmpfs none /run
ip link set lo up
ip link add name br0 type bridge
ip link set br0 up
for i in 1 2; do
	ip netns add "n$i"
	ip link add name "v$i" type veth peer name eth0 netns "n$i"
	ip link set "v$i" master br0 up
	ip -n "n$i" address add "10.77.0.$i/24" dev eth0
	ip -n "n$i" link set eth0 up
done

ip netns exec n2 iperf3 -s -1 >&2 &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
# The listening socket, not a fixed sleep.
for ((i = 0; i < 100; i++)); do
	ip netns exec n2 ss -Hltn 'sport = :5201' | grep -q . && break
	sleep 0.05
done
ip netns exec n1 iperf3 -c 10.77.0.2 -t "$1" -O 1 -J
wait $server
