/* SPDX-License-Identifier: BSD-2-Clause */
/* The document's tables, and the small types its fields are made of. */
#include "document_schema.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MIB (INT64_C(1) << 20)

const char *const doc_adapter_kinds[] = {"embedded", "dpdk", "echo", "sriov", NULL};
const char *const doc_port_kinds[] = {"tap", "vhost-user", "native", "netdev", "vfio", NULL};
const char *const doc_link_states[] = {"auto", "enable", "disable", NULL};
const char *const doc_vlan_protos[] = {"802.1Q", "802.1ad", NULL};
const char *const doc_scopes[] = {"local", "global", NULL};
const char *const doc_cpus[] = {"shared", "dedicated", "donated", NULL};

#define AT(structure, member) .offset = offsetof(struct structure, member)

const struct field doc_adapter_fields[] = {
	{"name", FIELD_NAME, AT(doc_adapter, name), .required = true},
	{"kind", FIELD_WORD, AT(doc_adapter, kind), .required = true, .words = doc_adapter_kinds},
	{"vfs", FIELD_INTEGER, AT(doc_adapter, vfs), .minimum = 1, .maximum = DOC_VFS_MAX,
	 .fallback = 1},
	{"device", FIELD_STRING, AT(doc_adapter, device), .maximum = DOC_STRING_BYTES - 1},
	{"any_link", FIELD_BOOLEAN, AT(doc_adapter, any_link)},
	{NULL},
};

const struct field doc_vf_fields[] = {
	{"adapter", FIELD_NAME, AT(doc_vf, adapter), .required = true},
	{"index", FIELD_INTEGER, AT(doc_vf, index), .maximum = DOC_VFS_MAX - 1, .fallback = -1},
	{"vlan", FIELD_INTEGER, AT(doc_vf, vlan), .maximum = 4094},
	{"qos", FIELD_INTEGER, AT(doc_vf, qos), .maximum = 7},
	{"proto", FIELD_WORD, AT(doc_vf, proto), .words = doc_vlan_protos},
	{"spoofchk", FIELD_BOOLEAN, AT(doc_vf, spoofchk), .fallback = 1},
	{"trust", FIELD_BOOLEAN, AT(doc_vf, trust)},
	{"state", FIELD_WORD, AT(doc_vf, state), .words = doc_link_states},
	{"min_tx_rate", FIELD_INTEGER, AT(doc_vf, min_tx_rate), .maximum = 400000},
	{"max_tx_rate", FIELD_INTEGER, AT(doc_vf, max_tx_rate), .maximum = 400000},
	{"promisc", FIELD_BOOLEAN, AT(doc_vf, promisc)},
	{NULL},
};

const struct field doc_adjunct_fields[] = {
	{"image", FIELD_NAME, AT(doc_adjunct, image)},
	{"cpu", FIELD_WORD, AT(doc_adjunct, cpu), .words = doc_cpus},
	{"scope", FIELD_WORD, AT(doc_adjunct, scope), .words = doc_scopes},
	{"memory", FIELD_SIZE, AT(doc_adjunct, memory_bytes), .minimum = MIB, .maximum = 65536 * MIB},
	{"donate", FIELD_NAME, AT(doc_adjunct, donate)},
	{"standby", FIELD_BOOLEAN, AT(doc_adjunct, standby)},
	{NULL},
};

const struct field doc_device_fields[] = {
	{"name", FIELD_NAME, AT(doc_device, name), .required = true},
	{"kind", FIELD_WORD, AT(doc_device, kind), .required = true, .words = doc_port_kinds},
	{"mac", FIELD_MAC, AT(doc_device, mac)},
	{"mtu", FIELD_INTEGER, AT(doc_device, mtu), .minimum = DOC_MTU_MIN, .maximum = DOC_MTU_MAX,
	 .fallback = 1500},
	{"address", FIELD_ADDRESSES, AT(doc_device, addresses)},
	{"ifname", FIELD_STRING, AT(doc_device, ifname), .maximum = DOC_IFNAME_BYTES - 1},
	{"ring_entries", FIELD_POWER, AT(doc_device, ring_entries), .minimum = 2, .maximum = 65536},
	{"shared", FIELD_STRING, AT(doc_device, shared), .maximum = 2 * DOC_NAME_BYTES - 1},
	{"vf", FIELD_OBJECT, AT(doc_device, vf), .fields = doc_vf_fields},
	{"adjunct", FIELD_ADJUNCT, AT(doc_device, adjunct)},
	{NULL},
};

