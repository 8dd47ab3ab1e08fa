/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration document: what it reads, what it refuses and where it says
 * the fault is, and that what is saved loads again to the same.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../hv-shim/document/document.h"
#include "../fault.h"

static int load(const char *text, struct document *document, struct doc_error *error)
{
	return document_load(text, strlen(text), document, error);
}

static const char whole[] =
	"version: 1\n"
	"adapters:\n"
	"  - {name: soft0, kind: embedded, vfs: 4}\n"
	"  - {name: ring, kind: dpdk, device: net_ring0}\n"
	"partitions:\n"
	"  - name: red\n"
	"    owner: 1000\n"
	"    memory: 128M\n"
	"    cpus: 50%\n"
	"    devices:\n"
	"      - name: net0\n"
	"        kind: tap\n"
	"        mac: 02:00:00:00:00:0a\n"
	"        mtu: 1400\n"
	"        address: [10.0.0.1/24, 'fd00::1/64']\n"
	"        vf: {adapter: soft0, index: 2, vlan: 7, qos: 3, proto: 802.1ad, spoofchk: no,\n"
	"             trust: yes, promisc: yes, state: enable, min_tx_rate: 10, max_tx_rate: 100}\n"
	"        adjunct: {image: ethdev, cpu: dedicated, memory: 48M}\n"
	"      - {name: net1, kind: native, vf: {adapter: ring}}\n"
	"  - name: 7up\n";

Test(document, reads_every_field)
{
	struct document document;
	struct doc_error error;

	cr_assert_eq(load(whole, &document, &error), 0, "%s", error.message);
	cr_assert_eq(document.adapter_count, 2u);
	cr_expect_eq(document.adapters[0].vfs, 4);
	cr_expect_str_eq(document.adapters[1].device, "net_ring0");
	cr_assert_eq(document.partition_count, 2u);
	cr_expect_str_eq(document.partitions[1].name, "7up");
	const struct doc_device *device = &document.partitions[0].devices[0];
	cr_expect_str_eq(document.partitions[0].owner, "1000");
	cr_expect_eq(document.partitions[0].memory_bytes, 128 << 20);
	cr_expect_eq(document.partitions[1].memory_bytes, 0);
	cr_expect_eq(document.partitions[0].cpus_milli, 500);
	cr_expect_eq(document.partitions[0].cpus_line, 9u);
	cr_expect_eq(document.partitions[1].cpus_milli, 0, "all there are");
	cr_expect_eq(device->kind, ADJ_PORT_TAP);
	cr_expect_eq(device->mtu, 1400);
	cr_expect_eq(device->mac[5], 10);
	cr_expect_str_eq(device->addresses[1], "fd00::1/64");
	cr_expect_str_eq(device->ifname, "net0", "an interface is called as its device");
	cr_expect_eq(device->vf.vlan, 7);
	cr_expect_eq(device->vf.proto, DOC_PROTO_8021AD);
	cr_expect_eq(device->vf.state, DOC_LINK_ENABLE);
	cr_expect(!device->vf.spoofchk && device->vf.trust && device->vf.promisc);
	cr_expect_eq(device->adjunct.cpu, DOC_CPU_DEDICATED);
	cr_expect_eq(device->adjunct.memory_bytes, 48 << 20);
	const struct doc_device *native = &document.partitions[0].devices[1];
	cr_expect_eq(native->vf.index, -1, "any function");
	cr_expect(native->vf.spoofchk, "spoof check is on unless said otherwise");
	cr_expect_eq(native->ring_entries, 512);
	document_free(&document);
}

Test(document, saved_form_loads_to_the_same)
{
	struct document document, again;
	struct doc_error error;

	cr_assert_eq(load(whole, &document, &error), 0);
	json_t *root = json_pack("{s:i,s:[o,o],s:[o,o]}", "version", 1, "adapters",
				 doc_adapter_to_json(&document.adapters[0]),
				 doc_adapter_to_json(&document.adapters[1]), "partitions",
				 doc_partition_to_json(&document.partitions[0]),
				 doc_partition_to_json(&document.partitions[1]));
	char *text = json_dumps(root, 0);

	cr_assert_eq(load(text, &again, &error), 0, "%s", error.message);
	cr_expect_eq(memcmp(again.adapters, document.adapters, 2 * sizeof(*again.adapters)), 0);
	for (size_t i = 0; i < 2; i++)
		cr_expect_eq(memcmp(&again.partitions[0].devices[i], &document.partitions[0].devices[i],
				    sizeof(struct doc_device)), 0, "device %zu", i);
	free(text);
	json_decref(root);
	document_free(&again);
	document_free(&document);
}

