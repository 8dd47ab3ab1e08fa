#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# RDMA without a card: the kernel's rdma_rxe over a pair of veth, and the ping-pong
# of rdma-core over it, between two programs. Its index 1 is the RoCEv2 address.
. "$(dirname "$0")/../../e2e/lib.sh"
for program in rdma ibv_rc_pingpong; do
	command -v $program >/dev/null || skip "$program is not here"
done

veth() {
	ip link add rigv0 type veth peer name rigv1 && ip address add 10.79.0.1/24 dev rigv0 &&
		ip link set rigv0 up && ip link set rigv1 up
}
active() { rdma link show rigrxe/1 | grep -q 'state ACTIVE'; }
# Nothing tells that the server listens, but that the client gets through.
pingpong() {
	timeout 20 ibv_rc_pingpong -d rigrxe -g 1 -n 200 10.79.0.1
}

need "the module loads" modprobe rdma_rxe
need "a pair of interfaces" veth
need "an RDMA device on one of them" rdma link add rigrxe type rxe netdev rigv0
check "its link is active" within 10 active
spawn "$work/server.log" ibv_rc_pingpong -d rigrxe -g 1 -n 200
server=$last
check "200 round trips" within 30 pingpong
grep -h 'iters' "$work/server.log" | sed 's/^/# /'
check "the server saw them, too" within 10 gone "$server"
check "and says so" grep -q '200 iters' "$work/server.log"
check "the device is removed" rdma link delete rigrxe
ip link delete rigv0
finish
