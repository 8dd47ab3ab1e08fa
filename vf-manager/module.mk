# SPDX-License-Identifier: BSD-2-Clause
# The VF manager: a library for `outrigger vf`, the daemon and tests.
LIBRARIES += vfmanager
vfmanager_SRCS := $(addprefix vf-manager/,address.c apply.c bind.c devlink.c discover.c doctor.c \
	doctor_owners.c export.c fault.c fault_log.c find.c hand.c interface.c netlink.c pci.c plan.c \
	record.c settings.c tree.c users.c)
vfmanager_PKGS := jansson libpci libnl-3.0 libnl-genl-3.0
