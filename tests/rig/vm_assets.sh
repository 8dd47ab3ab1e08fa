#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What a virtual machine of the tests boots: an unmodified Debian kernel,
# downloaded as a package and unpacked under build/rig/ (nothing is installed on
# the machine), and an initramfs of busybox, some of that kernel's modules, and a
# script.
#
#   vm_assets.sh kernel                          prints the kernel's path
#   vm_assets.sh initramfs OUT INIT MODULE...    makes OUT; INIT is run by busybox sh
#                                                as process 1, MODULEs are loaded
#
# RIG_KERNEL names the package that depends on the wanted kernel; the cloud
# kernel, the smallest one, unless it is set. RIG_ROOT is a folder that has a
# kernel unpacked already (layer.sh makes one). Exit status 77: there is no such
# kernel here, with the reason as the last line.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
rig=$PWD/build/rig
wanted=${RIG_KERNEL:-linux-image-cloud-amd64}
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
no() { printf '%s\n' "$*"; exit 77; }
die() { printf 'vm_assets.sh: %s\n' "$*" >&2; exit 1; }
scratch() { work=$(mktemp -d "$1/otr-rig.XXXXXX") || die "no room in $1"; }

# apt, first with the machine's package lists; where those are missing or too old,
# with fresh ones of our own, which takes no rights.
apt_lists=()
own_lists() {
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
	apt_lists=(-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache")
	timeout 300 apt-get -q "${apt_lists[@]}" update >>"$work/log" 2>&1
}
package_of() { # the real package behind the one that only depends on it
	LC_ALL=C apt-cache "${apt_lists[@]}" depends "$wanted" 2>/dev/null |
		awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }'
}
try_download() {
	local package
	package=$(package_of)
	[ -n "$package" ] || { echo "apt knows no package $wanted" >>"$work/log"; return 1; }
	# apt wants its own user to be able to write there, and only warns if not.
	(cd "$work" && timeout 300 apt-get -q "${apt_lists[@]}" download "$package") >>"$work/log" 2>&1
}
# Sets $root, and takes care that it is there.
find_kernel() {
	[ "$(uname -m)" = x86_64 ] || no "the tests' virtual machines are x86-64"
	root=${RIG_ROOT:-$rig/$wanted}
	[ ! -d "$root" ] || return 0
	[ -z "${RIG_ROOT-}" ] || die "there is no $RIG_ROOT"
	command -v apt-get >/dev/null || no "there is no apt here to download a kernel with"
	mkdir -p "$rig" || exit 1
	exec 9>"$rig/lock"
	flock -w 900 9 || die "another download does not end"
	[ ! -d "$root" ] || return 0
	scratch "$rig"
	try_download || { own_lists && try_download; } ||
		{ tail -n 5 "$work/log"; no "the kernel of $wanted cannot be downloaded"; }
	dpkg-deb -x "$work"/*.deb "$work/unpacked" || die "the kernel's package cannot be unpacked"
	# In one step: whoever looks meanwhile finds all of it or nothing.
	mv -T "$work/unpacked" "$root"
	rm -rf "$work"
	work=
	exec 9>&-
}

module_file() { find "$root" -name "${1//[-_]/[-_]}.ko*" -print -quit; } # NAME
# With what it depends on, in the order in which they can be loaded. What the
# kernel has built in is no file.
add_module() { # NAME
	local file name=${1//-/_} dependency
	[[ " ${loaded[*]-} " != *" $name "* ]] || return 0
	file=$(module_file "$name")
	[ -n "$file" ] || return 0
	case $file in
	*.xz) xz -dc "$file" >"$work/modules/$name.ko" ;;
	*.zst) zstd -q -dc "$file" >"$work/modules/$name.ko" ;;
	*) cp "$file" "$work/modules/$name.ko" ;;
	esac || die "$file cannot be unpacked"
	for dependency in $(grep -zaom 1 '^depends=.*' "$work/modules/$name.ko" | tr -d '\0' |
		sed 's/^depends=//; s/,/ /g'); do
		add_module "$dependency"
	done
	loaded+=("$name")
}
make_initramfs() { # OUT INIT MODULE...
	local out init=$2 module
	local -a loaded=()
	out=$(realpath "$1")
	shift 2
	scratch "${TMPDIR:-/tmp}"
	mkdir -p "$work"/root/{bin,dev,proc,sys,tmp,lib/modules} "$work/modules"
	cp "$(command -v busybox)" "$work/root/bin/busybox" || die "busybox-static is missing"
	cp "$init" "$work/root/script"
	for module; do add_module "$module"; done
	{
		printf '#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin\n'
		printf 'mount -t proc proc /proc\nmount -t sysfs sys /sys\n'
		printf 'mount -t devtmpfs dev /dev\n'
		for module in "${loaded[@]}"; do
			mv "$work/modules/$module.ko" "$work/root/lib/modules/"
			printf 'insmod /lib/modules/%s.ko\n' "$module"
		done
		printf '. /script\npoweroff -f\n'
	} >"$work/root/init"
	chmod 755 "$work/root/init" "$work/root/bin/busybox"
	(cd "$work/root" && find . -print0 | cpio --quiet -0 -o -H newc | gzip -1) >"$out" ||
		die "the initramfs cannot be packed"
}

case ${1-} in
kernel)
	find_kernel
	find "$root/boot" -name 'vmlinuz-*' -print -quit
	;;
initramfs)
	[ $# -ge 3 ] || die "usage: vm_assets.sh initramfs OUT INIT MODULE..."
	shift
	find_kernel
	make_initramfs "$@"
	;;
*) die "usage: vm_assets.sh kernel | initramfs OUT INIT MODULE..." ;;
esac
