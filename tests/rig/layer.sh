#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What the rig needs and the machine may not have: a QEMU with the igb device, a
# kernel with its modules, netdevsim (which Debian's configuration leaves out),
# and some programs. They are Debian packages, downloaded and unpacked into one
# folder, build/rig/layer/, that the guest sees as laid over the machine's own
# root. Nothing is installed on the machine, and no rights are needed.
#
#   layer.sh    makes it if it is not there, and prints its path
#
# Where the release's own QEMU is too old (Debian 12), packages come from its
# backports suite, from the address that apt already has for Debian itself. About
# 300 MB are downloaded, once. Exit status 77: it cannot be had here, and the
# last line says why.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
unset MAKEFLAGS MFLAGS MAKELEVEL
rig=$PWD/build/rig
layer=$rig/layer
packages=(qemu-system-x86 linux-image-amd64 linux-headers-amd64 linux-source kmod
	ibverbs-utils perftest)
no() { printf '%s\n' "$*"; exit 77; }
die() { printf 'layer.sh: %s\n' "$*" >&2; exit 1; }
say() { printf 'layer.sh: %s\n' "$*" >&2; }
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# ---- apt, with a configuration of our own ------------------------------------
# The machine's sources that are Debian's own for this release, and its backports.
# apt tells the address of each.
sources() { # CODENAME
	local suite address key=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -e $key ] && key="[signed-by=$key] " || key=
	for suite in "$1" "$1-updates" "$1-security"; do
		LC_ALL=C apt-get indextargets "Created-By: Packages" "Origin: Debian" \
			"Component: main" "Codename: $suite" --format '$(REPO_URI)' |
			sort -u | while read -r address; do
			echo "deb $key$address $suite main"
			[ "$suite" != bookworm ] || echo "deb $key$address $suite-backports main"
		done
	done
}
set_up_apt() {
	local codename
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	mkdir -p "$work"/{lists/partial,cache/archives/partial}
	sources "$codename" >"$work/sources"
	[ -s "$work/sources" ] || no "apt has no source of Debian here"
	apt=(-q -y -o "Dir::Etc::sourcelist=$work/sources" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache"
		-o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)")
	[ "$codename" != bookworm ] || apt+=(-t "$codename-backports")
}
# Who watches sees what apt says; else only the log has it.
keep() { if [ -t 2 ]; then tee -a "$work/log" >&2; else cat >>"$work/log"; fi; }
download() {
	timeout 120 apt-get "${apt[@]}" update 2>&1 | keep || return 1
	# What is installed here need not be downloaded, but for the packages themselves.
	timeout 900 apt-get "${apt[@]}" install --reinstall --download-only \
		--no-install-recommends "${packages[@]}" 2>&1 | keep
}

# ---- netdevsim ---------------------------------------------------------------
# Built as Debian builds a module of its own, only that neither the headers nor
# the build programs are where their Makefiles look for them.
netdevsim() { # VERSION
	local version=$1 new=$work/new source headers common
	source=$(find "$new/usr/src" -name 'linux-source-*.tar.xz' -print -quit)
	headers=$new/usr/src/linux-headers-$version
	common=$(sed -n 's/^include //p' "$headers/Makefile")
	[ -n "$source" ] && [ -n "$common" ] || return 1
	mkdir -p "$work/source"
	tar -xf "$source" -C "$work/source" --strip-components=4 --wildcards '*/drivers/net/netdevsim/*'
	rm -f "$source"
	grep -rlIE '/usr/(src|lib)/linux-' "$headers" --include=Makefile --include=.config \
		--include='*.mk' | xargs -r sed -i -E "s#(^|[^.a-z0-9])/usr/(src|lib)/linux-#\1$new/usr/\2/linux-#g"
	timeout 300 make -C "$headers" M="$work/source" -j"$(nproc)" CONFIG_NETDEVSIM=m \
		CONFIG_DEBUG_INFO_BTF_MODULES= modules || return 1
	install -D -m 644 "$work/source/netdevsim.ko" \
		"$new/usr/lib/modules/$version/updates/netdevsim.ko"
}

# ---- The layer ---------------------------------------------------------------
make_layer() {
	local package version new=$work/new
	set_up_apt
	say "downloading QEMU, a kernel and its source, once (300 MB)"
	download || { tail -n 5 "$work/log"; no "the rig's packages cannot be downloaded"; }
	# A merged /usr, as the machine's: else our lib/ would hide its symbolic link.
	mkdir -p "$new"/usr/{bin,sbin,lib}
	ln -s usr/bin usr/sbin usr/lib "$new/"
	say "unpacking them"
	for package in "$work"/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$package" |
			tar -x --keep-directory-symlink --no-same-owner -C "$new" ||
			die "$package cannot be unpacked"
	done
	rm -rf "$work/cache"
	version=$(find "$new/usr/lib/modules" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -V | tail -n 1)
	say "building netdevsim for $version"
	netdevsim "$version" >>"$work/log" 2>&1 ||
		{ tail -n 15 "$work/log" >&2; die "netdevsim cannot be built"; }
	# depmod is a symbolic link to a place that is not here.
	(exec -a depmod "$new/usr/bin/kmod" -b "$new" "$version") || die "the modules cannot be listed"
	rm -rf "$new"/usr/src "$new"/usr/share/doc "$new"/usr/share/man "$new"/usr/include
	echo "$version" >"$new/version"
	mv -T "$new" "$layer"
}

[ "$(uname -m)" = x86_64 ] || no "the rig is an x86-64 machine"
if [ ! -d "$layer" ]; then
	command -v apt-get >/dev/null || no "there is no apt here to download the rig with"
	mkdir -p "$rig" || exit 1
	exec 9>"$rig/layer.lock"
	flock -w 1200 9 || die "another download does not end"
	if [ ! -d "$layer" ]; then
		work=$(mktemp -d "$rig/layer.XXXXXX") || exit 1
		make_layer
	fi
fi
echo "$layer"
