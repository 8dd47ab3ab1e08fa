#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Installs to a folder, and uses what is there as a packager's or a programmer's
# machine would: programs find each other, a program builds against the .pc file
# with the shared and with the static library, pages and units are well formed,
# and uninstall leaves no file.
set -eu -o pipefail
export LC_ALL=C.UTF-8
cd "$(dirname "$0")/../.."

work=$(mktemp -d "${TMPDIR:-/tmp}/otr-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root prefix=/opt/outrigger
fail() { echo "$*"; exit 1; }

make install DESTDIR="$root" PREFIX=$prefix >"$work/install.log" 2>&1 ||
	{ cat "$work/install.log"; fail "make install failed"; }
top=$root$prefix

echo "-- programs"
"$top/bin/outrigger" --version
"$top/bin/outriggerd" --help >/dev/null
state=$work/state
mkdir -m 700 "$state"
"$top/bin/outriggerd" --state-dir "$state" >"$work/daemon.log" 2>&1 &
daemon=$!
trap 'kill $daemon 2>/dev/null || true; wait; rm -rf "$work"' EXIT
deadline=$((SECONDS + 10))
until [ -S "$state/control.sock" ]; do
	[ $SECONDS -lt $deadline ] || { cat "$work/daemon.log"; fail "outriggerd does not start"; }
	sleep 0.05
done
# An image is found below the same prefix: a dry run knows of it.
sed 's/soft0/i0/' "$top/share/doc/outrigger/embedded.yaml" >"$work/document.yaml"
plan=$("$top/bin/outrigger" --state-dir "$state" up --dry-run -f "$work/document.yaml")
echo "$plan"
[ "$(tail -n 1 <<<"$plan")" = "5 to create; nothing was touched" ] || fail "not the plan expected"
kill $daemon
wait $daemon || fail "outriggerd: exit status $?"

echo "-- library"
cat >"$work/program.c" <<'END'
#include <outrigger.h>
#include <errno.h>
#include <stdio.h>
int main(void)
{
	struct otr *otr;
	int error = otr_attach("/nonexistent/partition.sock", &otr);
	printf("%s\n", otr_last_error());
	return error == -ENOENT || error == -ECONNREFUSED ? 0 : 1;
}
END
export PKG_CONFIG_PATH=$top/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
# The system's own modules (jansson) are not below $root.
flags=$(pkg-config --cflags --libs liboutrigger)
# shellcheck disable=SC2086 # several words
gcc -Wall -Werror -o "$work/shared" "$work/program.c" $flags
LD_LIBRARY_PATH=$top/lib "$work/shared"
readelf -d "$work/shared" | grep -q 'NEEDED.*liboutrigger\.so\.0' || fail "not linked with the library"
gcc -Wall -Werror -I"$top/include" -o "$work/static" "$work/program.c" "$top/lib/liboutrigger.a" \
	-ljansson
"$work/static"
foreign=$(nm -D --defined-only "$top/lib/liboutrigger.so.0" | awk '$3 !~ /^otr_/ { print $3 }')
[ -z "$foreign" ] || fail "the shared library exports: $foreign"
foreign=$(nm -g --defined-only "$top/lib/liboutrigger.a" | awk 'NF == 3 && $3 !~ /^otr_/ { print $3 }')
[ -z "$foreign" ] || fail "the static library exports: $foreign"

echo "-- manual, completion, units"
for page in "$top"/share/man/man?/*; do
	warnings=$(MANROFFSEQ='' man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
	[ -z "$warnings" ] || fail "$page: $warnings"
	# man reads anything: a page has a NAME and a line below it.
	man -l "$page" 2>/dev/null | col -b | grep -A1 '^NAME' | grep -Eq ' (-|–|—|−) ' ||
		fail "$page does not show as a manual page"
done
bash -n "$top/share/bash-completion/completions/outrigger"
[ -s "$top/share/fish/vendor_completions.d/outrigger.fish" ] || fail "no completion for fish"
! grep -r '@[A-Z]*@' "$top/lib/systemd" "$top/lib/pkgconfig" || fail "a word was not filled in"
[ "$(grep -c '^ACTION' "$top/lib/udev/rules.d/80-outrigger.rules")" = 1 ] || fail "not one udev rule"
# systemd-analyze looks for ExecStart's programs: paths that exist, then.
mkdir "$work/units"
for unit in "$top"/lib/systemd/system/*.service; do
	sed "s|$prefix/bin|$top/bin|" "$unit" >"$work/units/${unit##*/}"
done
# Its own exit status is about every unit it loads; what it says about ours counts.
verified=$(SYSTEMD_UNIT_PATH=$work/units: systemd-analyze verify --man=no "$work"/units/*.service 2>&1) ||
	[ -n "$verified" ] || fail "systemd-analyze failed"
# systemd before version 254 does not know, and ignores, who starts in which subgroup.
! grep -vF "Unknown key 'DelegateSubgroup'" <<<"$verified" | grep -E 'outrigger(d|-vf)?\.service' ||
	fail "a unit is not in order"

echo "-- uninstall"
make uninstall DESTDIR="$root" PREFIX=$prefix >"$work/uninstall.log" 2>&1 ||
	{ cat "$work/uninstall.log"; fail "make uninstall failed"; }
left=$(find "$root" ! -type d)
[ -z "$left" ] || fail "left behind: $left"
echo "all of it in order"
