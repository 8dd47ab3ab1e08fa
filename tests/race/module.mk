# SPDX-License-Identifier: BSD-2-Clause
# Plain programs, run under ThreadSanitizer (Criterion does not start there) and
# as they are.
PROGRAMS += race_ring
race_ring_SRCS := tests/race/ring_race.c
race_ring_USES := eventqueues
race_ring_OUT := tests/race/ring
race_ring_TEST := 1

PROGRAMS += race_events
race_events_SRCS := tests/race/events_race.c
race_events_USES := eventqueues
race_events_OUT := tests/race/events
race_events_TEST := 1