/* Each as it is read, and as it is saved. */
static const struct {
	const char *text;
	int64_t milli;
	const char *saved;
} shares[] = {
	{"1%", 10, "1%"},	  {"12.5%", 125, "12.5%"}, {"150%", 1500, "150%"},
	{"1", 1000, "100%"},	  {"1.5", 1500, "150%"},   {"0.01", 10, "1%"},
	{"'7.3%'", 73, "7.3%"},	  {"0.333", 333, "33.3%"}, {"1024", 1024000, "102400%"},
	{"102400%", 1024000, "102400%"},
};

Test(document, shares_of_processors)
{
	struct document document;
	struct doc_partition again;
	struct doc_error error;
	char text[100];

	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		snprintf(text, sizeof(text), "version: 1\npartitions: [{name: p, cpus: %s}]\n",
			 shares[i].text);
		cr_assert_eq(load(text, &document, &error), 0, "%s", error.message);
		cr_expect_eq(document.partitions[0].cpus_milli, shares[i].milli, "%s", shares[i].text);
		json_t *saved = doc_partition_to_json(&document.partitions[0]);
		cr_expect_str_eq(json_string_value(json_object_get(saved, "cpus")), shares[i].saved);
		cr_assert_eq(document_load_partition(saved, &again, &error), 0, "%s", error.message);
		cr_expect_eq(again.cpus_milli, shares[i].milli, "%s", shares[i].saved);
		json_decref(saved);
		doc_partition_free(&again);
		document_free(&document);
	}
}

#define CPUS(value) "version: 1\npartitions:\n  - name: p\n    cpus: " value

/* A partition `p` whose device line is completed by the row. */
#define DEVICE(line) \
	"version: 1\nadapters: [{name: a, kind: embedded, vfs: 2}]\npartitions:\n" \
	"  - name: p\n    devices:\n      - name: net0\n        kind: tap\n" \
	"        vf: {adapter: a}\n        " line "\n"

