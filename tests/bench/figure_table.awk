# SPDX-License-Identifier: BSD-2-Clause
# The points of figure.sh as a table: microseconds, median and 99th percentile, and what
# of a second processor it took.
BEGIN { FS = "\t"; split("donated dedicated server", ways, " ") }
NR > 1 {
	if (!($2 in seen)) { seen[$2] = 1; rates[++count] = $2 }
	cell[$1, $2] = sprintf("%.1f / %.1f", $3 / 1000, $4 / 1000); cpu[$1, $2] = $6 " %"
}
END {
	print "| requests/s | donated | second CPU | dedicated | second CPU | server | second CPU |"
	print "|---|---|---|---|---|---|---|"
	for (i = 1; i <= count; i++) {
		printf "| %d |", rates[i]
		for (w = 1; w <= 3; w++) printf " %s | %s |", cell[ways[w], rates[i]], cpu[ways[w], rates[i]]
		print ""
	}
}
