# SPDX-License-Identifier: BSD-2-Clause
#
# The rows about event queues; sourced by run.sh. The figures come from
# tests/bench/event_queues.c.
#
# shellcheck shell=bash disable=SC2034 # the row's variables belong to lib.sh

event_queues() { figure=$("$programs/event_queues" "$@" 2>"$work/events.log") || { show_log "$work/events.log"; return 1; }; }

# The whole path on one CPU, against the kernel's means on the same CPU.
eq_path_ours() { event_queues path "$eq_guests" "$eq_ready" "$SECONDS_PER_RUN" "$cpu_b"; }
eq_path_epoll() { event_queues epoll "$eq_guests" "$eq_ready" "$SECONDS_PER_RUN" "$cpu_b"; }
eq_path() { # GUESTS READY
	eq_guests=$1 eq_ready=$2 crosses_cpus=0
	peer_name='eventfd, epoll and read'
	peer_version="Linux $(uname -r)"
	peer_command="event_queues epoll $1 $2: as many descriptors, as many of them ready, one CPU"
	in_turn eq_path_ours eq_path_epoll
}

# The same with as few guests as are ready at a time.
eq_few() { event_queues path "$eq_ready" "$eq_ready" "$SECONDS_PER_RUN" "$cpu_b"; }
eq_flat() { # GUESTS READY
	eq_guests=$1 eq_ready=$2 crosses_cpus=0
	peer_name="the same with $2 guests"
	peer_version='-'
	peer_command="event_queues path $2 $2"
	in_turn eq_path_ours eq_few
}

eq_cross_ours() { event_queues cross 4096 "$SECONDS_PER_RUN" "$cpu_a" "$cpu_b"; }
eq_cross_spin() { figure=$(spin); }
eq_cross() {
	peer_name='spin: a line there and a line back'
	peer_version='tests/bench/spin.c'
	peer_command="spin $cpu_a $cpu_b"
	in_turn eq_cross_ours eq_cross_spin
}

eq_bytes_ours() { event_queues bytes; }
eq_bytes_goal() { figure=512; }
eq_guest_bytes() {
	local RUNS=1
	crosses_cpus=0
	peer_name='the goal itself' peer_version='-' peer_command='512 bytes for each guest'
	in_turn eq_bytes_ours eq_bytes_goal
}

# 30 partitions of 4,096 guests: what one core forwards, and what a second adds.
eq_rate_one() { event_queues rate 30 4096 1 "$SECONDS_PER_RUN" "$cpu_b"; }
eq_rate_two() { event_queues rate 30 4096 2 "$SECONDS_PER_RUN" "$cpu_a" "$cpu_b"; }
eq_rate() {
	crosses_cpus=0
	peer_name='the same by one core' peer_version='-'
	peer_command='event_queues rate 30 4096 1: adapters, forwarder and guests of all partitions'
	in_turn eq_rate_two eq_rate_one
}