static const struct {
	const char *text;
	unsigned line;
	const char *says;
} refusals[] = {
	{"", 0, "the document is empty"},
	{"[]", 0, "must be an object"},
	{"adapters: []", 0, "version: is missing"},
	{"version: 2", 1, "2 is not from 1 to 1"},
	{"version: 1\nadaptors: []", 2, "adaptors: is not a setting known here"},
	{"version: 1\nadapters: {}", 2, "is an object, not a list"},
	{"version: 1\nadapters: [3]", 2, "entry 0 is a number"},
	{"version: 1\nadapters:\n  - name: a", 0, "adapters[0].kind: is missing"},
	{"version: 1\nadapters:\n  - {name: a,\n     kind: pf}", 4, "choose one of: embedded, dpdk, echo"},
	{"version: 1\nadapters:\n  - {name: a, kind: sriov}", 0, "device: is missing; an sriov adapter is"},
	{"version: 1\nadapters:\n  - {name: a, kind: sriov, device: eth0}", 3, "device: is neither address"},
	{"version: 1\nadapters:\n  - {name: a, kind: embedded, any_link: yes}", 3, "goes with kind: sriov only"},
	{"version: 1\nadapters:\n  - {name: a, kind: echo, device: x}", 3, "goes with kind: dpdk or sriov only"},
	{"version: 1\nadapters:\n  - {name: a, kind: dpdk}", 0, "device: is missing"},
	{"version: 1\nadapters:\n  - {name: a, kind: embedded, vfs: 65}", 3, "an embedded adapter has 64 functions at most, not 65"},
	{"version: 1\nadapters:\n  - {name: a, kind: sriov, device: 0000:01:00.0, vfs: 257}", 3, "257 is not from 1 to 256"},
	{"version: 1\nadapters:\n  - {name: a, kind: embedded}\n  - {name: a, kind: embedded}", 4,
	 "'a' is used twice"},
	{"version: 1\npartitions:\n  - name: Red", 3, "'Red' is not a name"},
	{"version: 1\npartitions:\n  - name: a/../b", 3, "is not a name"},
	{"version: 1\npartitions:\n  - name: abcdefghijklmnopqrstuvwxyz0123456", 3, "is not a name"},
	{CPUS("half"), 4, "partitions[0].cpus: is not a share of processors: write 50% for half"},
	{CPUS("[1]"), 4, "is not a share of processors"},
	{CPUS("''"), 4, "is not a share of processors"},
	{CPUS("'%'"), 4, "is not a share of processors"},
	{CPUS("'50'"), 4, "is not a share of processors"},
	{CPUS("50%%"), 4, "is not a share of processors"},
	{CPUS("5.%"), 4, "is not a share of processors"},
	{CPUS("-5%"), 4, "is not a share of processors"},
	{CPUS("1.25%"), 4, "is not a share of processors"},
	{CPUS("0.0105"), 4, "thousandths of one are the smallest parts"},
	{CPUS("0.0101"), 4, "thousandths of one are the smallest parts"},
	{CPUS("0"), 4, "is not from 1% to 102400% of a processor"},
	{CPUS("-1"), 4, "is not from 1% to 102400% of a processor"},
	{CPUS("0.9%"), 4, "is not from 1% to 102400% of a processor"},
	{CPUS("1e9"), 4, "is not from 1% to 102400% of a processor"},
	{CPUS("102400.1%"), 4, "is not from 1% to 102400% of a processor"},
	{CPUS("99999999999999999999999%"), 4, "is not a share of processors"},
	{"version: 1\npartitions:\n  - name: p\n    devices: 3", 4, "is a number, not a list"},
	{DEVICE("mtu: 9000"), 9, "partitions[0].devices[0].mtu: 9000 is not from 68 to 2016"},
	{DEVICE("mtu: big"), 9, "is a string, not a whole number"},
	{DEVICE("mtu: 1500.5"), 9, "is a fraction"},
	{DEVICE("mac: 01:00:5e:00:00:01"), 9, "not a unicast address"},
	{DEVICE("mac: 02:00:00:00:00"), 9, "is not an address such as"},
	{DEVICE("address: 10.0.0.1"), 9, "'10.0.0.1' is not an address with its prefix"},
	{DEVICE("address: 10.0.0.1/33"), 9, "is not an address with its prefix"},
	{DEVICE("address: [10.0.0.1/24, 3]"), 9, "is not an address with its prefix"},
	{DEVICE("ifname: a/b"), 9, "cannot name an interface"},
	{DEVICE("ifname: lo"), 9, "cannot name an interface"},
	{DEVICE("ifname: a-name-that-is-long"), 9, "is not 1 to 15 characters"},
	{DEVICE("ring_entries: 64"), 9, "only a native device has rings"},
	{DEVICE("adjunct: some"), 9, "it takes an object, or none"},
	{DEVICE("adjunct: {memory: 3}"), 9, "adjunct.memory: is not from 1M"},
	{DEVICE("adjunct: {memory: 99999999999999999999G}"), 9, "is not a size"},
	{DEVICE("adjunct: {memory: 9223372036854775807G}"), 9, "is not from 1M"},
	{DEVICE("adjunct: {donate: heap}"), 0, "net0 donates 'heap', which is no region"},
	{"version: 1\npartitions:\n  - name: p\n    regions: [{name: a, size: 1M}, {name: a, size: 2M}]", 4,
	 "regions[1].name: 'a' is used twice"},
	{"version: 1\npartitions:\n  - name: p\n    regions: [{name: a, size: 100K}]", 4, "is not from 1M"},
	{"version: 1\npartitions:\n  - name: p\n    regions: [{name: a, size: 1025K}]", 4,
	 "is not a whole number of MiB"},
	{"version: 1\npartitions:\n  - name: p\n    regions: 3", 4, "is not a list"},
	{DEVICE("adjunct: {colour: red}"), 9, "adjunct.colour: is not a setting known here"},
	{DEVICE("vf: {adapter: a}"), 9, "vf"}, /* twice */
	{DEVICE("mtu: 67"), 9, "67 is not from 68"},
	{"version: 1\npartitions:\n  - name: p\n    devices: [{name: a, kind: tap, vf: {adapter: a}}, "
	 "{name: b, kind: tap, vf: {adapter: a}}, {name: a, kind: tap, vf: {adapter: a}}]", 4,
	 "'a' is used twice"},
	{"version: yes", 1, "is a yes or no"},
	{"version: no", 1, "is a yes or no"},
	{"version: ~", 1, "is nothing"},
	{"version: 1\nadapters:\n  - {name: a, kind: dpdk, device: x, vfs: 2}", 3, "is one function"},
	{"version: 1\nadapters:\n  - {name: a, kind: embedded, device: x}", 3, "goes with kind: dpdk"},
	{"version: 1\nadapters:\n  - {name: a, kind: 3}", 3, "choose one of"},
	{"version: 1\nadapters: [{name: a, kind: embedded}, {name: b, kind: embedded}, "
	 "{name: a, kind: embedded}]", 2, "'a' is used twice"},
	{"version: 1\npartitions: [{name: p}, {name: q}, {name: p}]", 2, "'p' is used twice"},
	{"version: 1\npartitions: [{name: p, colour: red}]", 2, "colour: is not a setting"},
	{"version: 1\npartitions: [{name: ''}]", 2, "'' is not a name"},
	{"version: 1\npartitions: [{name: p, owner: -1}]", 2, "is not a user name or a user id"},
	{"version: 1\npartitions: [{name: p, owner: 4294967295}]", 2, "is not a user name"},
	{"version: 1\npartitions: [{name: p, owner: ''}]", 2, "is not a user name"},
	{"version: 1\npartitions: [{name: p, owner: []}]", 2, "is not a user name"},
	{"version: 1\npartitions: [{name: p, owner: a-name-of-more-than-thirty-two-octets}]", 2,
	 "is not a user name"},
	{"version: 1\npartitions: [{name: p, memory: much}]", 2, "is not a size such as 32M"},
	{"version: 1\npartitions: [{name: p, memory: 0}]", 2, "is not from 1M to"},
	{"version: 1\npartitions: [{name: p, memory: 1500K}]", 2, "is not a whole number of MiB"},
	{DEVICE("ifname: '.'"), 9, "cannot name an interface"},
	{DEVICE("ifname: '..'"), 9, "cannot name an interface"},
	{DEVICE("ifname: 3"), 9, "is a number, not a string"},
	{DEVICE("ifname: ''"), 9, "is not 1 to 15 characters"},
	{DEVICE("ifname: 'a b'"), 9, "blank or unprintable"},
	{DEVICE("mac: 3"), 9, "is not an address such as"},
	{DEVICE("mac: x2:00:00:00:00:00"), 9, "is not an address such as"},
	{DEVICE("mac: 0x:00:00:00:00:00"), 9, "is not an address such as"},
	{DEVICE("mac: 02-00:00:00:00:00"), 9, "is not an address such as"},
	{DEVICE("mac: 00:00:00:00:00:00"), 9, "not a unicast address"},
	{DEVICE("address: /24"), 9, "is not an address with its prefix"},
	{DEVICE("address: 1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/64"), 9, "with its prefix"},
	{DEVICE("address: 10.0.0.1/x"), 9, "is not an address with its prefix"},
	{DEVICE("address: 10.0.0.1/24x"), 9, "is not an address with its prefix"},
	{DEVICE("address: fd00::1/129"), 9, "is not an address with its prefix"},
	{DEVICE("address: 'fd00:::1/64'"), 9, "is not an address with its prefix"},
	{DEVICE("address: [a/1, a/1, a/1, a/1, a/1, a/1, a/1, a/1, a/1]"), 9, "address"},
	{DEVICE("adjunct: {memory: M}"), 9, "is not a size"},
	{DEVICE("adjunct: {memory: 1MM}"), 9, "is not a size"},
	{DEVICE("adjunct: {memory: 12x}"), 9, "is not a size"},
	{DEVICE("adjunct: {memory: []}"), 9, "is a list, not a size"},
	{DEVICE("adjunct: {memory: -1M}"), 9, "is not from 1M"},
};

