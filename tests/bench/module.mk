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
