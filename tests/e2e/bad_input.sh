#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Documents that cannot be: each is refused with the line and the reason, and
# nothing changes. What the machine cannot give: programs that are missing, end at
# once, or never answer; a full disk; a name that is taken: a clear word to the
# one who asked, everything undone, nobody else disturbed.
. "$(dirname "$0")/lib.sh"

example=hv-shim/examples/embedded.yaml
# Without what grows while nothing changes.
snapshot() {
	outrigger -j status | jq -S 'del(.uptime_ns, .adjuncts[].uptime_ns, (.. | .charged_cpu_us?, .charged_bytes?))'
}
unchanged() { diff <(snapshot) "$work/snapshot"; }
# bad NAME TEXT: the document from standard input is refused with TEXT.
bad() { refused "$1" "$2" up; }
# A whole document around one device of partition `new`: bad_device NAME TEXT DEVICE.
bad_device() {
	bad "$1" "$2" <<END
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 2}, {name: soft1, kind: embedded, vfs: 1}]
partitions:
  - name: new
    devices:
      - $3
END
}
vf='vf: {adapter: soft1}'

need "the daemon starts" daemon_start
need "up" outrigger up -f "$example"
snapshot >"$work/snapshot"

# ---- Text that is no document --------------------------------------------------------
bad "empty" "document" </dev/null
bad "a list" "the document is a list" <<<'[1, 2]'
bad "a word" "the document is a string" <<<'hello'
bad "broken YAML" "document.yaml:3: " <<'END'
version: 1
adapters:
  - {name: soft0, kind: [}
END
bad "a tab where YAML wants blanks" "document.yaml:2: " <<<$'version: 1\n\tadapters: []'
bad "a key twice" "document.yaml:2: .*version" <<<$'version: 1\nversion: 1'
bad "an anchor" "document.yaml:2: .*anchor" <<<$'version: 1\nadapters: &a []'
bad "an alias" "document.yaml:2: .*(alias|anchor)" <<<$'version: 1\nadapters: *a'
bad "a tag" "document.yaml:2: .*tag" <<<$'version: 1\nadapters: !!seq []'
bad "two documents in one" "document.yaml:[23]: " <<<$'version: 1\n---\nversion: 1'
bad "bytes that are not UTF-8" "document.yaml:1: |UTF-8" <<<$'version: \xff\xfe'
bad "a NUL byte" "NUL|control|UTF-8|document.yaml:1" < <(printf 'version: 1\0\n')
bad "a thousand levels" "document.yaml:1: .*(deep|nest|level)" < <(printf '[%.0s' {1..1000})
bad "more than a message may hold" "too (large|long|big)|at most|more than" \
	< <(echo 'version: 1'; yes '# ------------------------------------' | head -c 2000000)
refused "a file that is not there" "nowhere.yaml.*(No such file|not there)" \
	outrigger up -f "$work/nowhere.yaml"
refused "a folder" "folder|directory" outrigger up -f "$work"

# ---- Settings that cannot be ------------------------------------------------------------
bad "no version" "version: is missing" <<<'adapters: []'
bad "another version" "document.yaml:1: version: 2 is not from 1 to 1" <<<'version: 2'
bad "an unknown word at the top" "document.yaml:2: partition: is not a setting known here" \
	<<<$'version: 1\npartition: []'
bad "an unknown word in an adapter" "document.yaml:3: adapters\[0\].vf: is not a setting known here" <<'END'
version: 1
adapters:
  - {name: a, kind: embedded, vf: 2}
END
bad "an adapter of no kind" "adapters\[0\].kind: .*is missing" <<<$'version: 1\nadapters: [{name: a}]'
bad "an adapter of an unknown kind" "kind: 'hard' is unknown; choose one of: embedded" \
	<<<$'version: 1\nadapters: [{name: a, kind: hard}]'
bad "too many functions" "an embedded adapter has 64 functions at most, not 65; add another one" <<<$'version: 1\nadapters: [{name: a, kind: embedded, vfs: 65}]'
bad "no function at all" "vfs: 0 is not from 1 to 256" <<<$'version: 1\nadapters: [{name: a, kind: embedded, vfs: 0}]'
bad "an adapter twice" "document.yaml:4: adapters\[1\].name: 'a' is used twice" <<'END'
version: 1
adapters:
  - {name: a, kind: embedded}
  - {name: a, kind: embedded}
END
bad "a partition twice" "partitions\[1\].name: 'p' is used twice" <<<$'version: 1\npartitions: [{name: p}, {name: p}]'
bad "a name too long" "is not a name: 1 to 31" <<<"$(printf 'version: 1\npartitions: [{name: %s}]' "$(printf 'a%.0s' {1..32})")"
bad "a name with a slash" "is not a name" <<<$'version: 1\npartitions: [{name: ../red}]'
bad "an owner that nobody is" "nobody-here.*no user of this system" <<<$'version: 1\npartitions: [{name: p, owner: nobody-here}]'
outrigger -q partition destroy p 2>/dev/null
bad_device "a device without a function" "devices\[0\].vf: is missing" "{name: net0, kind: tap}"
bad_device "a device of an unknown kind" "document.yaml:6: .*kind: 'tun' is unknown; choose one of: tap, vhost-user, native" \
	"{name: net0, kind: tun, $vf}"
bad_device "an adapter that is not there" "there is no adapter 'soft9'" "{name: net0, kind: native, vf: {adapter: soft9}}"
bad_device "a function that is not there" "adapter soft0 has functions 0 to 1, not 7" "{name: net0, kind: native, vf: {adapter: soft0, index: 7}}"
bad_device "a function that another has" "function 0 of adapter soft0 belongs to red/net0" "{name: net0, kind: native, vf: {adapter: soft0, index: 0}}"
bad_device "any function, when all are taken" "all 2 functions of adapter soft0 are taken" "{name: net0, kind: native, vf: {adapter: soft0}}"
bad_device "an image that is not there" "no adjunct image is called 'rdma'; installed: .*ethdev drives embedded" \
	"{name: net0, kind: native, $vf, adjunct: {image: rdma}}"
bad_device "adjunct: none" "hands the function itself to the partition.*leave adjunct out" "{name: net0, kind: native, $vf, adjunct: none}"
bad_device "a VLAN too high" "vlan: 4095 is not from 0 to 4094" "{name: net0, kind: native, vf: {adapter: soft0, vlan: 4095}}"
bad_device "a priority without a VLAN" "qos goes with a vlan" "{name: net0, kind: native, vf: {adapter: soft0, qos: 3}}"
bad_device "an MTU too small" "mtu: 67 is not from 68" "{name: net0, kind: native, mtu: 67, $vf}"
bad_device "an MTU that is a word" "mtu: is a string, not a whole number" "{name: net0, kind: native, mtu: big, $vf}"
bad_device "a multicast MAC address" "is not a unicast address" "{name: net0, kind: native, mac: '01:00:5e:00:00:01', $vf}"
bad_device "half a MAC address" "is not an address such as" "{name: net0, kind: native, mac: '02:00:00', $vf}"
bad_device "an address without a prefix" "is not an address with its prefix" "{name: net0, kind: tap, address: 10.0.0.1, $vf}"
bad_device "an interface name too long" "ifname: is not 1 to 15" "{name: net0, kind: tap, ifname: abcdefghijklmnop, $vf}"
bad_device "the loopback's name" "ifname: 'lo' cannot name an interface" "{name: net0, kind: tap, ifname: lo, $vf}"
bad_device "too little memory" "memory" "{name: net0, kind: native, $vf, adjunct: {memory: 1M}}"
bad_device "memory that is no size" "'32X' is not a size such as 32M" "{name: net0, kind: native, $vf, adjunct: {memory: 32X}}"
bad_device "a ring that is no power of two" "100 is not a power of two" "{name: net0, kind: native, ring_entries: 100, $vf}"
bad "a device that no image drives" "no adjunct image fits device vdev:net_null.*installed: .*ethdev drives embedded" <<'END'
version: 1
adapters: [{name: none0, kind: dpdk, device: net_null0}]
partitions:
  - name: new
    devices: [{name: net0, kind: native, vf: {adapter: none0}}]
END
bad "an adapter in use made smaller" "adapter soft0: vfs 2 -> 1 needs it restarted, and (red|blue)/net0 uses it" \
	<<<$'version: 1\nadapters: [{name: soft0, kind: embedded, vfs: 1}]'
check "after all of this nothing has changed" unchanged
check "and nobody noticed" pings red 10.77.0.2

# ---- A fault in one place leaves the others alone -----------------------------------------
cat >"$work/many.yaml" <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 2}, {name: soft1, kind: embedded, vfs: 4}]
partitions:
  - name: green
    devices:
      - {name: good, kind: tap, address: 10.78.0.1/24, vf: {adapter: soft1}}
      - {name: bad, kind: tap, address: ["10.78.0.2/24", "10.78.0.2/24"], vf: {adapter: soft1}}
      - {name: fine, kind: native, vf: {adapter: soft1}}