Test(document, refuses_with_line_and_reason)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct document document = {0};
		struct doc_error error;

		cr_expect_eq(load(refusals[i].text, &document, &error), -EINVAL, "%s",
			     refusals[i].text);
		cr_expect(strstr(error.message, refusals[i].says), "'%s' does not say '%s':\n%s",
			  error.message, refusals[i].says, refusals[i].text);
		if (refusals[i].line)
			cr_expect_eq(error.line, refusals[i].line, "line %u, not %u: %s", error.line,
				     refusals[i].line, error.message);
		cr_expect_null(document.partitions, "nothing is handed out");
	}
}

/* `count` times `before` and `after`, a number between them, as a list after `head`;
 * without `after` no number. */
static void expect_list(const char *head, const char *before, const char *after, unsigned count,
			const char *says)
{
	char text[8192];
	size_t used = (size_t)snprintf(text, sizeof(text), "%s[", head);
	struct document document = {0};
	struct doc_error error;

	for (unsigned i = 0; i < count; i++) {
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s", before);
		if (after)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%u%s", i, after);
		used += (size_t)snprintf(text + used, sizeof(text) - used, ", ");
	}
	snprintf(text + used, sizeof(text) - used, "]");
	cr_expect_eq(load(text, &document, &error), says ? -EINVAL : 0, "%s", text);
	cr_expect(strstr(error.message, says ? says : ""), "%s: %s", error.message, text);
	document_free(&document);
}

