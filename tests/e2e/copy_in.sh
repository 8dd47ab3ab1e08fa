#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Memory that another party can write is read in few places, each of which copies
# once, then checks the copy, then uses the copy (T01). This looks for every other
# place: a table of what such a read must contain, and in which functions of which
# files it may stand. It is text that is looked at, so that a new reader has to be
# named here, where it is seen. Shown to work by a violation of each rule planted
# in a copy of the sources.
. "$(dirname "$0")/lib.sh"

# rule | regular expression | FILE or FILE:FUNCTION, where it may stand
rules='
ring words | \<(eq_ring_)?(consumed|consumer_armed|producer_armed|sequence)\> | event-queues/eq.h event-queues/eq_layout.h event-queues/eq_deliver.c event-queues/eq_guest.c event-queues/eq_queue.c adjunct-drivers/runtime/service.c:service_depth
ring entries | \<eq_ring_entry_at\>|struct eq_(ring_entry|(ring|queue)_control)\>|(ring|tx|rx|transmit|receive)(->|\.)(entries|control)\> | event-queues/eq.h event-queues/eq_layout.h event-queues/eq_ring.c event-queues/eq_guest.c:was_used event-queues/eq_guest.c:use_ring event-queues/eq_forward.c:expect event-queues/eq_queue.c event-queues/eq_host_internal.h hv-shim/base/guest_layout.c:guest_layout_compute
frame buffers | \<(tx|rx|transmit|receive)_buffers\>|\<(buffer_at|tx_buffer)\( | hv-shim/base/net_layout.h hv-shim/base/net_layout.c:net_layout_compute hv-shim/partition/otr_internal.h hv-shim/partition/window.c:otr_window_map hv-shim/partition/net.c:tx_buffer hv-shim/partition/net.c:otr_net_send hv-shim/partition/net.c:otr_net_reserve hv-shim/partition/net.c:otr_net_receive adjunct-drivers/ethdev/port_native.c:- adjunct-drivers/ethdev/port_native.c:buffer_at adjunct-drivers/ethdev/port_native.c:native_take adjunct-drivers/ethdev/port_native.c:native_give adjunct-drivers/ethdev/port_native.c:port_native_attach adjunct-drivers/echo/echo.c:- adjunct-drivers/echo/echo.c:buffer_at adjunct-drivers/echo/echo.c:take adjunct-drivers/echo/echo.c:give adjunct-drivers/echo/echo.c:echo_attach
windows | (->|\.)window\>|\*window\> | adjunct-drivers/adj.h adjunct-drivers/runtime/port.c:runtime_port_close adjunct-drivers/runtime/port.c:runtime_window_open adjunct-drivers/runtime/start.c:start_handle adjunct-drivers/runtime/service.c:service_open adjunct-drivers/runtime/donated.c:donated_attach adjunct-drivers/ethdev/port_native.c:port_native_attach adjunct-drivers/ethdev/port_native.c:port_native_open adjunct-drivers/echo/echo.c:echo_attach adjunct-drivers/echo/echo.c:echo_init hv-shim/base/net_copy.h:net_copy_out hv-shim/partition/otr_internal.h hv-shim/partition/window.c:open_rings hv-shim/partition/window.c:otr_window_map hv-shim/partition/window.c:otr_window_unmap hv-shim/partition/service.c:otr_service_open
shared mappings | \<MAP_SHARED(_VALIDATE)?\> | adjunct-drivers/runtime/memory.c:memory_map adjunct-drivers/runtime/memory.c:memory_map_shared adjunct-drivers/runtime/eal_calls.c:eal_calls_move_heap adjunct-drivers/runtime/events.c:storage_open hv-shim/events/device_events.c:make_storage hv-shim/events/guests.c:make_storage hv-shim/base/confine_seccomp.c:allow_mappings hv-shim/partition/window.c:otr_window_map hv-shim/partition/region.c:otr_region_map hv-shim/partition/guest.c:map
service data | \<(request|completion)_data\> | hv-shim/base/net_layout.h hv-shim/base/net_layout.c:net_layout_compute adjunct-drivers/runtime/runtime.h adjunct-drivers/runtime/service.c:service_open adjunct-drivers/runtime/service.c:serve_request adjunct-drivers/runtime/service.c:complete hv-shim/partition/service.c:- hv-shim/partition/service.c:otr_service_open hv-shim/partition/service.c:queue hv-shim/partition/service.c:otr_poll
dispatch cells | cell->(dispatch|waiting|cpu|cool|deadline_ns|handback|hot|pending|donated)\> | adjunct-drivers/runtime/donated.c hv-shim/partition/yield.c hv-shim/partition/wait.c:otr_busy hv-shim/partition/otr_internal.h
guest memory | \<(rte_vhost_gpa_to_vva|rte_vhost_va_from_guest_pa|shmat|process_vm_readv)\>|\<ring(->|\.)(desc|avail|used)\>|(->|\.)mapped\>|\<ring_(desc|avail|used)\> | adjunct-drivers/ethdev/vhost_ring.c
guest rings (where they are, and their doorbells) | \<rte_vhost_get_(vhost_vring|mem_table)\>|\<vring(->|\.)(desc|avail|used)\> | adjunct-drivers/ethdev/vhost_session.c:mail_kick_of adjunct-drivers/ethdev/vhost_session.c:memory_take adjunct-drivers/ethdev/vhost_session.c:ring_take adjunct-drivers/soft-adapter/forward.c:suspect adjunct-drivers/soft-adapter/vhost_port.c:port_attach
'

# violations ROOT: "FILE:LINE: FUNCTION: RULE: TEXT" of each hit outside its places; and
# each place without a hit. Fails if there is any.
violations() {
	local rule pattern places
	cd "$1" || return
	while IFS= read -r line; do
		[ -n "$line" ] || continue
		rule=${line%% | *} places=${line##* |} pattern=${line#* | }
		pattern=${pattern% |*}
		# Not every awk knows the edge of a word.
		pattern=${pattern//'\<'/(^|[^A-Za-z0-9_])} pattern=${pattern//'\>'/([^A-Za-z0-9_]|$)}
		find event-queues adjunct-drivers hv-shim -name '*.[ch]' ! -path '*/examples/*' | sort |
			RULE=$rule PLACES=$places PATTERN=$pattern xargs -d '\n' awk '
			BEGIN { n = split(ENVIRON["PLACES"], list, " "); for (i = 1; i <= n; i++) place[list[i]] = 1 }
			FNR == 1 { name = "-"; comment = 0 }
			{
				# Comments and sentences may talk of it.
				code = $0
				gsub(/"([^"\\]|\\.)*"/, "\"\"", code)
				if (comment) { if (!sub(/^.*\*\//, "", code)) next; comment = 0 }
				gsub(/\/\*([^*]|\*[^\/])*\*\//, "", code)
				if (sub(/\/\*.*$/, "", code)) comment = 1
			}
			code ~ /^[A-Za-z_].*[A-Za-z_0-9]+\(/ && code !~ /;[ \t]*$/ && code !~ /^(#|static_assert)/ {
				match(code, /[A-Za-z_0-9]+\(/); name = substr(code, RSTART, RLENGTH - 1)
			}
			code ~ ENVIRON["PATTERN"] {
				if (FILENAME in place) { used[FILENAME] = 1; next }
				if ((FILENAME ":" name) in place) { used[FILENAME ":" name] = 1; next }
				printf "%s:%d: %s: %s:%s\n", FILENAME, FNR, name, ENVIRON["RULE"], $0; bad = 1
			}
			/^}/ { name = "-" }
			END {
				for (p in place) if (!(p in used)) { print p ": no " ENVIRON["RULE"] " there any more"; bad = 1 }
				exit bad
			}' || echo failed >"$work/failed"
	done <<<"$rules"
	[ ! -e "$work/failed" ] || { rm "$work/failed"; return 1; }
}
copied() (violations "$PWD")
# planted NAME FILE TEXT: the line, put at the end of a copy of FILE, is found, by its place.
planted() {
	local tree=$work/tree at
	rm -rf "$tree"
	mkdir "$tree"
	cp -r event-queues adjunct-drivers hv-shim "$tree/"
	echo "$3" >>"$tree/$2"
	at=$2:$(wc -l <"$tree/$2")
	refused "found when planted: $1" "^$at: " bash -c "$(declare -f violations); work=$work rules=\$1; violations $tree" - "$rules"
}

check "shared memory is read by those who copy once, and by nobody else" copied
planted "a ring's words, read by a driver" adjunct-drivers/ethdev/device.c \
	'int x(struct eq_ring *r) { return *eq_ring_consumed(r); }'
planted "an entry, looked at in the ring" adjunct-drivers/ethdev/port_native.c \
	'int x(struct eq_ring *r) { return eq_ring_entry_at(r, 0)->payload[0]; }'
planted "a frame, read where it lies" adjunct-drivers/ethdev/port_native.c \
	'int x(struct port_native *n) { return buffer_at(n->transmit_buffers, &n->transmit, 0)[12]; }'
planted "the window, read by the runtime" adjunct-drivers/runtime/serve.c \
	'int x(struct runtime *rt) { return *(int *)rt->env.port.window; }'
planted "shared memory mapped by the shim" hv-shim/devices/attachment.c \
	'void *x(int fd) { return mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0); }'
planted "a guest's descriptors, read by the session" adjunct-drivers/ethdev/vhost_session.c \
	'int x(struct rte_vhost_vring *ring) { return ring->desc[0].len; }'
planted "a guest's index, read by the port" adjunct-drivers/ethdev/port_vhost.c \
	'int x(struct vhost_ring *ring) { return ring->avail->idx; }'
planted "a guest's memory, looked up elsewhere" adjunct-drivers/ethdev/port_vhost.c \
	'int x(struct vhost_regions *m) { return m->region[0].mapped[0]; }'
finish
