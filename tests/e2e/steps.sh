#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# T07: an adjunct's ring and in-flight code, killed after each of its first 1,000
# instructions (steps/main.c).
#
#   STEPS=all   after each of them; else after every ninth
. "$(dirname "$0")/lib.sh"

stride=9
[ "${STEPS:-}" != all ] || stride=1
for kind in native vhost-user; do
	check "$kind: killed at instruction after instruction: nothing is lost, nothing done twice" \
		timeout 280 "$helpers/steps" $kind 1000 $stride
	show "$work/out" 1
done
finish
