#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# T07: an adjunct killed at the coverage edges of its serving loop, with an image
# that was built to die at any of them (edges/main.c), under the traffic of a
# program that counts every frame (edges/killer.c).
#
#   EDGES=all   every edge; else one in six, which is enough to notice
. "$(dirname "$0")/lib.sh"

image=$build/edges/tests/e2e/ethdev_edges
libexec=$work/libexec
control=$work/edges
sample=6
[ "${EDGES:-}" != all ] || sample=1

mkdir -p "$libexec/images"
cp "$build"/libexec/outrigger/outrigger-* "$libexec/"
cp "$build"/libexec/outrigger/images/ethdev.yaml "$libexec/images/"
need "the instrumented image is there" cp "$image" "$libexec/outrigger-adjunct-ethdev"
kills() { # KIND
	local socket=()
	[ "$1" = native ] || socket=("$(outrigger -j device show a/net0 | jq -r .device.path)")
	OUTRIGGER_STATE_DIR=$state timeout $((30 + 1500 / sample)) "$helpers/edges_killer" \
		"$control" $sample "${socket[@]}"
}
for kind in native vhost-user; do
	head -c 8192 /dev/zero >"$control"
	printf a.net0 | dd of="$control" conv=notrunc status=none
	export OTR_EDGES=$control
	need "the daemon starts" daemon_start --libexec "$libexec"
	need "up: two partitions at one switch" up <<-END
		version: 1
		adapters: [{name: soft0, kind: embedded, vfs: 2}]
		partitions:
		  - name: a
		    devices: [{name: net0, kind: $kind, vf: {adapter: soft0, index: 0}, adjunct: {standby: yes}}]
		  - name: b
		    devices: [{name: net0, kind: native, vf: {adapter: soft0, index: 1}}]
	END
	check "$kind: an adjunct dies at edge after edge, and its partition loses and repeats nothing" kills $kind
	show "$work/out" 3
	check "down" outrigger down
	check "nothing is left" nothing_left
	check "the daemon ends" daemon_stop
done
finish
