#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the shim's programs are refused: in a keeper, an adjunct and the embedded
# adapter, a system call fails, once, at each place between their start and their end. Whatever they do about it, the shim answers, nobody crashes,
# the same document comes up as soon as nothing fails any more, and nothing is left
# of what failed. faults/faulty.sh stands in for the programs.
#
# Allocations are none of this: while a program confines itself they are libseccomp's,
# which crashes for want of memory. Those of our own are refused in unit tests.
#
#   PEER_STEP=1   every place, minutes; k takes every k-th
#   peer_faults.sh PROGRAM call NAME ERROR N: that place alone
. "$(dirname "$0")/lib.sh"

step=${PEER_STEP:-20}
libexec=$work/libexec
export OTR_ORDERS=$work/orders
mkdir -p "$libexec/real" "$OTR_ORDERS"
chmod 777 "$OTR_ORDERS"
cp -r "$build/libexec/outrigger/images" "$libexec/"
for program in "$build"/libexec/outrigger/outrigger-*; do
	cp "$program" "$libexec/real/"
	cp tests/e2e/faults/faulty.sh "$libexec/${program##*/}"
done

# ---- What is refused --------------------------------------------------------------
# NAME ERROR: what comes from the machine's state, not from a wrong argument.
calls='getsockopt ENOBUFS;recvmsg ENOMEM;sendmsg ENOBUFS;poll ENOMEM;ppoll ENOMEM;
	fcntl EMFILE;memfd_create EMFILE;ioctl EIO;unshare ENOSPC;mount ENOMEM;pivot_root EBUSY;
	umount2 EBUSY;chdir EIO;mkdir ENOSPC;capget EPERM;capset EPERM;chmod EIO;
	landlock_create_ruleset ENOMEM;landlock_add_rule ENOMEM;landlock_restrict_self EPERM;
	seccomp EINVAL;prlimit64 EPERM;openat EMFILE;read EIO;write ENOSPC;mmap ENOMEM;
	eventfd2 EMFILE;epoll_create1 EMFILE;epoll_ctl ENOMEM;accept4 EMFILE;connect ECONNREFUSED;
	socket EMFILE;bind EADDRINUSE;listen ENOBUFS;recvfrom ECONNRESET;ftruncate ENOSPC;
	newfstatat EIO;prctl EPERM;timer_create EAGAIN;timer_settime EINVAL;timerfd_create EMFILE;
	pipe2 EMFILE;unlink EIO;clone3 EAGAIN;sched_setaffinity EINVAL;sendto ENOBUFS;
	setsockopt ENOBUFS;setns EPERM;epoll_wait EINTR;getdents64 EIO;munmap ENOMEM;fstatfs EIO;
	setresuid EPERM;set_mempolicy ENOSYS;umask EPERM;shutdown ENOTCONN;getrandom EAGAIN'
document() {
	cat <<-END
		version: 1
		adapters: [{name: soft0, kind: embedded, vfs: 2}]
		partitions:
		  - name: red
		    devices: [{name: net0, kind: tap, address: 10.77.0.1/24, vf: {adapter: soft0, index: 0},
		               adjunct: {memory: 16M}}]
	END
}
nothing_wanted() {
	printf 'version: 1\n'
	[ "$1" = outrigger-soft-adapter ] || printf 'adapters: [{name: soft0, kind: embedded, vfs: 2}]\n'
}
order() { # PROGRAM WORD...
	local program=$1
	shift
	rm -f "$OTR_ORDERS/$program".*
	echo "$*" >"$OTR_ORDERS/$program"
}
happened() { # PROGRAM
	grep -q INJECTED "$OTR_ORDERS/$1.done" 2>/dev/null
}

