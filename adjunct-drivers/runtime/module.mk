# SPDX-License-Identifier: BSD-2-Clause
# The DPDK part (runtime/eal.c) is listed by the drivers that need it, with
# -Wl,--wrap=memfd_create: a driver without DPDK links none of it.
LIBRARIES += adjunct
adjunct_SRCS := $(addprefix adjunct-drivers/runtime/,main.c serve.c control.c start.c start_request.c descriptors.c \
	env.c base64.c confine.c events.c memory.c service.c donated.c port.c clients.c registers.c)
adjunct_GENERAL_SRCS := adjunct-drivers/runtime/general_memory.c
adjunct_PKGS := jansson libseccomp
adjunct_TEXTS := adjunct-drivers/org.outrigger.Adjunct.varlink
