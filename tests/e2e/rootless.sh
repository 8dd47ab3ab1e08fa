#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The main job as an ordinary user, with a runtime directory and nothing else:
# no capability, no group, no file of root's that it could write. Started by root
# it becomes `nobody`; started by an ordinary user it stays what it is.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/main_job.inc"

unset XDG_RUNTIME_DIR
runtime=$work/runtime
mkdir -m 700 "$runtime"
if [ "$(id -u)" = 0 ]; then
	# The build may lie where nobody else can go: its programs are taken along.
	mkdir -p "$work/build/libexec"
	cp -r "$build/bin" "$work/build/"
	cp -r "$build/libexec/outrigger" "$work/build/libexec/"
	chmod -R a+rX "$work/build"
	bin=$work/build/bin
	as_user=(setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs
		--bounding-set=-all --inh-caps=-all env HOME=/nonexistent)
	chown nobody:nogroup "$runtime"
fi
as_user+=(env "XDG_RUNTIME_DIR=$runtime")

# The state directory is the default one: nothing says where it is.
state=$runtime/outrigger
outrigger() { timeout 60 "${as_user[@]}" "$bin/outrigger" "$@" </dev/null; }
start_by_default() {
	OTR_E2E_MARK=$state "${as_user[@]}" "$bin/outriggerd" -v >>"$daemon_log" 2>&1 </dev/null &
	daemon=$!
	disown "$daemon"
	within 10 daemon_answers && alive "$daemon"
}
uids() { # of everything that runs
	local pid
	for pid in $(marked); do awk '/^Uid:/ { print $2, $3, $4, $5 }' "/proc/$pid/status"; done |
		tr ' ' '\n' | sort -u
}
ordinary() {
	local uids
	uids=$(uids)
	[ "$uids" != 0 ] && [ "$(wc -l <<<"$uids")" = 1 ]
}

"${as_user[@]}" unshare --user --map-root-user --net true 2>/dev/null ||
	skip "this kernel lets no ordinary user make a user and a network namespace"
need "the daemon starts, and finds its own folders" start_by_default
check "it says that it is rootless" [ "$(field .rootless)" = true ]
check "up" outrigger up -f "$example"
check "all of it runs as one ordinary user" ordinary
check "down" outrigger down
main_job
finish