# ---- One place ----------------------------------------------------------------------
running() {
	[ "$(field '[.adapters[], .partitions[], .adjuncts[] | .state] | unique | join(" ")')" = running ]
}
crashes() { grep -cE 'was killed by signal (4|6|7|8|11|31) ' "$daemon_log"; }
wrong() { # WHAT: about the place that is tried
	say "$program, $place: $1"
	show "$work/out"
	return 1
}
# What failed may have been replaced at once: then it runs, and a while later as well.
try() { # PROGRAM WORD...
	local program=$1 place="${*:2}" crashed
	crashed=$(crashes)
	order "$@"
	outrigger up --prune -f <(document) >"$work/out" 2>&1
	case $? in
	0) ;;
	1) errors=$((errors + 1)); [ -s "$work/out" ] || wrong "fails without a word" || return 1 ;;
	*) wrong "the shim does not answer" || return 1 ;;
	esac
	happened "$program" && places=$((places + 1))
	rm -f "$OTR_ORDERS/$program"
	within 20 recovered >"$work/out" 2>&1 || wrong "does not come up afterwards" || return 1
	[ "$(crashes)" = "$crashed" ] || { grep 'was killed by signal' "$daemon_log" | tail -n 3 >"$work/out"
		wrong "it crashed"; } || return 1
	within 20 outrigger up --prune -f <(nothing_wanted "$program") >"$work/out" 2>&1 ||
		wrong "does not go" || return 1
	within 10 only_the_rest >"$work/out" 2>&1 || wrong "something is left" || return 1
	happened "$program" || rm -f "$OTR_ORDERS/$program".*
}
recovered() { outrigger up --prune -f <(document) && running; }
fds() { find "/proc/$daemon/fd" -mindepth 1 | wc -l; }
only_the_rest() {
	[ "$(marked | wc -l)" = "$rest" ] && [ "$(fds)" = "$rest_fds" ] && return
	echo "$(marked | wc -l) processes instead of $rest, $(fds) descriptors instead of $rest_fds"
	ls -l "/proc/$daemon/fd"
	return 1
}

# ---- All of them ------------------------------------------------------------------------
# What it need not wait for the shim closes later; then a second long nothing changes.
settled() {
	local before=$(fds)
	for _ in 1 2 3 4 5; do
		sleep 0.2
		[ "$(fds)" = "$before" ] || return 1
	done
}
# How many calls of each name a program makes, without any fault.
measure() { # PROGRAM
	rm -f "$OTR_ORDERS/$1".*
	echo nothing >"$OTR_ORDERS/$1"
	up --prune < <(nothing_wanted "$1") && up --prune < <(document) && running &&
		up --prune < <(nothing_wanted "$1") && within 20 settled || return 1
	rest=$(marked | wc -l) rest_fds=$(fds)
	# The loader's own come first, up to its one munmap(); it does not survive them all.
	awk -F'(' '{ all[$1]++ } !begun { of_loader[$1]++ } $1 == "munmap" { begun = 1 }
		END { for (name in all) print name, of_loader[name] + 1, all[name] }' \
		"$OTR_ORDERS/$1.done" >"$work/census"
}
refuse_all() { # PROGRAM
	local name error first last n=0 at
	need "$1: without any fault" measure "$1"
	places=0 errors=0
	while read -r name error; do
		first='' last=''
		read -r first last < <(awk -v name="$name" '$1 == name { print $2, $3 }' "$work/census")
		# Dozens of the same, one for each capability, are one place.
		for ((at = ${first:-1}; at <= ${last:-0} && at < first + 60; at++)); do
			n=$((n + 1))
			[ $((n % step)) = 0 ] || continue
			try "$1" call "$name" "$error" "$at" || return 1
		done
	done < <(tr ';' '\n' <<<"$calls")
	say "$1: $places places, $errors errors"
	[ $places -gt 0 ]
}
need "the daemon starts" daemon_start --libexec "$libexec"
if [ $# -gt 0 ]; then
	need "$1: without any fault" measure "$1"
	places=0 errors=0
	try "$@"
	report $? "$*"
	say "$places places, $errors errors"
	finish
fi
for one in outrigger-keeper outrigger-adjunct-ethdev outrigger-soft-adapter; do
	refuse_all "$one"
	report $? "$one: whatever it is refused, all comes up afterwards, and goes"
done
check "down" outrigger down
check "nothing is left" nothing_left
finish