Test(document, lists_have_an_end)
{
	static const char adapters[] = "version: 1\nadapters: ";
	static const char regions[] = "version: 1\npartitions:\n  - name: p\n    regions: ";
	static const char devices[] = "version: 1\npartitions:\n  - name: p\n    devices: ";

	expect_list(adapters, "{name: a", ", kind: embedded}", DOC_ADAPTERS_MAX, NULL);
	expect_list(adapters, "{name: a", ", kind: embedded}", DOC_ADAPTERS_MAX + 1, "lists more than 16");
	expect_list(regions, "{name: r", ", size: 1M}", DOC_REGIONS_MAX, NULL);
	expect_list(regions, "{name: r", ", size: 1M}", DOC_REGIONS_MAX + 1, "is not a list of at most 8");
	expect_list(devices, "{name: d", ", kind: native, vf: {adapter: a}}", DOC_DEVICES_MAX, NULL);
	expect_list(devices, "{name: d", ", kind: native, vf: {adapter: a}}", DOC_DEVICES_MAX + 1, "lists more than 16");
	expect_list(devices, "3", NULL, 1, "entry 0 is a number");
	expect_list(regions, "3", NULL, 1, "entry 0 is a number");
	expect_list(devices, "{name: d, kind: native, vf: {adapter: a}}", NULL, 3, "'d' is used twice");
	expect_list(devices, "{name: d", ", kind: tap, ifname: e, vf: {adapter: a}}", 3,
		    "ifname: 'e' is used twice");
	expect_list(devices, "{name: a-name-of-sixteen", ", kind: tap, vf: {adapter: a}}", 1,
		    "is too long for an interface name");
}

/* What is refused is named as far as there is room. */
Test(document, a_refusal_of_a_long_key_has_an_end)
{
	char text[600] = "version: 1\n";
	struct document document;
	struct doc_error error;

	memset(text + strlen(text), 'k', 400);
	strcat(text, ": 1\n");
	cr_assert_eq(load(text, &document, &error), -EINVAL);
	cr_expect_eq(strlen(error.message), sizeof(error.message) - 1);
}

/* An address of more than DOC_STRING_BYTES is none, whatever it begins with. */
Test(document, a_long_address_is_refused)
{
	char address[DOC_STRING_BYTES + 20] = "10.0.0.1/", text[600];
	struct document document;
	struct doc_error error;

	memset(address + strlen(address), '0', DOC_STRING_BYTES);
	snprintf(text, sizeof(text), DEVICE("address: %s"), address);
	cr_expect_eq(load(text, &document, &error), -EINVAL);
	cr_expect(strstr(error.message, "with its prefix"), "%s", error.message);
}

