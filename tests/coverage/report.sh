#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Turns what a coverage build counted into a table of branches for each file and
# HTML pages, and judges it: report.sh [OVERALL-PERCENT]. A branch is one outcome,
# true or false, of one condition of an `if`, a loop, `?:` or `&&`; code that is
# in several programs, or in a header, is counted once.
#
# Fails if
#   - of all branches fewer than OVERALL-PERCENT were taken;
#   - of a file in CORE one was not taken that unreached.txt does not list;
#   - unreached.txt lists what was taken, or is no longer there;
#   - nothing was counted.
# Reads build/coverage/raw/, writes build/coverage/{branches.txt,missed.txt,html/}.
# Run by tests/coverage/run.sh; by hand after changing unreached.txt.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
out=build/coverage
least=${1:-0}
unreached=tests/coverage/unreached.txt

# Where a partition's or a peer's octets arrive: rings, sessions, copy-in, messages.
core='^(event-queues/eq(_ring|)\.'
core+='|hv-shim/(vhost/|devices/(attachment|device_vhost)|document/)'
core+='|hv-shim/base/(varlink|fd_discard|net_|unix_socket|yaml_tree)'
core+='|adjunct-drivers/(ethdev/(port_native|port_vhost|vhost_session|vhost_ring)'
core+='|runtime/(start_request|descriptors)))'

# ---- Which versions of the tools: the compiler's ------------------------------
compiler=$(make -s FLAVOR=coverage fuzz-compiler) && version=$("$compiler" -dumpversion) || exit 1
tool() {
	if command -v "$1-${version%%.*}" >/dev/null; then echo "$1-${version%%.*}"; else echo "$1"; fi
}
profdata=$(tool llvm-profdata) cov=$(tool llvm-cov)

# ---- One profile, one list of branches -----------------------------------------
mapfile -t raw < <(find "$out/raw" -name '*.profraw')
[ ${#raw[@]} -gt 0 ] || { echo "Nothing was counted: no files in $out/raw/"; exit 1; }
"$profdata" merge -o "$out/merged.profdata" "${raw[@]}" || exit 1
objects=()
for object in "$out"/bin/* "$out"/libexec/outrigger/outrigger-* "$out"/examples/* "$out"/lib/*.so \
	"$out"/tests/unit/* "$out"/tests/e2e/*; do
	[ -f "$object" ] && "$cov" export -summary-only -instr-profile "$out/merged.profdata" \
		"$object" >/dev/null 2>&1 && objects+=(-object "$object")
done
skip=(-ignore-filename-regex="^/usr/|^$PWD/(tests|build)/")
"$cov" export "${objects[@]:1}" -instr-profile "$out/merged.profdata" "${skip[@]}" \
	>"$out/export.json" 2>"$out/report.log" || { cat "$out/report.log"; exit 1; }
# A file's static functions come once for each program: added up by their place.
jq -r -f tests/coverage/branches.jq "$out/export.json" | awk -F'\t' -v root="$PWD/" '
	index($1, root) == 1 && $1 !~ "^" root "(tests|build)/" {
		place = substr($1, length(root) + 1)
		for (i = 2; i <= 7; i++) place = place "\t" $i
		yes[place] += $8; no[place] += $9
	}
	END { for (place in yes) print place "\t" yes[place] "\t" no[place] }
' | sort -t$'\t' -k1,1 -k2,2n -k3,3n >"$out/branches.tsv" || exit 1

# ---- Table and judgement --------------------------------------------------------
awk -F'\t' -v core="$core" -v least="$least" -v listed="$unreached" -v missed="$out/missed.txt" '
	function trim(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }
	# What the list says: path ; function ; outcome ; condition ; reason
	FILENAME == listed {
		if ($0 ~ /^(#|$)/) next
		if (split($0, field, / ; /) != 5) {
			print listed ":" FNR ": wants five fields"; bad = 1; next
		}
		n++
		path[n] = trim(field[1]); name[n] = trim(field[2]); outcome[n] = trim(field[3])
		condition[n] = trim(field[4]); where[n] = FNR; used[n] = 0
		if (outcome[n] !~ /^(true|false|both)$/) {
			print listed ":" FNR ": the outcome is true, false or both"; bad = 1
		}
		next
	}
	function excused(file, asked, fn, which,   i) {
		for (i = 1; i <= n; i++)
			if (path[i] == file && name[i] == fn && condition[i] == asked &&
			    (outcome[i] == "both" || outcome[i] == which)) {
				used[i]++; side[i, which] = 1
				return 1
			}
		return 0
	}
	# As the source has it; one that goes on in the next line ends with this one.
	function asked_at(file, line, column, end_line, end_column) {
		return trim(substr(text[file, line], column,
			line == end_line ? end_column - column : length(text[file, line])))
	}
	function outcome_of(file, line, asked, fn, which, times) {
		total[file]++; all++
		if (times > 0) { taken[file]++; all_taken++; return }
		if (excused(file, asked, fn, which)) { given[file]++; return }
		print file ":" line ": " fn "(): never " which ": " asked >missed
		if (file ~ core) open_core[file]++
	}
	!($1 in read_in) {
		read_in[$1] = 1; order[++files] = $1
		for (number = 1; (getline text[$1, number] <$1) > 0; number++);
		close($1)
	}
	{
		asked = asked_at($1, $2, $3, $4, $5)
		outcome_of($1, $2, asked, $7, "true", $8)
		outcome_of($1, $2, asked, $7, "false", $9)
	}
	END {
		if (!all) { print "No branch was found."; exit 1 }
		printf "%-50s %8s %8s %8s %8s\n", "file", "branches", "taken", "%", "listed"
		for (i = 1; i <= files; i++) {
			file = order[i]
			printf "%-50s %8d %8d %8.1f %8s%s\n", file, total[file], taken[file],
				100 * taken[file] / total[file], given[file] ? given[file] : "",
				open_core[file] ? "  " open_core[file] " missed" : file ~ core ? "  core" : ""
			if (file ~ core) { core_all += total[file]; core_taken += taken[file]
				core_given += given[file]; core_open += open_core[file] }
		}
		percent = 100 * all_taken / all
		printf "\n%-50s %8d %8d %8.1f\n", "all", all, all_taken, percent
		printf "%-50s %8d %8d %8.1f %8d\n", "core: rings, sessions, copy-in, messages", core_all,
			core_taken, 100 * core_taken / core_all, core_given
		for (i = 1; i <= n; i++)
			if (!used[i] || (outcome[i] == "both" && !(side[i, "true"] && side[i, "false"]))) {
				print listed ":" where[i] ": was taken, or is not there: " path[i] ": " condition[i]
				bad = 1
			}
		if (core_open) {
			print core_open " branches of core files are neither taken nor listed; see " missed
			bad = 1
		}
		if (percent < least) {
			printf "%.2f %% of all branches; %s %% are wanted\n", percent, least
			bad = 1
		}
		exit bad
	}
' "$unreached" "$out/branches.tsv" >"$out/branches.txt"
status=$?
cat "$out/branches.txt"
rm -rf "$out/html"
"$cov" show "${objects[@]:1}" -instr-profile "$out/merged.profdata" "${skip[@]}" -format=html \
	-show-branches=count -output-dir="$out/html" >>"$out/report.log" 2>&1 || status=1
echo "Pages: $out/html/index.html; what was not taken: $out/missed.txt"
exit $status
