#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# An adjunct dies at each step of its start (000, FIG. 6 and 7), and of its end,
# with a donated region: what was begun is rolled back. The region comes back
# zeroed, nothing is left, and the same document comes up once the driver is well.
# Then what cannot be donated.
. "$(dirname "$0")/lib.sh"

export OTR_CRASH_AT=$work/crash-at
chmod 755 "$work"
libexec=$work/libexec
mkdir -p "$libexec/images"
cp "$build"/libexec/outrigger/outrigger-* "$libexec/"
cp "$helpers/crasher" "$libexec/outrigger-adjunct-crasher"
cat >"$libexec/images/crasher.yaml" <<'END'
name: crasher
version: 0.1.0
interface: 1
executable: outrigger-adjunct-crasher
class: net
devices: [embedded]
memory: {minimum: 1M, default: 1M}
ports: [native]
END
document() { # DEVICES
	cat <<-END
		version: 1
		adapters: [{name: soft0, kind: embedded, vfs: 2}]
		partitions:
		  - {name: green, regions: [{name: heap, size: 4M}], devices: [$1]}
	END
}
device='{name: net0, kind: native, vf: {adapter: soft0},
	adjunct: {image: crasher, donate: heap}}'
crash_at() { echo "$1" >"$OTR_CRASH_AT"; chmod 644 "$OTR_CRASH_AT"; }
applied() { up --prune < <(document "$1"); }
is_back() { # the region, zeroed
	timeout 10 "$helpers/region_keeper" "$state/partition/green.sock" heap once >"$work/region.log"
	cat "$work/region.log"
	grep -qx 'mapped 4194304 bytes, zeroed' "$work/region.log"
}
fds() { find "/proc/$daemon/fd" -mindepth 1 | wc -l; }
same_fds() { [ "$(fds)" = "$1" ] || { ls -l "/proc/$daemon/fd"; return 1; }; }
no_adjunct() { # nor its function's owner, nor a socket
	[ "$(field '[.adjuncts[] | select(.pid)] | length')" = 0 ] &&
		[ -z "$(find "$state/adjunct" -type s)" ] &&
		[ -z "$(pgrep -f "^$libexec/outrigger-adjunct-crasher" || true)" ]
}

crash_at nowhere
need "the daemon starts" daemon_start --libexec "$libexec"
need "a driver that is well" applied "$device"
check "goes again" applied ''
check "its region comes back" within 5 is_back
check "its adjunct is gone, and the daemon has noticed" eval 'within 5 no_adjunct && settles fds'
before=$(cat "$work/settled")

# ---- Steps of its start: it has never served, so it has failed --------------------------
for step in created memory-assigned loaded initialised; do
	crash_at $step
	check "$step: the device fails" not applied "$device"
	said "$step: and says why" 'net0.*(exited with status 66|ended)'
	check "$step: its region is back, zeroed" within 5 is_back
	check "$step: nothing of it is left" within 5 no_adjunct
	crash_at nowhere
	check "$step: once the driver is well, it comes up" applied "$device"
	check "$step: and serves" device_is green/net0 running
	check "$step: it goes" applied ''
done

# ---- Later ones: others take over, and die as well, until it has failed --------------------
for step in dispatched service-interface; do
	crash_at $step
	applied "$device" >"$work/out" 2>&1 # either way: it may be seen to run before it dies
	check "$step: the device has failed" within 20 device_is green/net0 failed
	check "$step: its region is back, zeroed" within 5 is_back
	check "$step: nothing of it is left" within 5 no_adjunct
	crash_at nowhere
	check "$step: once the driver is well, it comes up" applied "$device"
	check "$step: it goes" applied ''
done

# ---- While it serves, and at its end ---------------------------------------------------------
check "it serves" applied "$device"
pid=$(pid_of adjunct green.net0)
kill -KILL "$pid"
check "it dies: another takes over" within 5 replaced green.net0 "$pid"
check "its region stays donated" not is_back
crash_at answered
pid=$(pid_of adjunct green.net0)
kill -KILL "$pid"
check "answered: one that dies when asked how it is is replaced, again and again" \
	within 15 log_says 'adjunct-died: its adjunct exited with status 66'
check "by one that serves until then" within 5 device_is green/net0 running
crash_at quiesced
pid=$(pid_of adjunct green.net0)
kill -KILL "$pid" 2>/dev/null
check "another one" within 10 replaced green.net0 "$pid"
check "quiesced: it goes all the same" applied ''
check "its region is back, zeroed" within 5 is_back
check "nothing of it is left" within 5 no_adjunct
check "the daemon has as many descriptors as before ($before)" within 5 same_fds "$before"

# ---- What cannot be donated ----------------------------------------------------------------
both='{name: net1, kind: native, vf: {adapter: soft0}, adjunct: {image: crasher, donate: heap}}'
crash_at nowhere
check "it serves" applied "$device"
check "double donation is refused" not applied "$device, $both"
said "with the reason" "net0 and net1 both donate 'heap'"
check "a region of two names in one document is refused" not up --prune < <(document "$device" |
	sed 's/regions: \[/regions: [{name: heap, size: 1M}, /')
check "more than the adjunct may have is refused" not up --prune < <(document "$device" |
	sed 's/size: 4M/size: 900T/')
check "it runs all the while" device_is green/net0 running
check "down" outrigger down
check "nothing is left" nothing_left
finish