Test(document, names_and_sizes_as_people_write_them)
{
	static const char text[] =
		"version: 1\nadapters: [{name: 7, kind: embedded}]\npartitions:\n"
		"  - name: a_b-c\n    owner: somebody\n    devices:\n"
		"      - {name: 42, kind: tap, vf: {adapter: 7}, adjunct: none, address: [10.0.0.1/8,\n"
		"         10.0.0.2/8, 10.0.0.3/8, 10.0.0.4/8, 10.0.0.5/8, 10.0.0.6/8, 10.0.0.7/8, 'fd00::8/8']}\n"
		"      - {name: b, kind: tap, vf: {adapter: 7}, adjunct: {memory: '1048576'}}\n"
		"      - {name: c, kind: tap, vf: {adapter: 7}, adjunct: {memory: 2048K}, address: 10.0.0.1/8}\n";
	struct document document;
	struct doc_error error;

	cr_assert_eq(load(text, &document, &error), 0, "%s", error.message);
	const struct doc_device *devices = document.partitions[0].devices;

	cr_expect_str_eq(document.adapters[0].name, "7");
	cr_expect_str_eq(document.partitions[0].owner, "somebody");
	cr_expect_str_eq(devices[0].ifname, "42");
	cr_expect_str_eq(devices[0].addresses[DOC_ADDRESSES_MAX - 1], "fd00::8/8");
	cr_expect_eq(devices[1].adjunct.memory_bytes, 1 << 20);
	cr_expect_eq(devices[2].adjunct.memory_bytes, 2 << 20);
	json_t *saved = doc_partition_to_json(&document.partitions[0]);
	struct doc_partition again;

	cr_assert_eq(document_load_partition(saved, &again, &error), 0, "%s", error.message);
	cr_expect(again.devices[0].adjunct.none);
	cr_expect_eq(memcmp(again.devices, devices, 3 * sizeof(*devices)), 0);
	json_decref(saved);
	doc_partition_free(&again);
	document_free(&document);
}

Test(document, donations)
{
	static const char *const rows[][3] = {
		{"{donate: heap}", "{donate: more}", NULL},
		{"{donate: heap, memory: 1M}", "{}", NULL},
		{"{donate: heap, memory: 2M}", "{}", "asks for another size"},
		{"{donate: heap}", "{donate: heap}", "both donate 'heap'"},
		{"{donate: some}", "{}", "is no region"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct document document = {0};
		struct doc_partition again;
		struct doc_error error;
		char text[600];

		snprintf(text, sizeof(text),
			 "version: 1\npartitions:\n  - name: p\n"
			 "    regions: [{name: heap, size: 1M}, {name: more, size: 2M}]\n    devices:\n"
			 "      - {name: a, kind: native, vf: {adapter: a}, adjunct: %s}\n"
			 "      - {name: b, kind: native, vf: {adapter: a}, adjunct: %s}\n",
			 rows[i][0], rows[i][1]);
		cr_expect_eq(load(text, &document, &error), rows[i][2] ? -EINVAL : 0, "%s", text);
		cr_expect(strstr(error.message, rows[i][2] ? rows[i][2] : ""), "%s", error.message);
		if (rows[i][2])
			continue;
		json_t *saved = doc_partition_to_json(&document.partitions[0]);

		cr_assert_eq(document_load_partition(saved, &again, &error), 0, "%s", error.message);
		cr_expect_eq(again.region_count, 2u);
		cr_expect_eq(again.devices[0].adjunct.memory_bytes, 1 << 20);
		json_decref(saved);
		doc_partition_free(&again);
		document_free(&document);
	}
}

Test(document, is_read_wholly_or_not_at_all, .init = fault_json)
{
	for (unsigned n = 1; fault_round(n); n++) {
		struct document document = {0};
		struct doc_error error;

		fault_start(n, ENOMEM);
		int result = load(whole, &document, &error);

		cr_assert_eq(result, fault_end() ? -ENOMEM : 0, "call %u: %s", n, error.message);
		document_free(&document);
	}
}

Test(document, is_written_wholly_or_not_at_all, .init = fault_json)
{
	struct document document;
	struct doc_error error;

	cr_assert_eq(load(whole, &document, &error), 0, "%s", error.message);
	json_t *all[] = {doc_partition_to_json(&document.partitions[0]),
			 doc_device_to_json(&document.partitions[0].devices[0]),
			 doc_adapter_to_json(&document.adapters[0])};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (unsigned n = 1; fault_round(n); n++) {
			fault_start(n, ENOMEM);
			json_t *written =
				i == 0   ? doc_partition_to_json(&document.partitions[0])
				: i == 1 ? doc_device_to_json(&document.partitions[0].devices[0])
					 : doc_adapter_to_json(&document.adapters[0]);
			bool failed = fault_end();

			cr_assert_eq(!written, failed, "%u, call %u", i, n);
			cr_assert(failed || json_equal(written, all[i]), "%u, call %u", i, n);
			json_decref(written);
		}
		json_decref(all[i]);
	}
	document_free(&document);
}

