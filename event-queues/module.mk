# SPDX-License-Identifier: BSD-2-Clause
LIBRARIES += eventqueues
eventqueues_SRCS := event-queues/eq_ring.c
