/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: what the VF manager reads from others. The first byte says as what: an
 * rtnetlink answer about VFs, one of devlink, the text of an address, the settings of a
 * saved record, or a record of the kernel's log.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../../vf-manager/netlink.h"
#include "../../vf-manager/vf_internal.h"
#include "fuzz.h"

#define VFS 8

static void check(const struct vf_settings *settings)
{
	char text[32];

	FUZZ_DEMAND(!(settings->given >> VF_KEYS));
	for (unsigned key = 0; key < VF_KEYS; key++)
		if (settings->given & VF_BIT(key))
			vf_setting_format(settings, key, text, sizeof(text));
	/* What the kernel may say, a record can hold. */
	struct vf_settings again;
	json_t *json = vf_settings_to_json(settings);
	FUZZ_DEMAND(!vf_settings_from_json(json, &again) && again.given == settings->given);
	FUZZ_DEMAND(!vf_settings_differ(&again, settings));
	json_decref(json);
}

static void as_netlink(const uint8_t *data, size_t size)
{
	struct vf_settings settings[VFS + 1];
	void *copy = malloc(size + 1); /* aligned as a receive buffer is, and of its exact size */

	FUZZ_DEMAND(copy);
	memcpy(copy, data, size);
	memset(settings, 0, sizeof(settings));
	settings[VFS].given = 0xabcd;
	if (!vf_netlink_parse(copy, size, settings, VFS))
		for (unsigned i = 0; i < VFS; i++)
			check(&settings[i]);
	FUZZ_DEMAND(settings[VFS].given == 0xabcd);
	struct vf_counters counters[VFS + 1] = {[VFS] = {.tx_dropped = 0xabcd}};
	vf_netlink_counters(copy, size, counters, VFS);
	FUZZ_DEMAND(counters[VFS].tx_dropped == 0xabcd);
	free(copy);
}

/* A fault that is told has an address that there can be, and the kernel's level before it. */
static void as_fault(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1), name[VF_ADDRESS_BYTES];
	struct vf_fault fault;
	struct vf_address again;

	FUZZ_DEMAND(copy);
	memcpy(copy, data, size); /* no NUL behind it, as read() leaves it */
	if (!vf_fault_parse(copy, size, &fault)) {
		FUZZ_DEMAND(strtol(copy, NULL, 10) < 8);
		FUZZ_DEMAND(fault.domain_known || !fault.address.domain);
		vf_address_format(&fault.address, name);
		FUZZ_DEMAND(!vf_address_parse(name, &again) &&
			    vf_address_same(&fault.address, &again));
	}
	free(copy);
}

/* Only what passed for a message of its length comes here. */
static void as_devlink(const uint8_t *data, size_t size)
{
	struct vf_devlink devlink = {.eswitch = VF_ESWITCH_NONE};
	struct nlmsghdr *copy = malloc(size + 1);

	FUZZ_DEMAND(copy);
	memcpy(copy, data, size);
	if (nlmsg_ok(copy, (int)size)) {
		devlink_take_info(&devlink, copy, size);
		devlink_take_eswitch(&devlink, copy, size);
	}
	FUZZ_DEMAND(memchr(devlink.firmware, 0, sizeof(devlink.firmware)));
	free(copy);
}

static void as_address(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), normal[VF_ADDRESS_BYTES];
	struct vf_address address, again;

	FUZZ_DEMAND(text);
	if (!vf_address_parse(text, &address)) {
		vf_address_format(&address, normal);
		FUZZ_DEMAND(!vf_address_parse(normal, &again) && vf_address_same(&address, &again));
	}
	free(text);
}

static void as_record(const uint8_t *data, size_t size)
{
	json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct vf_settings settings;

	if (json && !vf_settings_from_json(json, &settings))
		check(&settings);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] == 'a')
		as_address(data + 1, size - 1);
	else if (data[0] == 'r')
		as_record(data + 1, size - 1);
	else if (data[0] == 'k')
		as_fault(data + 1, size - 1);
	else if (data[0] == 'd')
		as_devlink(data + 1, size - 1);
	else
		as_netlink(data + 1, size - 1);
	return 0;
}