Test(document, rules_between_fields)
{
	static const char *const rows[][2] = {
		{"vf: {adapter: a, qos: 3}", "qos goes with a vlan"},
		{"vf: {adapter: a, promisc: yes}", "promisc needs trust"},
		{"vf: {adapter: a, min_tx_rate: 5, max_tx_rate: 4}", "min_tx_rate is above"},
		{"vf: {adapter: a}, address: 10.0.0.1/8", "only a tap or netdev device has addresses"},
		{"vf: {adapter: a}, ring_entries: 3", "3 is not a power of two"},
		{"vf: {adapter: a}, ifname: x", "only a tap or netdev device has an interface"},
		{"mtu: 1500", "vf: is missing"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct document document;
		struct doc_error error;
		char text[400];

		snprintf(text, sizeof(text),
			 "version: 1\npartitions:\n  - name: p\n    devices:\n"
			 "      - {name: d, kind: native, %s}\n", rows[i][0]);
		cr_expect_eq(load(text, &document, &error), -EINVAL, "%s", text);
		cr_expect(strstr(error.message, rows[i][1]), "%s: %s", rows[i][0], error.message);
	}
}

Test(document, functions_of_this_machine)
{
	struct document document;
	struct doc_error error;

	cr_assert_eq(load("version: 1\nadapters:\n"
			  "  - {name: a, kind: sriov, device: '01:00.0', vfs: 3, any_link: yes}\n"
			  "  - {name: b, kind: sriov, device: 'a0:36:9f:00:00:01'}\n"
			  "partitions:\n  - name: p\n    devices:\n"
			  "      - {name: net0, kind: netdev, vf: {adapter: a}, address: 10.0.0.1/8}\n"
			  "      - {name: net1, kind: vfio, vf: {adapter: b}, adjunct: none}\n",
			  &document, &error), 0, "%s", error.message);
	cr_expect(document.adapters[0].any_link);
	const struct doc_device *devices = document.partitions[0].devices;
	cr_expect(devices[0].adjunct.none && devices[1].adjunct.none);
	cr_expect_str_eq(devices[0].ifname, "net0");
	cr_expect_str_eq(devices[1].ifname, "");
	document_free(&document);
	cr_expect_eq(load("version: 1\npartitions:\n  - name: p\n    devices:\n"
			  "      - {name: n, kind: vfio, vf: {adapter: b}, adjunct: {image: x}}\n",
			  &document, &error), -EINVAL);
	cr_expect(strstr(error.message, "a vfio device has the function itself"), "%s",
		  error.message);
}

Test(document, a_partition_by_the_socket)
{
	struct doc_partition partition;
	struct doc_error error;
	json_t *object = json_pack("{s:s,s:[{s:s,s:s,s:{s:s}}]}", "name", "p", "devices", "name",
				   "net0", "kind", "vhost-user", "vf", "adapter", "a");

	cr_assert_eq(document_load_partition(object, &partition, &error), 0, "%s", error.message);
	cr_expect_eq(partition.device_count, 1u);
	cr_expect_eq(partition.devices[0].kind, ADJ_PORT_VHOST_USER);
	doc_partition_free(&partition);
	json_object_set_new(object, "name", json_integer(-1));
	cr_expect_eq(document_load_partition(object, &partition, &error), -EINVAL);
	cr_expect_str_eq(error.message, "name: is a number, not a name");
	json_decref(object);
}

Test(document, assigned_macs_are_stable_unicast_and_local)
{
	uint8_t a[6], b[6], c[6];

	doc_mac_from_names("red", "net0", a);
	doc_mac_from_names("red", "net0", b);
	doc_mac_from_names("red", "net1", c);
	cr_expect_eq(memcmp(a, b, 6), 0);
	cr_expect_neq(memcmp(a, c, 6), 0);
	cr_expect_eq(a[0] & 3, 2);
}
