#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every method of the daemon's two interfaces, asked wrongly: an unknown parameter, one of
# another kind, one that is missing, a name that there is not, a thing of another kind, a
# thing whose time has not come. Each answer is the error that the interface names for it,
# with what was wrong in it; and afterwards everything works as before. TAP lines.
. "$(dirname "$0")/lib.sh"

control=$state/control.sock program=$state/partition/red.sock
# answers NAME TEXT METHOD PARAMETERS [SOCKET]: the answer has TEXT, by the control socket.
answers() {
	local interface=Shim path=${5:-$control}
	[ "$path" = "$control" ] || interface=Partition
	printf '{"method":"org.outrigger.%s.%s","parameters":%s}\n' "$interface" "$3" "$4" |
		timeout 20 "$helpers/socket_abuse" send "$path" >"$work/out" 2>&1
	grep -qE -- "$2" "$work/out"
	report $? "$1" && return
	say "wanted '$2' of $3 $4"
	show "$work/out"
}

need "the daemon starts" daemon_start
need "up" up <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 4}]
partitions:
  - name: red
    regions: [{name: heap, size: 16M}, {name: log, size: 1M}]
    devices:
      - {name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0}}
      - {name: ring0, kind: native, vf: {adapter: soft0}, adjunct: {donate: heap}}
  - name: bare
    devices: [{name: net0, kind: vhost-user, vf: {adapter: soft0}}]
END
ready() { device_is red/net0 running && device_is red/ring0 running; }
check "it runs" within 10 ready

# ---- Parameters ---------------------------------------------------------------------------
parameters() { # SOCKET METHOD WRONG...: none is taken
	local path=$1 method=$2 wrong
	shift 2
	for wrong in '{"nothing":1}' "$@"; do
		answers "$method $wrong" 'InvalidParameter' "$method" "$wrong" "$path"
	done
}
parameters "$control" Apply '{}' '{"document":7}' '{"document":"version: 1","prune":"yes"}'
parameters "$control" Down
parameters "$control" GetStatus
parameters "$control" GetEvents
parameters "$control" ListPartitions
parameters "$control" ListAdjuncts
for method in GetPartition DestroyPartition OpenNamespace GetAdjunct RestartAdjunct; do
	parameters "$control" $method '{}' '{"name":["red"]}'
done
parameters "$control" CreatePartition '{}' '{"partition":"red"}'
parameters "$control" ListDevices '{"partition":1}'
parameters "$control" GetDevice '{"partition":"red"}' '{"device":"net0"}'
parameters "$control" GetStats '{"partition":1}' '{"interval_ms":"1"}' \
	'{"interval_ms":1000}' # many answers, but one was asked for
parameters "$program" GetPartition
for method in OpenNet CloseNet ResumeNet AssociateNet DissociateNet; do
	parameters "$program" $method '{}' '{"device":1}'
done
parameters "$program" Overdue '{}' '{"device":"ring0"}' '{"device":"ring0","waited_ns":"1"}'
parameters "$program" OpenRegion '{}' '{"region":1}'
parameters "$program" OpenGuest '{}' '{"queues":"1"}' '{"queues":-1}' '{"queues":0}' '{"queues":5000000000}' \
	'{"queues":1,"entries":-1}' '{"queues":1,"entries":5000000000}' '{"queues":1,"entries":3}' \
	'{"queues":2000000,"entries":64}'

# ---- Names ------------------------------------------------------------------------------------
for method in GetPartition DestroyPartition OpenNamespace; do
	answers "$method of none" "NotFound.*there is no partition 'green'" $method '{"name":"green"}'
done
for method in GetAdjunct RestartAdjunct; do
	for name in red.net9 green.net0 red ''; do
		answers "$method '$name'" "NotFound.*there is no adjunct '$name'" $method "{\"name\":\"$name\"}"
	done
done
answers "ListDevices of none" "NotFound.*'green'" ListDevices '{"partition":"green"}'
answers "GetDevice of none" "NotFound.*'green'" GetDevice '{"partition":"green","device":"net0"}'
answers "GetDevice that is not there" "NotFound.*red has no device 'net9'" GetDevice '{"partition":"red","device":"net9"}'
answers "GetStats of no partition" "NotFound.*there is no partition 'green'" GetStats '{"partition":"green"}'
answers "GetStats of no device" "NotFound.*there is no device 'red/net9'" GetStats '{"partition":"red","device":"net9"}'
answers "CreatePartition that is there" "Exists.*'red' is there already" CreatePartition '{"partition":{"name":"red"}}'
answers "CreatePartition that cannot be" 'InvalidDocument.*"message"' CreatePartition '{"partition":{"name":"a b"}}'
answers "CreatePartition on an adapter that is not there" '"error"' CreatePartition \
	'{"partition":{"name":"new","devices":[{"name":"net0","vf":{"adapter":"hard0"}}]}}'
answers "OpenNet that is not there" 'NotFound' OpenNet '{"device":"net9"}' "$program"
answers "OpenNet of another kind" 'NotNative' OpenNet '{"device":"net0"}' "$program"
answers "OpenRegion that is not there" 'NotFound' OpenRegion '{"region":"rest"}' "$program"
answers "OpenRegion that was given away" '"error"' OpenRegion '{"region":"heap"}' "$program"

# ---- What is not there yet ------------------------------------------------------------------------
for method in AssociateNet DissociateNet; do
	answers "$method without a guest" '"error"' $method '{"device":"ring0"}' "$program"
done
for method in CloseNet ResumeNet; do
	answers "$method of what is not open" '"error"' $method '{"device":"ring0"}' "$program"
done
answers "Overdue of what is not open" '"error"' Overdue '{"device":"ring0","waited_ns":1}' "$program"

# ---- What is well asked --------------------------------------------------------------------------
answers "GetPartition" '"name": ?"red"' GetPartition '{"name":"red"}'
answers "ListPartitions" '"bare"' ListPartitions '{}'
answers "ListAdjuncts" 'red.ring0' ListAdjuncts '{}'
answers "ListDevices" 'ring0' ListDevices '{}'
answers "ListDevices of one" 'ring0' ListDevices '{"partition":"red"}'
answers "GetDevice" 'ring0' GetDevice '{"partition":"red","device":"ring0"}'
answers "GetAdjunct" 'red.ring0' GetAdjunct '{"name":"red.ring0"}'
answers "GetStats of one device" '"counters"' GetStats '{"partition":"red","device":"net0"}'
answers "GetStats of one partition" 'ring0' GetStats '{"partition":"red"}'
answers "GetStats of a name in every partition" '"bare"' GetStats '{"device":"net0"}'
answers "GetEvents" '"partitions"' GetEvents '{}'
answers "OpenRegion" '"size_bytes": ?1048576' OpenRegion '{"region":"log"}' "$program"
answers "OpenGuest" '"layout_version"' OpenGuest '{"queues":1}' "$program"
answers "Apply: a dry run" '"plan"' Apply '{"document":"version: 1","dry_run":true,"prune":true}'
check "CreatePartition" outrigger partition create green -d name=ring0,kind=native,adapter=soft0
check "DestroyPartition" outrigger partition destroy green
check "RestartAdjunct" outrigger adjunct restart red.ring0
check "it runs as before" within 10 ready
check "down" outrigger down
check "nothing is left" nothing_left
finish
