/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The document's section `pfs`: which VFs the adapters of this machine are to have, for
 * `outrigger vf apply`. Rules are laid over each other in their order, each for one VF, a
 * range, or all; what no rule says stays as it is on the machine. So a member that is
 * left out differs from one at its default, and each setting carries whether it was
 * given. Called by document.c; single-threaded.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "document_reader.h"

static_assert((int)DOC_PROTO_8021AD == (int)VF_PROTO_8021AD &&
		      (int)DOC_LINK_DISABLE == (int)VF_STATE_DISABLE,
	      "the words of the document are in the order of the manager's");

#define MSIX_MAX 2048 /* a table of MSI-X has no more */

struct rule {
	struct vf_settings settings;
	char driver[VF_NAME_BYTES], pool[VF_NAME_BYTES];
	int64_t msix;
};

#define AT(structure, member) .offset = offsetof(struct structure, member)

/* The settings first, each at the place of its key: that is how `given` is found. */
static const struct field rule_fields[] = {
	[VF_MAC] = {"mac", FIELD_MAC, AT(rule, settings.mac)},
	[VF_VLAN] = {"vlan", FIELD_INTEGER, AT(rule, settings.vlan), .maximum = 4094},
	[VF_QOS] = {"qos", FIELD_INTEGER, AT(rule, settings.qos), .maximum = 7},
	[VF_PROTO] = {"proto", FIELD_WORD, AT(rule, settings.proto), .words = doc_vlan_protos},
	[VF_SPOOFCHK] = {"spoofchk", FIELD_BOOLEAN, AT(rule, settings.spoofchk)},
	[VF_TRUST] = {"trust", FIELD_BOOLEAN, AT(rule, settings.trust)},
	[VF_STATE] = {"state", FIELD_WORD, AT(rule, settings.state), .words = doc_link_states},
	[VF_MIN_TX_RATE] = {"min_tx_rate", FIELD_INTEGER, AT(rule, settings.min_tx_rate),
			    .maximum = 800000},
	[VF_MAX_TX_RATE] = {"max_tx_rate", FIELD_INTEGER, AT(rule, settings.max_tx_rate),
			    .maximum = 800000},
	[VF_NODE_GUID] = {"node_guid", FIELD_GUID, AT(rule, settings.node_guid)},
	[VF_PORT_GUID] = {"port_guid", FIELD_GUID, AT(rule, settings.port_guid)},
	[VF_KEYS] = {"driver", FIELD_STRING, AT(rule, driver), .maximum = VF_NAME_BYTES - 1},
	{"msix", FIELD_INTEGER, AT(rule, msix), .minimum = 1, .maximum = MSIX_MAX, .fallback = -1},
	{"pool", FIELD_NAME, AT(rule, pool)},
	{NULL},
};
static_assert(VF_NAME_BYTES == DOC_NAME_BYTES, "a pool's name is a name");

struct head {
	char pf[DOC_STRING_BYTES], serial[24];
	uint8_t mac[6];
	int64_t vfs;
	int eswitch;
	bool any_link;
};

static const char *const eswitch_words[] = {"legacy", "switchdev", NULL};
static const struct field head_fields[] = {
	{"pf", FIELD_STRING, AT(head, pf), .maximum = DOC_STRING_BYTES - 1},
	{"mac", FIELD_MAC, AT(head, mac)},
	{"serial", FIELD_STRING, AT(head, serial), .maximum = 23},
	{"vfs", FIELD_INTEGER, AT(head, vfs), .required = true, .maximum = VF_PER_PF_MAX},
	{"eswitch", FIELD_WORD, AT(head, eswitch), .words = eswitch_words},
	{"any_link", FIELD_BOOLEAN, AT(head, any_link)},
	{NULL},
};

/* "3", "0-3", or left out: all. */
static int read_index(struct reader *r, json_t *object, unsigned count, unsigned *first,
		      unsigned *last)
{
	json_t *value = json_object_get(object, "index");
	const char *text = json_string_value(value);
	unsigned long from = (unsigned long)json_integer_value(value), to = from;
	bool good = json_is_integer(value) && json_integer_value(value) >= 0;
	char *end;

	*first = 0;
	*last = count - 1;
	if (!value)
		return 0;
	if (text && isdigit((unsigned char)*text)) {
		from = strtoul(text, &end, 10);
		good = *end == '-' && isdigit((unsigned char)end[1]);
		to = good ? strtoul(end + 1, &end, 10) : 0;
		good = good && !*end && from <= to;
	}
	if (!good)
		return reader_refuse(r, object, "index",
				     "is not a number such as 0, or a range such "
				     "as 0-3");
	if (to >= count)
		return reader_refuse(r, object, "index", "%lu is too high: there are %u VFs", to,
				     count);
	*first = (unsigned)from;
	*last = (unsigned)to;
	return 0;
}

