# SPDX-License-Identifier: BSD-2-Clause
LIBRARIES += eventqueues
eventqueues_SRCS := $(addprefix event-queues/,eq_ring.c eq_queue.c eq_storage.c eq_adapter.c eq_host.c \
	eq_guest.c eq_deliver.c eq_forward.c)
