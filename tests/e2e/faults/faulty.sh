#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Stands where a program of the shim's should be (peer_faults.sh puts it there, once
# for each name) and becomes that program, the one beside in real/. If there is an
# order for it in $OTR_ORDERS, that process, and none after it, is refused something:
#
#   call NAME ERROR N    its Nth system call of that name (by strace, in a process
#                        that is no parent of ours: the shim sees the program alone)
#   nothing              its calls are only written down
#
# What was refused is told in $OTR_ORDERS/NAME.done, as strace or we write it.
name=${0##*/}
real=${0%/*}/real/$name
order=$OTR_ORDERS/$name
mv "$order" "$order.taken" 2>/dev/null || exec -a "$0" "$real" "$@"
read -r kind what error at <"$order.taken"
[ "$kind" = call ] || exec strace -DDD -qq -o "$order.done" "$real" "$@"
exec strace -DDD -qq -o "$order.done" -e "trace=$what" -e "inject=$what:error=$error:when=$at" \
	"$real" "$@"
