# SPDX-License-Identifier: BSD-2-Clause
# The points of figure.sh as a picture: requests a second to the right, microseconds
# upwards, each line ten times the one below it. Median solid, 99th percentile dashed.
function x(rate) { return left + rate / rate_max * width }
function y(ns) { us = ns / 1000; us = us < us_min ? us_min : us > us_max ? us_max : us
	return top + height * (1 - log(us / us_min) / log(us_max / us_min)) }
function text(at_x, at_y, anchor, what) {
	printf "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\">%s</text>\n", at_x, at_y, anchor, what }
BEGIN {
	FS = "\t"; left = 60; top = 20; width = 520; height = 300; us_min = 1; us_max = 10000
	name["donated"] = "lent processor (donated)"; colour["donated"] = "#0072b2"
	name["dedicated"] = "its own, polling (dedicated)"; colour["dedicated"] = "#d55e00"
	name["server"] = "conventional server, other CPU"; colour["server"] = "#009e73"
}
NR > 1 {
	if (!($1 in count)) ways[++way_count] = $1
	n = ++count[$1]; rate[$1, n] = $2; p50[$1, n] = $3; p99[$1, n] = $4
	if ($2 > rate_max) rate_max = $2
}
END {
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 620 440\" font-family=\"sans-serif\" font-size=\"12\">\n"
	printf "<rect width=\"620\" height=\"440\" fill=\"white\"/>\n"
	for (us = us_min; us <= us_max; us *= 10) {
		printf "<path d=\"M%d %.1fh%d\" stroke=\"#ccc\"/>\n", left, y(us * 1000), width
		text(left - 6, y(us * 1000) + 4, "end", us)
	}
	for (i = 0; i <= 4; i++)
		text(x(rate_max * i / 4), top + height + 18, "middle", sprintf("%.0f", rate_max * i / 4000))
	text(left + width / 2, top + height + 36, "middle", "requests a second, in thousands")
	printf "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">µs from coming to done</text>\n", top + height / 2
	for (w = 1; w <= way_count; w++) {
		way = ways[w]
		for (pass = 0; pass < 2; pass++) {
			path = ""
			for (n = 1; n <= count[way]; n++)
				path = path sprintf("%s%.1f %.1f", n == 1 ? "M" : "L", x(rate[way, n]),
					y(pass ? p99[way, n] : p50[way, n]))
			printf "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", path,
				colour[way], pass ? " stroke-dasharray=\"5 4\"" : ""
		}
		printf "<path d=\"M%d %dh24\" stroke=\"%s\" stroke-width=\"2\"/>\n", left, 372 + w * 17, colour[way]
		text(left + 30, 376 + w * 17, "start", name[way] ": median (solid), 99th percentile (dashed)")
	}
	print "</svg>"
}
