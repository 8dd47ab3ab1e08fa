/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The document's section `pfs`, what `outrigger vf apply` works by: what it reads, how
 * its rules lie over each other, and what it refuses.
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

static const char with_pfs[] =
	"version: 1\n"
	"pfs:\n"
	"  - pf: 01:00.0\n"
	"    vfs: 4\n"
	"    eswitch: switchdev\n"
	"    vf:\n"
	"      - {trust: no, driver: dpdk, pool: fast, vlan: 5, qos: 2}\n"
	"      - {index: 1-2, vlan: 7, proto: 802.1ad, min_tx_rate: 10, max_tx_rate: 100}\n"
	"      - {index: 2, mac: 02:00:00:00:00:02, spoofchk: yes, state: enable, msix: 8,\n"
	"         node_guid: '00:11:22:33:44:55:66:77', driver: default}\n"
	"  - {mac: a0:36:9f:00:00:01, vfs: 0, any_link: yes}\n"
	"  - {serial: b4-96-91-ff-ff-a5-12-34, vfs: 1}\n";

Test(document_pf, rules_lie_over_each_other)
{
	struct document document;
	struct doc_error error;

	cr_assert_eq(load(with_pfs, &document, &error), 0, "%u: %s", error.line, error.message);
	cr_assert_eq(document.pf_count, 3u);
	const struct vf_pf_wish *pf = &document.pfs[0];
	cr_expect(pf->by_address && pf->address.bus == 1 && pf->eswitch == VF_ESWITCH_SWITCHDEV);
	cr_assert_eq(pf->vf_count, 4u);
	const struct vf_settings *s = &pf->vfs[0].settings;
	cr_expect_eq(s->given, VF_BIT(VF_TRUST) | VF_BIT(VF_VLAN) | VF_BIT(VF_QOS));
	cr_expect_str_eq(pf->vfs[3].driver, "dpdk");
	cr_expect_str_eq(pf->vfs[3].pool, "fast");
	cr_expect_eq(pf->vfs[3].msix, -1);
	s = &pf->vfs[2].settings;
	cr_expect_eq(s->vlan, 7, "the later rule");
	cr_expect_eq(s->qos, 2, "the earlier one, where the later says nothing");
	cr_expect_eq(s->proto, VF_PROTO_8021AD);
	cr_expect(s->spoofchk && s->state == VF_STATE_ENABLE && s->mac[5] == 2);
	cr_expect_eq(s->max_tx_rate, 100);
	cr_expect_eq(s->node_guid, 0x0011223344556677u);
	cr_expect_eq(pf->vfs[2].msix, 8);
	cr_expect_str_eq(pf->vfs[2].driver, "default");
	cr_expect_eq(pf->vfs[1].settings.given & VF_BIT(VF_MAC), 0u);
	cr_expect(document.pfs[1].by_mac && document.pfs[1].any_link);
	cr_expect_eq(document.pfs[1].vf_count, 0u);
	cr_expect_str_eq(document.pfs[2].serial, "b4-96-91-ff-ff-a5-12-34");
	document_free(&document);
}

/* What lies at the edge of what is refused below. */
Test(document_pf, just_right)
{
	struct document document;
	struct doc_error error;

	cr_assert_eq(load("version: 1\n"
			  "pfs:\n"
			  "  - pf: 01:00.0\n"
			  "    vfs: 3\n"
			  "    eswitch: legacy\n"
			  "    vf:\n"
			  "      - {index: 0, driver: vfio-pci, min_tx_rate: 9}\n"
			  "      - {index: 1-1, driver: my_driver, min_tx_rate: 9, max_tx_rate: 0,\n"
			  "         port_guid: '00:11:22:33:44:55:66:77'}\n"
			  "      - {index: 2, min_tx_rate: 9, max_tx_rate: 9}\n",
			  &document, &error), 0, "%u: %s", error.line, error.message);
	const struct vf_pf_wish *pf = &document.pfs[0];

	cr_expect_eq(pf->eswitch, VF_ESWITCH_LEGACY);
	cr_expect_str_eq(pf->vfs[0].driver, "vfio-pci");
	cr_expect_str_eq(pf->vfs[1].driver, "my_driver");
	cr_expect_eq(pf->vfs[1].settings.max_tx_rate, 0, "no limit");
	cr_expect_eq(pf->vfs[1].settings.port_guid, 0x0011223344556677u);
	cr_expect_eq(pf->vfs[2].settings.min_tx_rate, 9);
	document_free(&document);
}