END
refused "an address twice on one interface" "device green/bad: could not create it: " outrigger up -f "$work/many.yaml"
check "the other devices of the same document run" device_is green/good running
check "all of them" device_is green/fine running
check "the failed one says why" device_is green/bad failed
check "and can be removed" outrigger partition destroy green
check "with the adapter" outrigger up -f "$example" --prune

# ---- Images and programs that are broken --------------------------------------------------
check "down" outrigger down
check "the daemon ends" daemon_stop
libexec=$work/libexec
mkdir -p "$libexec/images"
cp "$build"/libexec/outrigger/outrigger-* "$libexec/"
image() { # NAME EXECUTABLE
	sed "s/^name: .*/name: $1/; s/^executable: .*/executable: $2/" \
		"$build/libexec/outrigger/images/ethdev.yaml" >"$libexec/images/$1.yaml"
}
image ethdev outrigger-adjunct-ethdev
image missing outrigger-adjunct-missing
image fails fails
image dies dies
image plain plain
image sleeps sleeps
image chatter chatter
printf '#!/bin/sh\nexit 3\n' >"$libexec/fails"
printf '#!/bin/sh\nkill -SEGV $$\n' >"$libexec/dies"
printf 'not a program' >"$libexec/plain"
# Never answers, and takes no notice of anything.
printf '#!/bin/sh\ntrap "" TERM INT HUP\nexec sleep 300\n' >"$libexec/sleeps"
printf '#!/bin/sh\nexec "%s" serve-garbage - 3\n' "$helpers/socket_abuse" >"$libexec/chatter"
chmod 755 "$libexec"/*
printf 'name: broken\ndevices: [' >"$libexec/images/broken.yaml"
printf 'name: outside\nversion: "1"\ninterface: 1\nexecutable: ../../bin/sh\ndevices: [embedded]\nmemory: {minimum: 8M, default: 8M}\nports: [tap]\n' \
	>"$libexec/images/outside.yaml"
need "a daemon with broken images starts" daemon_start --libexec "$libexec" --start-timeout 6
check "it says which manifest it left out, and where it is broken" log_says 'broken.yaml:[23]: '
check "and which would run a program of somewhere else" log_says "outside.yaml: 'executable'"
with_image() { # NAME
	cat <<END
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 2}]
partitions:
  - name: red
    devices:
      - {name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0, index: 0},
         adjunct: {image: $1}}
END
}
try_image() { # NAME TEXT
	bad "image $1" "device red/net0: could not (create|replace) it: .*$2" < <(with_image "$1")
	check "image $1: its device failed" device_is red/net0 failed
	check "image $1: it has no process" [ "$(pid_of adjunct red.net0)" = null ]
	check "image $1: no interface is left" not in_partition red ip link show dev net0
}
with_image sleeps >"$work/sleeps.yaml"
try_image missing "outrigger-adjunct-missing: No such file"
try_image fails "exited with status 3"
try_image dies "(was killed by signal|exited)"
try_image plain "plain: Exec format error"
try_image chatter "(broke the control protocol|malformed|exited)"
spawn "$work/slow.log" "$bin/outrigger" --state-dir "$state" up -f "$work/sleeps.yaml"
slow=$last
check "image sleeps: the daemon answers meanwhile" within 5 device_is red/net0 starting
refused "another change is refused meanwhile" "another change is under way" outrigger down
check "it is given up in its time, and says so" within 30 gone "$slow"
cp "$work/slow.log" "$work/out"
said "what did not happen" "did not answer Start within 6.0 s"
check "image sleeps: its process is gone" [ "$(pid_of adjunct red.net0)" = null ]
with_image ethdev >"$work/good.yaml"
check "a good image repairs it" outrigger up -f "$work/good.yaml"
check "it works" in_partition red ip link show dev net0

mv "$libexec/outrigger-keeper" "$libexec/outrigger-soft-adapter" "$work/"
refused "a partition without a keeper's program" "keeper cannot be started: No such file" \
	up <<<$'version: 1\npartitions: [{name: green}]'
check "can be removed" outrigger partition destroy green
refused "an adapter without its program" "adapter soft1: .*process cannot be started: No such file" \
	up <<<$'version: 1\nadapters: [{name: soft1, kind: embedded, vfs: 1}]'
check "red is not concerned" device_is red/net0 running
mv "$work/outrigger-keeper" "$work/outrigger-soft-adapter" "$libexec/"
check "with its program it starts" up <<<$'version: 1\nadapters: [{name: soft1, kind: embedded, vfs: 1}]'
check "down" outrigger down
check "nothing is left" nothing_left

# ---- The daemon's own start -------------------------------------------------------------------
refused "a second daemon with the same folder" "another outriggerd runs with" \
	timeout 10 "$bin/outriggerd" --state-dir "$state"
check "the first one is not disturbed" outrigger status
refused "a state folder too long for a socket" "folders cannot be found: File name too long|too long" \
	timeout 10 "$bin/outriggerd" --state-dir "$work/$(printf 'a%.0s' {1..120})"
mkdir -m 777 "$work/open"
chmod 777 "$work/open"
refused "a state folder that everybody may write to" "a folder of this user that nobody else may write to" \
	timeout 10 "$bin/outriggerd" --state-dir "$work/open"
ln -s "$work/open" "$work/link"
refused "a state folder that is a symbolic link" "must be a folder of this user" \
	timeout 10 "$bin/outriggerd" --state-dir "$work/link"
: >"$work/file"
refused "a state folder that is a file" "must be a folder|cannot be made" \
	timeout 10 "$bin/outriggerd" --state-dir "$work/file"
refused "a state folder in nowhere" "cannot be made: No such file" \
	timeout 10 "$bin/outriggerd" --state-dir "$work/no/where"
refused "a folder of images that is not there" "say where the manifests are with --images" \
	timeout 10 "$bin/outriggerd" --state-dir "$work/fresh" --images "$work/nowhere"
for seconds in 0 601 5s -1 ''; do
	timeout 10 "$bin/outriggerd" --start-timeout "$seconds" >"$work/refusal" 2>&1
	check "no start timeout: '$seconds': exit status 2" [ $? = 2 ]
	check "and it says so" grep "'$seconds' is not from 1 to 600" "$work/refusal"
done
"$bin/outriggerd" --no-such-option >"$work/out" 2>&1
check "an unknown option: exit status 2" [ $? = 2 ]
outrigger -q --state-dir "$work/nowhere" status >"$work/out" 2>&1
check "a client without a daemon: exit status 1" [ $? = 1 ]
check "the daemon ends" daemon_stop
finish
