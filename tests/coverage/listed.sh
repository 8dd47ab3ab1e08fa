#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Whether unreached.txt speaks of what is there, without counting anything: each entry
# has its five fields, and its file has that function and, within it, a line with that
# condition (`default` and `case` labels as they stand). Whether no test takes it is told
# by `make coverage`, which takes longer. `make test` runs this; by hand: [LIST].
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
list=${1:-tests/coverage/unreached.txt}

awk -v list="$list" '
	function trim(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }
	function complain(what) { print list ":" FNR ": " what; bad = 1 }
	# The lines of a function: from the one that begins with its name to the brace that ends it.
	function has(path, name, condition,   line, inside, found) {
		found = -1
		while ((getline line <path) > 0) {
			if (line ~ "^[a-z].*[ *]" name "\\(") { inside = 1; found = found < 0 ? 0 : found }
			if (inside && index(line, condition)) found = 1
			if (line ~ /^}/) inside = 0
		}
		close(path)
		return found
	}
	/^(#|$)/ { next }
	{
		if (split($0, field, / ; /) != 5) { complain("wants five fields"); next }
		for (i = 1; i <= 5; i++) field[i] = trim(field[i])
		if (field[3] !~ /^(true|false|both)$/) complain("the outcome is true, false or both")
		if (field[5] == "") complain("says no reason")
		there = has(field[1], field[2], field[4])
		if (there < 0) complain(field[1] " has no function " field[2] "()")
		else if (!there) complain(field[2] "() has no line with: " field[4])
		count++
	}
	END { if (!bad) print count " entries, each of something that is there"; exit bad }
' "$list"