Test(document_pf, read_wholly_or_not_at_all, .init = fault_json)
{
	for (unsigned n = 1; fault_round(n); n++) {
		struct document document = {0};
		struct doc_error error;

		fault_start(n, ENOMEM);
		int result = load(with_pfs, &document, &error);

		cr_assert_eq(result, fault_end() ? -ENOMEM : 0, "call %u: %s", n, error.message);
		document_free(&document);
	}
}

Test(document_pf, too_many)
{
	static char text[16384] = "version: 1\npfs:\n";
	struct document document = {0};
	struct doc_error error;

	for (size_t i = 0; i <= DOC_PFS_MAX; i++)
		strcat(text, "  - {pf: 01:00.0, vfs: 0}\n");
	cr_expect_eq(load(text, &document, &error), -EINVAL);
	cr_expect(strstr(error.message, "is not a list of at most"), "said '%s'", error.message);
}

Test(document_pf, refuses_with_line_and_reason)
{
	static const struct {
		const char *text;
		unsigned line; /* 0: what is not there has none */
		const char *reason;
	} cases[] = {
		{"  - {vfs: 1}", 0, "pfs[0].pf: is missing; a PF is named by one of"},
		{"  - {pf: eth0, vfs: 1}", 3, "pfs[0].pf: 'eth0' is not a PCI address"},
		{"  - {pf: 01:00.0, serial: x, vfs: 1}", 3, "pfs[0].pf: is not alone"},
		{"  - {pf: 01:00.0}", 0, "pfs[0].vfs: is missing"},
		{"  - {pf: 01:00.0, vfs: 513}", 3, "pfs[0].vfs: 513 is not from 0 to 512"},
		{"  - {pf: 01:00.0, vfs: 1, eswitch: none}", 3, "pfs[0].eswitch: 'none' is unknown"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {index: 2}", 6,
		 "pfs[0].vf[0].index: 2 is too high: there are 2 VFs"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {index: 1-0}", 6, "is not a number"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {index: -1}", 6, "is not a number"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {index: 0-1x}", 6, "is not a number"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {index: 0to1}", 6, "is not a number"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {index: 0-x}", 6, "is not a number"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {index: yes}", 6, "is not a number"},
		{"  - pf: 01:00.0\n    vfs: 0\n    vf:\n      - {trust: yes}", 0, "there are no VFs"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {mac: 02:00:00:00:00:01}", 6,
		 "is for one VF"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {node_guid: '00:11:22:33:44:55:66:77'}", 6,
		 "node_guid: is for one VF"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {port_guid: '00:11:22:33:44:55:66:77'}", 6,
		 "port_guid: is for one VF"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {qos: 1}", 6, "goes with a vlan"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {proto: 802.1ad}", 6,
		 "proto: goes with a vlan"},
		{"  - pf: 01:00.0\n    vfs: 2\n    vf:\n      - {vlan: 0, qos: 1}", 6,
		 "goes with a vlan that is not 0"},
		{"  - pf: 01:00.0\n    vfs: 1\n    vf:\n      - {min_tx_rate: 9, max_tx_rate: 8}", 6,
		 "is above max_tx_rate"},
		{"  - pf: 01:00.0\n    vfs: 1\n    vf:\n      - {driver: ../x}", 6,
		 "is not a driver's name"},
		{"  - pf: 01:00.0\n    vfs: 1\n    vf:\n      - {node_guid: 00:11}", 6, "is not a GUID"},
		{"  - pf: 01:00.0\n    vfs: 1\n    vf:\n      - {node_guid: 5}", 6, "is not a GUID"},
		{"  - pf: 01:00.0\n    vfs: 1\n    vf:\n      - {port_guid: '00:00:00:00:00:00:00:00'}", 6,
		 "is not a GUID"},
		{"  - pf: 01:00.0\n    vfs: 1\n    vf:\n      - {colour: red}", 6,
		 "pfs[0].vf[0].colour: is not a setting known here"},
		{"  - 7", 2, "entry 0 is a number, not an object"},
	};
	char text[400];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct document document = {0};
		struct doc_error error;

		snprintf(text, sizeof(text), "version: 1\npfs:\n%s\n", cases[i].text);
		cr_expect_eq(load(text, &document, &error), -EINVAL, "passed: %s", text);
		cr_expect(strstr(error.message, cases[i].reason), "'%s' instead of '%s'",
			  error.message, cases[i].reason);
		cr_expect_eq(error.line, cases[i].line, "line %u instead of %u: %s", error.line,
			     cases[i].line, error.message);
	}
}