/* What `rule` gives, over what the VF has from earlier rules. */
static void lay_over(struct vf_wish *wish, const struct rule *rule)
{
	for (unsigned key = 0; key < VF_KEYS; key++) {
		const struct field *f = &rule_fields[key];
		size_t bytes = f->type == FIELD_MAC ? 6 : f->type == FIELD_WORD ? sizeof(int)
			     : f->type == FIELD_BOOLEAN ? sizeof(bool) : sizeof(int64_t);
		size_t at = f->offset - offsetof(struct rule, settings);

		if (rule->settings.given & VF_BIT(key))
			memcpy((char *)&wish->settings + at, (const char *)&rule->settings + at,
			       bytes);
	}
	wish->settings.given |= rule->settings.given;
	if (rule->driver[0])
		memcpy(wish->driver, rule->driver, sizeof(wish->driver));
	if (rule->pool[0])
		memcpy(wish->pool, rule->pool, sizeof(wish->pool));
	if (rule->msix >= 0)
		wish->msix = rule->msix;
}

static int check_wish(struct reader *r, const json_t *object, const struct vf_wish *wish)
{
	const struct vf_settings *s = &wish->settings;
	unsigned of_vlan = VF_BIT(VF_QOS) | VF_BIT(VF_PROTO);

	if (s->given & of_vlan && !(s->given & VF_BIT(VF_VLAN)))
		return reader_refuse(r, object, s->given & VF_BIT(VF_QOS) ? "qos" : "proto",
				     "goes with a vlan");
	if (s->qos && !s->vlan)
		return reader_refuse(r, object, "qos", "goes with a vlan that is not 0");
	if (s->given & VF_BIT(VF_MIN_TX_RATE) && s->given & VF_BIT(VF_MAX_TX_RATE) &&
	    s->max_tx_rate && s->min_tx_rate > s->max_tx_rate)
		return reader_refuse(r, object, "min_tx_rate", "is above max_tx_rate");
	for (const char *c = wish->driver; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '-' && *c != '_')
			return reader_refuse(r, object, "driver", "'%s' is not a driver's name",
					     wish->driver);
	return 0;
}

static int read_rule(struct reader *r, json_t *object, struct vf_pf_wish *out)
{
	static const char *const also[] = {"index", NULL};
	struct rule rule = {0};
	unsigned first, last;
	int error;

	if (!out->vf_count)
		return reader_refuse(r, object, "index", "there are no VFs it could be about");
	error = reader_fields(r, object, rule_fields, &rule, also);
	if (!error)
		error = read_index(r, object, out->vf_count, &first, &last);
	if (error)
		return error;
	for (unsigned key = 0; key < VF_KEYS; key++)
		if (json_object_get(object, rule_fields[key].key))
			rule.settings.given |= VF_BIT(key);
	/* One address for several functions would be a fault on the wire. */
	for (unsigned key = 0; key < VF_KEYS && first != last; key++)
		if (rule.settings.given & VF_BIT(key) &&
		    (key == VF_MAC || key == VF_NODE_GUID || key == VF_PORT_GUID))
			return reader_refuse(r, object, rule_fields[key].key,
					     "is for one VF; give each its own, with its index");
	for (unsigned i = first; i <= last && !error; i++) {
		lay_over(&out->vfs[i], &rule);
		error = check_wish(r, object, &out->vfs[i]);
	}
	return error;
}

/* Which PF: by what does not change when another card is put in. */
static int take_head(struct reader *r, json_t *object, const struct head *head,
		     struct vf_pf_wish *out)
{
	int ways = !!json_object_get(object, "pf") + !!json_object_get(object, "mac") +
		   !!json_object_get(object, "serial");

	if (ways != 1)
		return reader_refuse(r, object, "pf", "%s; a PF is named by one of pf (its PCI "
				     "address), mac (its permanent one) and serial",
				     ways ? "is not alone" : "is missing");
	if (head->pf[0] && vf_address_parse(head->pf, &out->address))
		return reader_refuse(r, object, "pf", "'%.40s' is not a PCI address such as "
				     "0000:01:00.0; an interface's name is none, it may change",
				     head->pf);
	out->by_address = head->pf[0];
	out->by_mac = !!json_object_get(object, "mac");
	memcpy(out->mac, head->mac, sizeof(out->mac));
	memcpy(out->serial, head->serial, sizeof(out->serial));
	out->vf_count = (unsigned)head->vfs;
	out->any_link = head->any_link;
	if (json_object_get(object, "eswitch"))
		out->eswitch = head->eswitch ? VF_ESWITCH_SWITCHDEV : VF_ESWITCH_LEGACY;
	return 0;
}

int reader_pf(struct reader *r, json_t *object, struct vf_pf_wish *out)
{
	static const char *const also[] = {"vf", NULL};
	struct head head = {.pf = ""};
	json_t *rules = json_object_get(object, "vf"), *rule;
	int error = reader_fields(r, object, head_fields, &head, also);
	size_t i;

	if (!error)
		error = take_head(r, object, &head, out);
	if (error)
		return error;
	out->vfs = calloc(out->vf_count + 1u, sizeof(*out->vfs));
	if (!out->vfs)
		return -ENOMEM;
	for (i = 0; i < out->vf_count; i++)
		out->vfs[i].msix = -1;
	if (rules && !json_is_array(rules))
		return reader_refuse(r, object, "vf", "is %s, not a list", reader_kind_of(rules));
	json_array_foreach(rules, i, rule) {
		if (!json_is_object(rule))
			return reader_refuse(r, object, "vf", "entry %zu is %s, not an object", i,
					     reader_kind_of(rule));
		size_t before = reader_enter(r, "vf", (long)i);
		error = read_rule(r, rule, out);
		if (error)
			return error;
		reader_leave(r, before);
	}
	return 0;
}
