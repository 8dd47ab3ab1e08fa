/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI addresses as people and other tools write them, and where a VF is. Called by all
 * of the manager and by its users; no state.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vf.h"

/* `digits` hexadecimal ones at least and at most; moves *text on. */
static bool take_hex(const char **text, int least, int most, uint32_t *out)
{
	uint32_t value = 0;
	int digits = 0;

	for (; isxdigit((unsigned char)**text); (*text)++) {
		int c = tolower((unsigned char)**text);

		if (++digits > most)
			return false;
		value = value << 4 | (uint32_t)(isdigit(c) ? c - '0' : c - 'a' + 10);
	}
	*out = value;
	return digits >= least;
}

int vf_address_parse(const char *text, struct vf_address *out)
{
	uint32_t domain = 0, bus, slot, function;
	const char *at = text;
	char between = ':', last = '.';

	if (!strncmp(at, "pci/", 4)) {
		at += 4;
	} else if (!strncmp(at, "pci_", 4)) {
		at += 4;
		between = last = '_';
	}
	/* Two fields and a function, or three: the domain is the one that may be left out. */
	bool whole = between == '_' || (strchr(at, ':') && strchr(at, ':') != strrchr(at, ':'));
	if (whole && (!take_hex(&at, 4, 8, &domain) || *at++ != between))
		return -EINVAL;
	if (!take_hex(&at, 2, 2, &bus) || *at++ != between || !take_hex(&at, 2, 2, &slot) ||
	    *at++ != last || !take_hex(&at, 1, 1, &function) || *at || slot > 31 || function > 7)
		return -EINVAL;
	*out = (struct vf_address){domain, (uint8_t)bus, (uint8_t)slot, (uint8_t)function};
	return 0;
}

void vf_address_format(const struct vf_address *address, char text[VF_ADDRESS_BYTES])
{
	snprintf(text, VF_ADDRESS_BYTES, "%04x:%02x:%02x.%x", address->domain, address->bus,
		 address->slot & 31u, address->function & 7u);
}

bool vf_address_same(const struct vf_address *a, const struct vf_address *b)
{
	return a->domain == b->domain && a->bus == b->bus && a->slot == b->slot &&
	       a->function == b->function;
}

struct vf_address vf_address_of(const struct vf_address *pf, unsigned offset, unsigned stride,
				unsigned index)
{
	unsigned id = (unsigned)(pf->bus << 8 | pf->slot << 3 | pf->function);

	id += offset + stride * index;
	return (struct vf_address){pf->domain, (uint8_t)(id >> 8), (uint8_t)(id >> 3 & 31),
				   (uint8_t)(id & 7)};
}
