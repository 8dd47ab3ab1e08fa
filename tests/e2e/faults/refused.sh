#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Stands where a program of the daemon's should be (peer_faults.sh puts it there under each
# name) and becomes that program, the one beside in real/. If there is an order for it in
# $OTR_ORDERS, that process, and none after it, is refused something: refuse.c.
name=${0##*/}
if mv "$OTR_ORDERS/$name" "$OTR_ORDERS/$name.taken" 2>/dev/null; then
	read -r OTR_REFUSE <"$OTR_ORDERS/$name.taken"
	LD_PRELOAD=$OTR_ORDERS/refuse.so
	export OTR_REFUSE LD_PRELOAD
fi
exec "${0%/*}/real/$name" "$@"
