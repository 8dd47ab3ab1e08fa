# SPDX-License-Identifier: BSD-2-Clause
PROGRAMS += bench_spin
bench_spin_SRCS := tests/bench/spin.c
bench_spin_OUT := bench/spin
bench_spin_LDFLAGS := -lpthread
bench_spin_TEST := 1

PROGRAMS += bench_native_client
bench_native_client_SRCS := tests/bench/native_client.c
bench_native_client_USES := liboutrigger
bench_native_client_OUT := bench/native_client
bench_native_client_TEST := 1

PROGRAMS += bench_restart_floor
bench_restart_floor_SRCS := tests/bench/restart_floor.c
bench_restart_floor_OUT := bench/restart_floor
bench_restart_floor_LDFLAGS := -static
bench_restart_floor_TEST := 1

# The hostile neighbour and its victims, as in the end-to-end test.
PROGRAMS += bench_victim bench_neighbour
bench_victim_SRCS := tests/e2e/neighbour/victim.c
bench_victim_PKGS := jansson
bench_victim_USES := liboutrigger
bench_victim_OUT := bench/victim
bench_victim_TEST := 1
bench_neighbour_SRCS := tests/e2e/neighbour/neighbour.c
bench_neighbour_PKGS := jansson
bench_neighbour_USES := liboutrigger base
bench_neighbour_OUT := bench/neighbour
bench_neighbour_TEST := 1

PROGRAMS += bench_event_queues
bench_event_queues_SRCS := tests/bench/event_queues.c
bench_event_queues_USES := base eventqueues
bench_event_queues_OUT := bench/event_queues
bench_event_queues_LDFLAGS := -lpthread
bench_event_queues_TEST := 1

PROGRAMS += bench_handoff bench_service_client
bench_handoff_SRCS := tests/bench/handoff.c
bench_handoff_OUT := bench/handoff
bench_handoff_TEST := 1
bench_service_client_SRCS := tests/bench/service_client.c
bench_service_client_USES := liboutrigger
bench_service_client_OUT := bench/service_client
bench_service_client_TEST := 1

# The image echo as it would be without `fp: no`.
PROGRAMS += bench_heavy_echo
bench_heavy_echo_SRCS := $(echo_SRCS)
bench_heavy_echo_USES := $(echo_USES)
bench_heavy_echo_OUT := bench/heavy_echo
bench_heavy_echo_TEST := 1

PROGRAMS += bench_load_client
bench_load_client_SRCS := tests/bench/load_client.c
bench_load_client_USES := liboutrigger
bench_load_client_OUT := bench/load_client
bench_load_client_LDFLAGS := -lm
bench_load_client_TEST := 1