const struct field doc_region_fields[] = {
	{"name", FIELD_NAME, AT(doc_region, name), .required = true},
	{"size", FIELD_SIZE, AT(doc_region, size_bytes), .required = true, .minimum = MIB,
	 .maximum = 65536 * MIB},
	{NULL},
};

/* `regions` and `devices` are read by the document itself. */
const struct field doc_partition_fields[] = {
	{"name", FIELD_NAME, AT(doc_partition, name), .required = true},
	{"owner", FIELD_OWNER, AT(doc_partition, owner)},
	{"memory", FIELD_SIZE, AT(doc_partition, memory_bytes), .minimum = MIB,
	 .maximum = 1024 * 1024 * MIB},
	{"cpus", FIELD_CPUS, AT(doc_partition, cpus_milli), .minimum = DOC_CPUS_MIN,
	 .maximum = DOC_CPUS_MAX},
	{NULL},
};

bool doc_name_valid(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length >= DOC_NAME_BYTES)
		return false;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)name[i];
		if (!islower(c) && !isdigit(c) && (i == 0 || (c != '-' && c != '_')))
			return false;
	}
	return true;
}

bool doc_shared_names(const char *shared, char partition[DOC_NAME_BYTES],
		      char device[DOC_NAME_BYTES])
{
	const char *slash = strchr(shared, '/');
	size_t length = slash ? (size_t)(slash - shared) : 0;

	if (!slash || length >= DOC_NAME_BYTES || strlen(slash + 1) >= DOC_NAME_BYTES)
		return false;
	memcpy(partition, shared, length);
	partition[length] = '\0';
	strcpy(device, slash + 1);
	return doc_name_valid(partition) && doc_name_valid(device);
}

int doc_mac_parse(const char *text, uint8_t mac[6])
{
	uint8_t bytes[6];

	if (strlen(text) != DOC_MAC_TEXT_BYTES - 1)
		return -EINVAL;
	for (int i = 0; i < 6; i++) {
		const char *octet = text + 3 * i;
		unsigned value;

		if (!isxdigit((unsigned char)octet[0]) || !isxdigit((unsigned char)octet[1]) ||
		    (i < 5 && octet[2] != ':') || sscanf(octet, "%2x", &value) != 1)
			return -EINVAL;
		bytes[i] = (uint8_t)value;
	}
	memcpy(mac, bytes, 6);
	return 0;
}

void doc_cpus_format(int64_t cpus_milli, char text[DOC_CPUS_TEXT_BYTES])
{
	const long long percent = cpus_milli / 10, tenths = cpus_milli % 10;

	if (tenths)
		snprintf(text, DOC_CPUS_TEXT_BYTES, "%lld.%lld%%", percent, tenths);
	else
		snprintf(text, DOC_CPUS_TEXT_BYTES, "%lld%%", percent);
}

void doc_mac_format(const uint8_t mac[6], char text[DOC_MAC_TEXT_BYTES])
{
	snprintf(text, DOC_MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
}

void doc_mac_from_names(const char *partition, const char *device, uint8_t mac[6])
{
	/* FNV-1a, 64 bit, over "partition/device". */
	uint64_t hash = UINT64_C(14695981039346656037);
	const char *const parts[] = {partition, "/", device};

	for (size_t part = 0; part < 3; part++)
		for (const char *c = parts[part]; *c; c++)
			hash = (hash ^ (unsigned char)*c) * UINT64_C(1099511628211);
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)(hash >> (8 * i));
	mac[0] = (uint8_t)((mac[0] | 0x02) & ~0x01); /* locally administered, unicast */
}
