#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What this project needs from the machine: `deps.sh GROUP...` looks whether all
# of it is there, names what is missing, and installs that with apt. The Makefile
# calls it before every build, run, test and bench; when nothing is missing it
# only costs some milliseconds, so nothing is remembered from one call to the
# next. It looks for the thing itself and not for the package, so that a DPDK
# built by hand, or another distribution, will do as well.
#
#   DEPS=0          only reports; the exit status is 1 if anything is missing
#   deps.sh --list  prints the table
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 2

# group | how to see that it is there | Debian package | why
# command:NAME   a program in the search path
# pc:NAME        a pkg-config module
# header:NAME    below an include folder
# package:NAME   an installed Debian package (where nothing else can tell)
table='
build | command:make          | make              | the rules are in the Makefile
build | command:gcc           | gcc               | the C compiler
build | header:stdio.h        | libc6-dev         | the C library
build | command:pkg-config    | pkg-config        | finds the libraries
build | pc:libdpdk            | libdpdk-dev       | packets: the ethdev adjunct, the embedded adapter
build | pc:numa               | libnuma-dev       | DPDK, linked statically, needs it
build | pc:libbsd             | libbsd-dev        | DPDK, linked statically, needs it
build | pc:jansson            | libjansson-dev    | JSON
build | pc:yaml-0.1           | libyaml-dev       | YAML documents
build | pc:libsystemd         | libsystemd-dev    | event loop and service notification
build | pc:smartcols          | libsmartcols-dev  | tables of the command line
build | pc:libseccomp         | libseccomp-dev    | the system calls an adjunct may make
build | pc:libnl-3.0          | libnl-3-dev       | netlink
build | pc:libnl-genl-3.0    | libnl-genl-3-dev  | firmware versions and switch modes, by devlink
build | pc:libpci             | libpci-dev        | serial numbers and names of adapters
build | pc:libnl-route-3.0    | libnl-route-3-dev | addresses and links in a namespace
run   | command:ip            | iproute2          | shows the interfaces of a partition
run   | command:ping          | iputils-ping      | the demonstration
run   | command:iperf3        | iperf3            | the demonstration
test  | header:criterion/criterion.h | libcriterion-dev | unit tests
test  | command:clang         | clang             | libFuzzer targets
test  | package:libclang-rt-dev | libclang-rt-dev | the sanitizers and libFuzzer of clang
test  | command:llvm-cov      | llvm              | which branches the tests take
test  | command:spin          | spin              | models of the memory ordering
test  | command:dpdk-testpmd  | dpdk-dev          | a DPDK program as a partition
test  | command:jq            | jq                | reads the answers of -j
test  | command:strace        | strace            | kills the daemon at a chosen system call
test  | command:man           | man-db            | checks the manual pages
test  | command:fish          | fish              | checks the completion for it
test  | command:systemd-analyze | systemd     | checks the units
test  | command:qemu-system-x86_64 | qemu-system-x86 | a virtual machine as a partition
test  | package:busybox-static | busybox-static   | user space of that machine
test  | command:cpio          | cpio              | packs its initramfs
test  | command:xz            | xz-utils          | unpacks its modules
bench | command:dpdk-testpmd  | dpdk-dev          | the peer the Ethernet rows are compared with
bench | command:bridge        | iproute2          | the Linux bridge iperf3 is compared with
bench | command:jq            | jq                | joins the JSON of the rows
'
# A group needs those before it.
declare -A includes=([build]="build" [run]="build run" [test]="build run test"
	[bench]="build run bench")

die() { printf 'deps.sh: %s\n' "$*" >&2; exit 2; }

[ "${1-}" != --list ] || { printf '%s\n' "${table#?}"; exit 0; }
[ $# -gt 0 ] || die "which group? build, run, test or bench"
groups=" "
for group; do
	[ -n "${includes[$group]-}" ] || die "no group '$group'; there are build, run, test and bench"
	groups+="${includes[$group]} "
done

# Tools of the administrator (ip, bridge) are not in every user's search path.
PATH=$PATH:/usr/sbin:/sbin

have_header() {
	local folder
	for folder in /usr/local/include /usr/include; do
		[ ! -e "$folder/$1" ] || return 0
	done
	return 1
}
have_package() {
	# Elsewhere than on Debian there is nobody to ask; the build will tell.
	command -v dpkg-query >/dev/null || return 0
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Asking pkg-config once for all is what keeps the usual case fast.
modules=$(awk -F'[|: ]+' -v groups="$groups" \
	'index(groups, " " $1 " ") && $2 == "pc" { print $3 }' <<<"$table")
modules_there=1
# shellcheck disable=SC2086 # one word each
[ -z "$modules" ] || pkg-config --exists $modules 2>/dev/null || modules_there=0

missing=() packages=() width=0
while IFS='|' read -r group probe package reason; do
	group=${group// /} probe=${probe// /} package=${package// /}
	[[ -n $group && $groups == *" $group "* ]] || continue
	case $probe in
	command:*) command -v "${probe#*:}" >/dev/null ;;
	pc:*) [ "$modules_there" = 1 ] || pkg-config --exists "${probe#*:}" 2>/dev/null ;;
	header:*) have_header "${probe#*:}" ;;
	package:*) have_package "${probe#*:}" ;;
	*) die "the table has an unknown probe: $probe" ;;
	esac && continue
	[[ " ${packages[*]-} " != *" $package "* ]] || continue
	packages+=("$package")
	missing+=("$package|$reason")
	[ ${#package} -le $width ] || width=${#package}
done <<<"$table"
[ ${#packages[@]} -gt 0 ] || exit 0

echo "Missing on this machine:"
for line in "${missing[@]}"; do
	printf '  %-*s %s\n' "$width" "${line%%|*}" "${line#*|}"
done

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
by_hand="${sudo:+sudo }apt-get install --no-install-recommends ${packages[*]}"
if [ "${DEPS:-1}" = 0 ]; then
	printf 'DEPS=0: nothing is installed. By hand:\n  %s\n' "$by_hand"
	exit 1
fi
if ! command -v apt-get >/dev/null; then
	echo "There is no apt-get here; install what these Debian packages hold, then try again."
	exit 1
fi
if [ -n "$sudo" ] && ! command -v sudo >/dev/null; then
	printf 'There is no sudo here. As root:\n  %s\n' "${by_hand#sudo }"
	exit 1
fi

log=build/deps.log
mkdir -p build
apt() { # everything apt says goes to the log; another apt may be at work for a while
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 "$@" \
		</dev/null >>"$log" 2>&1
}
: >"$log"
echo "Installing them with apt; this can take some minutes (log: $log)."
[ -z "$sudo" ] || $sudo -v || { printf 'sudo refused. As root:\n  %s\n' "${by_hand#sudo }"; exit 1; }
# The package lists of a fresh machine are old, or not there at all.
install=(apt install --no-install-recommends "${packages[@]}")
if ! "${install[@]}"; then
	apt update # of several sources one may fail and the others do
	if ! "${install[@]}"; then
		tail -n 25 "$log"
		printf 'apt-get failed (above; all of it in %s). By hand:\n  %s\n' "$log" "$by_hand"
		exit 1
	fi
fi
echo "Installed."
