#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Programs that are started by hand, and wrongly: the daemon's own children say who starts
# them, the examples what they want to be told. And what the daemon's children are asked
# on their sockets that makes no sense. TAP lines.
. "$(dirname "$0")/lib.sh"

# ends NAME STATUS TEXT COMMAND...: with that status, and says TEXT (a regular expression).
ends() {
	local name=$1 wanted=$2 text=$3 status
	shift 3
	timeout 20 "$@" >"$work/out" 2>&1 </dev/null
	status=$?
	[ $status = "$wanted" ] && grep -qE -- "$text" "$work/out"
	report $? "$name" && return
	say "exit status $status, wanted $wanted and '$text', of: $*"
	show "$work/out"
	return 1
}
libexec=$build/libexec/outrigger

# ---- The daemon's children ---------------------------------------------------------
without() { "$@" 3<&-; }
with_a_file() { "$@" 3</dev/null; }
export -f without with_a_file
for how in without with_a_file; do
	ends "a keeper, $how" 2 "started by outriggerd" bash -c "$how '$libexec/outrigger-keeper' red"
	ends "a soft adapter, $how" 2 "outriggerd starts it" bash -c "$how '$libexec/outrigger-soft-adapter' soft0"
	ends "a real adapter's process, $how" 2 "outriggerd starts it" bash -c "$how '$libexec/outrigger-vf-adapter' card0"
	for image in echo ethdev; do
		ends "an adjunct of $image, $how" 1 "not a listening socket" \
			bash -c "$how '$libexec/outrigger-adjunct-$image' red.net0"
	done
done
for program in keeper soft-adapter vf-adapter; do
	ends "$program, with a word too many" 2 "outriggerd" "$libexec/outrigger-$program" red blue
	ends "$program, with none" 2 "outriggerd" "$libexec/outrigger-$program"
done
for image in echo ethdev; do
	adjunct=$libexec/outrigger-adjunct-$image
	ends "an adjunct of $image: --version" 0 "^$image .*driver interface" "$adjunct" --version
	ends "an adjunct of $image: --help" 0 "outriggerd|shim" "$adjunct" --help
	ends "an adjunct of $image: an option that it has not" 2 "see --help" "$adjunct" --frob
	ends "an adjunct of $image: a level that is none" 2 "see --help" "$adjunct" --log-level loud
done

# ---- The examples --------------------------------------------------------------------
examples=$build/examples
usage() { # EXAMPLE ARGUMENT...
	ends "$*" 2 "usage: $1" "$examples/$1" "${@:2}"
}
usage otr-echo
usage otr-echo red net0
usage otr-echo red net0 10.77.0
usage otr-send red net0
usage otr-send red net0 0
usage otr-send red net0 1 02:00:00:00:00
usage otr-send red net0 1 02:00:00:00:00:01 13
usage otr-send red net0 1 02:00:00:00:00:01 60 more
usage otr-watch red 1
missing=$work/nowhere.sock
ends "otr-echo, and no daemon" 1 "otr-echo: .*nowhere" "$examples/otr-echo" "$missing" net0 10.77.0.1
ends "otr-send, and no daemon" 1 "otr-send: .*nowhere" "$examples/otr-send" "$missing" net0 1
ends "otr-watch, and no daemon" 1 "nowhere" "$examples/otr-watch" "$missing" 1 net0
ends "otr-yield, and no daemon" 1 "nowhere" "$examples/otr-yield" "$missing" net0 1

need "the daemon starts" daemon_start
need "up" up <<'END'
version: 1
adapters: [{name: soft0, kind: embedded, vfs: 2}]
partitions:
  - name: red
    devices:
      - {name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0}}
      - {name: ring0, kind: native, vf: {adapter: soft0}}
END
program=$state/partition/red.sock
ends "otr-echo, and no such device" 1 "otr-echo: .*net7" "$examples/otr-echo" "$program" net7 10.77.0.1
ends "otr-send, and a device of another kind" 1 "otr-send: .*net0" "$examples/otr-send" "$program" net0 1
ends "otr-watch, and no such device" 1 "net7" "$examples/otr-watch" "$program" 1 net7
ends "otr-yield, and a device that serves no requests" 1 "failed 16" "$examples/otr-yield" "$program" ring0 1

# ---- What the daemon's children are asked ----------------------------------------------
answers() { # NAME TEXT SOCKET METHOD PARAMETERS
	printf '{"method":"org.outrigger.%s","parameters":%s}\n' "$4" "$5" |
		timeout 20 "$helpers/socket_abuse" send "$state/$3" >"$work/out" 2>&1
	grep -qE -- "$2" "$work/out"
	report $? "$1" && return
	say "wanted '$2' of $4 $5"
	show "$work/out"
}
adjunct=adjunct/red.ring0.sock
answers "an adjunct is started once" WrongState $adjunct Adjunct.Start '{}'
answers "and prepared before that" WrongState $adjunct Adjunct.Prepare '{}'
answers "its events want a monitor" "WrongState.*more" $adjunct Adjunct.Monitor '{}'
answers "a window without its descriptors" InvalidParameter $adjunct Adjunct.AttachPort '{"ring_entries":64}'
answers "a window of no size" InvalidParameter $adjunct Adjunct.AttachPort '{"ring_entries":3}'
answers "storage for events without its descriptors" InvalidParameter $adjunct Adjunct.AttachEvents \
	'{"storage_bytes":4096}'
answers "storage for events of no size" InvalidParameter $adjunct Adjunct.AttachEvents '{}'
answers "a method that there is not" MethodNotFound $adjunct Adjunct.Frob '{}'
answers "a keeper's interface without a name" InvalidParameter keeper/red.sock Keeper.CreateTap '{}'
answers "a keeper's descriptor without a name" InvalidParameter keeper/red.sock Keeper.Store '{}'
answers "a keeper's descriptor that does not come" SystemError keeper/red.sock Keeper.Store '{"name":"a"}'
answers "the adapter's function of no number" InvalidParameter adapter/soft0.sock Adapter.GetVf '{}'
answers "the adapter's function that there is not" NoSuchVf adapter/soft0.sock Adapter.GetVf '{"index":2}'
all_well() { device_is red/net0 running && device_is red/ring0 running; }
check "all of them serve on" within 10 all_well
check "down" outrigger down
check "nothing is left" nothing_left
finish
