/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a configuration document into plain structs, driven by the tables in
 * document_schema.c, then checks what no single field can say (names used
 * twice, addresses on a device that has no interface). Every refusal names the
 * path, the line and the reason.
 */
#include "document.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document_schema.h"
#include "net_layout.h"
#include "yaml_tree.h"

#define PATH_BYTES 128
#define REGION_UNIT_BYTES (INT64_C(1) << 20)

struct reader {
	const struct yaml_tree *tree; /* NULL when the value came by the socket */
	struct doc_error *error;
	char path[PATH_BYTES]; /* of the object being read, "partitions[0]." */
};

__attribute__((format(printf, 4, 5)))
static int refuse(struct reader *reader, const json_t *object, const char *key, const char *format,
		  ...)
{
	struct doc_error *error = reader->error;
	va_list arguments;

	error->line = reader->tree ? yaml_tree_line_of_key(reader->tree, object, key) : 0;
	int used = snprintf(error->message, sizeof(error->message), "%s%s: ", reader->path, key);
	if (used < 0 || (size_t)used >= sizeof(error->message))
		return -EINVAL;
	va_start(arguments, format);
	vsnprintf(error->message + used, sizeof(error->message) - (size_t)used, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* Enters "key." or "key[index]." for the life of one nested value. */
static size_t path_enter(struct reader *reader, const char *key, long index)
{
	size_t before = strlen(reader->path);

	if (index < 0)
		snprintf(reader->path + before, PATH_BYTES - before, "%s.", key);
	else
		snprintf(reader->path + before, PATH_BYTES - before, "%s[%ld].", key, index);
	return before;
}

static void path_leave(struct reader *reader, size_t before)
{
	reader->path[before] = '\0';
}

static const char *kind_of(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT: return "an object";
	case JSON_ARRAY: return "a list";
	case JSON_STRING: return "a string";
	case JSON_INTEGER: return "a number";
	case JSON_REAL: return "a fraction";
	case JSON_TRUE:
	case JSON_FALSE: return "a yes or no";
	default: return "nothing";
	}
}

/* ---- One field ---------------------------------------------------------- */

static int read_name(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		     char *out)
{
	/* A name of digits only is a number to YAML; it is a fine name all the same. */
	char digits[DOC_NAME_BYTES];
	const char *text = json_string_value(value);

	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		text = digits;
	}
	if (!text)
		return refuse(r, object, f->key, "is %s, not a name", kind_of(value));
	if (!doc_name_valid(text))
		return refuse(r, object, f->key,
			      "'%.40s' is not a name: 1 to %d of a-z, 0-9, '-', '_', starting with a "
			      "letter or digit", text, DOC_NAME_BYTES - 1);
	strcpy(out, text);
	return 0;
}

static int read_string(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		       char *out)
{
	const char *text = json_string_value(value);

	if (!text)
		return refuse(r, object, f->key, "is %s, not a string", kind_of(value));
	if (!*text || strlen(text) > (size_t)f->maximum)
		return refuse(r, object, f->key, "is not 1 to %lld characters long",
			      (long long)f->maximum);
	for (const char *c = text; *c; c++)
		if (!isgraph((unsigned char)*c))
			return refuse(r, object, f->key, "has a blank or unprintable character");
	strcpy(out, text);
	return 0;
}

static int read_integer(struct reader *r, const json_t *object, const struct field *f,
			json_t *value, int64_t *out)
{
	if (!json_is_integer(value))
		return refuse(r, object, f->key, "is %s, not a whole number", kind_of(value));
	json_int_t number = json_integer_value(value);
	if (number < f->minimum || number > f->maximum)
		return refuse(r, object, f->key, "%lld is not from %lld to %lld", (long long)number,
			      (long long)f->minimum, (long long)f->maximum);
	if (f->type == FIELD_POWER && (number & (number - 1)))
		return refuse(r, object, f->key, "%lld is not a power of two", (long long)number);
	*out = number;
	return 0;
}

static int read_size(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		     int64_t *out)
{
	const char *text = json_string_value(value);
	char *end = NULL;
	long long number = json_integer_value(value);
	int shift = 0;

	if (text) {
		errno = 0;
		number = strtoll(text, &end, 10);
		shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
		if (end == text || errno || (shift && end[1]) || (!shift && *end))
			return refuse(r, object, f->key, "'%.40s' is not a size such as 32M", text);
	} else if (!json_is_integer(value)) {
		return refuse(r, object, f->key, "is %s, not a size such as 32M", kind_of(value));
	}
	if (number < 0 || number > (f->maximum >> shift) || (number << shift) < f->minimum)
		return refuse(r, object, f->key, "is not from %lldM to %lldM",
			      (long long)(f->minimum >> 20), (long long)(f->maximum >> 20));
	*out = number << shift;
	return 0;
}

static int read_word(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		     int *out)
{
	const char *text = json_string_value(value);
	char choices[100] = "";

	for (int i = 0; f->words[i]; i++) {
		if (text && !strcmp(text, f->words[i])) {
			*out = i;
			return 0;
		}
		snprintf(choices + strlen(choices), sizeof(choices) - strlen(choices), "%s%s",
			 i ? ", " : "", f->words[i]);
	}
	if (!text)
		return refuse(r, object, f->key, "is %s; choose one of: %s", kind_of(value), choices);
	return refuse(r, object, f->key, "'%.40s' is unknown; choose one of: %s", text, choices);
}

static int read_mac(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		    uint8_t *out)
{
	static const uint8_t zero[6];
	const char *text = json_string_value(value);
	uint8_t mac[6];

	if (!text || doc_mac_parse(text, mac))
		return refuse(r, object, f->key, "is not an address such as 02:00:00:00:00:01");
	if ((mac[0] & 1) || !memcmp(mac, zero, 6))
		return refuse(r, object, f->key, "%s is not a unicast address", text);
	memcpy(out, mac, 6);
	return 0;
}

static bool cidr_valid(const char *text)
{
	char host[DOC_STRING_BYTES];
	uint8_t address[16];
	const char *slash = strchr(text, '/');
	char *end;

	if (!slash || slash == text || (size_t)(slash - text) >= sizeof(host) || !isdigit(slash[1]))
		return false;
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = '\0';
	unsigned long prefix = strtoul(slash + 1, &end, 10);
	if (*end)
		return false;
	if (inet_pton(AF_INET, host, address) == 1)
		return prefix <= 32;
	return inet_pton(AF_INET6, host, address) == 1 && prefix <= 128;
}

static int read_addresses(struct reader *r, const json_t *object, const struct field *f,
			  json_t *value, char (*out)[DOC_STRING_BYTES])
{
	size_t count = json_is_array(value) ? json_array_size(value) : 1;

	if (count > DOC_ADDRESSES_MAX)
		return refuse(r, object, f->key, "lists more than %d addresses", DOC_ADDRESSES_MAX);
	for (size_t i = 0; i < count; i++) {
		json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
		const char *text = json_string_value(item);

		if (!text || strlen(text) >= DOC_STRING_BYTES || !cidr_valid(text))
			return refuse(r, object, f->key,
				      "'%.60s' is not an address with its prefix, such as 10.0.0.1/24",
				      text ? text : kind_of(item));
		strcpy(out[i], text);
	}
	return 0;
}

static int read_owner(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		      char *out)
{
	const char *text = json_string_value(value);

	if (json_is_integer(value) && json_integer_value(value) >= 0 &&
	    json_integer_value(value) < UINT32_MAX) {
		snprintf(out, DOC_NAME_BYTES, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		return 0;
	}
	if (!text || !*text || strlen(text) >= DOC_NAME_BYTES)
		return refuse(r, object, f->key, "is not a user name or a user id");
	strcpy(out, text);
	return 0;
}

static int read_fields(struct reader *r, json_t *object, const struct field *fields, void *out,
		       const char *const *also);

static int read_adjunct(struct reader *r, const json_t *object, const struct field *f,
			json_t *value, struct doc_adjunct *out)
{
	if (json_is_string(value) && !strcmp(json_string_value(value), "none")) {
		out->none = true;
		return 0;
	}
	if (!json_is_object(value))
		return refuse(r, object, f->key, "is %s; it takes an object, or none", kind_of(value));
	size_t before = path_enter(r, f->key, -1);
	int error = read_fields(r, value, doc_adjunct_fields, out, NULL);
	path_leave(r, before);
	return error;
}

static int read_field(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		      void *out)
{
	switch (f->type) {
	case FIELD_NAME: return read_name(r, object, f, value, out);
	case FIELD_STRING: return read_string(r, object, f, value, out);
	case FIELD_POWER:
	case FIELD_INTEGER: return read_integer(r, object, f, value, out);
	case FIELD_WORD: return read_word(r, object, f, value, out);
	case FIELD_MAC: return read_mac(r, object, f, value, out);
	case FIELD_SIZE: return read_size(r, object, f, value, out);
	case FIELD_ADDRESSES: return read_addresses(r, object, f, value, out);
	case FIELD_OWNER: return read_owner(r, object, f, value, out);
	case FIELD_ADJUNCT: return read_adjunct(r, object, f, value, out);
	case FIELD_BOOLEAN:
		if (!json_is_boolean(value))
			return refuse(r, object, f->key, "is %s, not yes or no", kind_of(value));
		*(bool *)out = json_is_true(value);
		return 0;
	case FIELD_OBJECT:
		break;
	}
	if (!json_is_object(value))
		return refuse(r, object, f->key, "is %s, not an object", kind_of(value));
	size_t before = path_enter(r, f->key, -1);
	int error = read_fields(r, value, f->fields, out, NULL);
	path_leave(r, before);
	return error;
}

static void set_fallbacks(const struct field *fields, void *out)
{
	for (const struct field *f = fields; f->key; f++) {
		void *at = (char *)out + f->offset;

		if (f->type == FIELD_INTEGER || f->type == FIELD_POWER || f->type == FIELD_SIZE)
			*(int64_t *)at = f->fallback;
		else if (f->type == FIELD_BOOLEAN)
			*(bool *)at = f->fallback != 0;
		else if (f->type == FIELD_OBJECT)
			set_fallbacks(f->fields, at);
	}
}

/* Reads `object` into `out` (zeroed by the caller); `also` are more keys that may stand there. */
static int read_fields(struct reader *r, json_t *object, const struct field *fields, void *out,
		       const char *const *also)
{
	const char *key;
	json_t *value;
	size_t i;

	set_fallbacks(fields, out);
	json_object_foreach(object, key, value) {
		const struct field *f = fields;

		while (f->key && strcmp(f->key, key))
			f++;
		if (!f->key) {
			for (i = 0; also && also[i] && strcmp(key, also[i]); i++)
				;
			if (also && also[i])
				continue;
			return refuse(r, object, key, "is not a setting known here");
		}
		int error = read_field(r, object, f, value, (char *)out + f->offset);
		if (error)
			return error;
	}
	for (const struct field *f = fields; f->key; f++)
		if (f->required && !json_object_get(object, f->key))
			return refuse(r, object, f->key, "is missing");
	return 0;
}

/* ---- What no single field can say --------------------------------------- */

static bool ifname_valid(const char *name)
{
	return strcmp(name, ".") && strcmp(name, "..") && !strpbrk(name, "/:%");
}

static int check_device(struct reader *r, const json_t *object, struct doc_device *device)
{
	if (device->kind != ADJ_PORT_TAP && device->addresses[0][0])
		return refuse(r, object, "address", "only a tap device has addresses");
	if (device->kind != ADJ_PORT_TAP && device->ifname[0])
		return refuse(r, object, "ifname", "only a tap device has an interface name");
	if (device->kind != ADJ_PORT_NATIVE && device->ring_entries)
		return refuse(r, object, "ring_entries", "only a native device has rings");
	if (device->vf.qos && !device->vf.vlan)
		return refuse(r, object, "vf", "qos goes with a vlan");
	if (device->vf.promisc && !device->vf.trust)
		return refuse(r, object, "vf", "promisc needs trust: yes");
	if (device->vf.max_tx_rate && device->vf.min_tx_rate > device->vf.max_tx_rate)
		return refuse(r, object, "vf", "min_tx_rate is above max_tx_rate");
	if (device->kind == ADJ_PORT_NATIVE && !device->ring_entries)
		device->ring_entries = NET_RING_ENTRIES_DEFAULT;
	if (device->kind == ADJ_PORT_TAP && !device->ifname[0]) {
		if (strlen(device->name) >= DOC_IFNAME_BYTES)
			return refuse(r, object, "name",
				      "'%s' is too long for an interface name; give an ifname",
				      device->name);
		strcpy(device->ifname, device->name);
	}
	if (device->kind == ADJ_PORT_TAP && (!ifname_valid(device->ifname) || !strcmp(device->ifname, "lo")))
		return refuse(r, object, "ifname", "'%s' cannot name an interface", device->ifname);
	return 0;
}

static int read_devices(struct reader *r, json_t *object, struct doc_partition *partition)
{
	json_t *list = json_object_get(object, "devices");

	if (!list)
		return 0;
	if (!json_is_array(list))
		return refuse(r, object, "devices", "is %s, not a list", kind_of(list));
	if (json_array_size(list) > DOC_DEVICES_MAX)
		return refuse(r, object, "devices", "lists more than %d", DOC_DEVICES_MAX);
	partition->devices = calloc(json_array_size(list) + 1, sizeof(*partition->devices));
	if (!partition->devices)
		return -ENOMEM;
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct doc_device *device = &partition->devices[i];
		json_t *item = json_array_get(list, i);

		if (!json_is_object(item))
			return refuse(r, object, "devices", "entry %zu is %s, not an object", i,
				      kind_of(item));
		size_t before = path_enter(r, "devices", (long)i);
		int error = read_fields(r, item, doc_device_fields, device, NULL);
		if (!error)
			error = check_device(r, item, device);
		for (size_t j = 0; j < i && !error; j++) {
			const struct doc_device *other = &partition->devices[j];

			if (!strcmp(other->name, device->name))
				error = refuse(r, item, "name", "'%s' is used twice", device->name);
			else if (device->ifname[0] && !strcmp(other->ifname, device->ifname))
				error = refuse(r, item, "ifname", "'%s' is used twice", device->ifname);
		}
		if (error)
			return error;
		path_leave(r, before);
		partition->device_count++;
	}
	return 0;
}

static struct doc_region *region_find(struct doc_partition *partition, const char *name)
{
	for (size_t i = 0; i < partition->region_count; i++)
		if (!strcmp(partition->regions[i].name, name))
			return &partition->regions[i];
	return NULL;
}

static int read_regions(struct reader *r, json_t *object, struct doc_partition *partition)
{
	json_t *list = json_object_get(object, "regions");

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > DOC_REGIONS_MAX)
		return refuse(r, object, "regions", "is not a list of at most %d", DOC_REGIONS_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct doc_region region = {0};
		json_t *item = json_array_get(list, i);

		if (!json_is_object(item))
			return refuse(r, object, "regions", "entry %zu is %s, not an object", i,
				      kind_of(item));
		size_t before = path_enter(r, "regions", (long)i);
		int error = read_fields(r, item, doc_region_fields, &region, NULL);
		if (!error && region_find(partition, region.name))
			error = refuse(r, item, "name", "'%s' is used twice", region.name);
		if (!error && region.size_bytes % REGION_UNIT_BYTES)
			error = refuse(r, item, "size", "is not a whole number of MiB");
		if (error)
			return error;
		path_leave(r, before);
		partition->regions[partition->region_count++] = region;
	}
	return 0;
}

/* A region can be given away once, and whole. */
static int check_donations(struct reader *r, const json_t *object, struct doc_partition *partition)
{
	for (size_t i = 0; i < partition->device_count; i++) {
		struct doc_adjunct *adjunct = &partition->devices[i].adjunct;
		const struct doc_region *region = region_find(partition, adjunct->donate);

		if (!adjunct->donate[0])
			continue;
		if (!region)
			return refuse(r, object, "devices", "%s donates '%s', which is no region of this "
				      "partition", partition->devices[i].name, adjunct->donate);
		for (size_t j = 0; j < i; j++)
			if (!strcmp(partition->devices[j].adjunct.donate, adjunct->donate))
				return refuse(r, object, "devices", "%s and %s both donate '%s'",
					      partition->devices[j].name, partition->devices[i].name,
					      adjunct->donate);
		if (adjunct->memory_bytes && adjunct->memory_bytes != region->size_bytes)
			return refuse(r, object, "devices", "%s donates '%s' and asks for another size; "
				      "leave memory out", partition->devices[i].name, adjunct->donate);
		adjunct->memory_bytes = region->size_bytes;
	}
	return 0;
}

static int read_partition(struct reader *r, json_t *object, struct doc_partition *partition)
{
	static const char *const lists[] = {"regions", "devices", NULL};
	int error = read_fields(r, object, doc_partition_fields, partition, lists);

	if (!error)
		error = read_regions(r, object, partition);
	if (!error)
		error = read_devices(r, object, partition);
	return error ? error : check_donations(r, object, partition);
}

static int read_adapter(struct reader *r, json_t *object, struct doc_adapter *adapter)
{
	int error = read_fields(r, object, doc_adapter_fields, adapter, NULL);

	if (error)
		return error;
	if (adapter->kind == DOC_ADAPTER_DPDK && !adapter->device[0])
		return refuse(r, object, "device", "is missing; a dpdk adapter needs one, such as "
			      "0000:01:10.0 or net_ring0");
	if (adapter->kind == DOC_ADAPTER_DPDK && adapter->vfs != 1)
		return refuse(r, object, "vfs", "a dpdk adapter is one function");
	if (adapter->kind != DOC_ADAPTER_DPDK && adapter->device[0])
		return refuse(r, object, "device", "goes with kind: dpdk only");
	return 0;
}

/* ---- The whole ------------------------------------------------------------ */

static int read_list(struct reader *r, json_t *root, const char *key, size_t maximum,
		     struct document *out)
{
	json_t *list = json_object_get(root, key);
	bool adapters = !strcmp(key, "adapters");

	if (!list)
		return 0;
	if (!json_is_array(list))
		return refuse(r, root, key, "is %s, not a list", kind_of(list));
	size_t count = json_array_size(list);
	if (count > maximum)
		return refuse(r, root, key, "lists more than %zu", maximum);
	if (adapters)
		out->adapters = calloc(count + 1, sizeof(*out->adapters));
	else
		out->partitions = calloc(count + 1, sizeof(*out->partitions));
	if (adapters ? !out->adapters : !out->partitions)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		json_t *item = json_array_get(list, i);
		int error;

		if (!json_is_object(item))
			return refuse(r, root, key, "entry %zu is %s, not an object", i, kind_of(item));
		size_t before = path_enter(r, key, (long)i);
		if (adapters) {
			error = read_adapter(r, item, &out->adapters[i]);
			for (size_t j = 0; j < i && !error; j++)
				if (!strcmp(out->adapters[j].name, out->adapters[i].name))
					error = refuse(r, item, "name", "'%s' is used twice",
						       out->adapters[i].name);
			out->adapter_count++;
		} else {
			error = read_partition(r, item, &out->partitions[i]);
			for (size_t j = 0; j < i && !error; j++)
				if (!strcmp(out->partitions[j].name, out->partitions[i].name))
					error = refuse(r, item, "name", "'%s' is used twice",
						       out->partitions[i].name);
			out->partition_count++;
		}
		if (error)
			return error;
		path_leave(r, before);
	}
	return 0;
}

static int read_document(struct reader *r, json_t *root, struct document *out)
{
	static const struct field version = {"version", FIELD_INTEGER, .minimum = DOC_VERSION,
					     .maximum = DOC_VERSION};
	static const char *const known[] = {"version", "adapters", "partitions"};
	int64_t number;
	const char *key;
	json_t *value;

	if (!json_is_object(root)) {
		snprintf(r->error->message, sizeof(r->error->message),
			 "the document is %s; it must be an object with version, adapters, partitions",
			 root ? kind_of(root) : "empty");
		return -EINVAL;
	}
	json_object_foreach(root, key, value) {
		bool found = false;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			found |= !strcmp(key, known[i]);
		if (!found)
			return refuse(r, root, key, "is not a setting known here");
	}
	value = json_object_get(root, "version");
	if (!value)
		return refuse(r, root, "version", "is missing; this program reads version: %d",
			      DOC_VERSION);
	int error = read_integer(r, root, &version, value, &number);
	if (!error)
		error = read_list(r, root, "adapters", DOC_ADAPTERS_MAX, out);
	if (!error)
		error = read_list(r, root, "partitions", DOC_PARTITIONS_MAX, out);
	return error;
}

int document_load(const char *text, size_t text_bytes, struct document *out,
		  struct doc_error *error)
{
	struct yaml_error yaml_error = {0};
	struct yaml_tree *tree = NULL;
	struct document document = {0};

	*error = (struct doc_error){0};
	int result = yaml_tree_load(text, text_bytes, &tree, &yaml_error);
	if (result) {
		error->line = yaml_error.line;
		snprintf(error->message, sizeof(error->message), "%s", yaml_error.message);
		return result;
	}
	struct reader reader = {.tree = tree, .error = error};
	result = read_document(&reader, yaml_tree_root(tree), &document);
	yaml_tree_free(tree);
	if (result)
		document_free(&document);
	else
		*out = document;
	return result;
}

int document_load_partition(json_t *object, struct doc_partition *out, struct doc_error *error)
{
	struct reader reader = {.error = error};
	struct doc_partition partition = {0};

	*error = (struct doc_error){0};
	int result = read_partition(&reader, object, &partition);
	if (result)
		doc_partition_free(&partition);
	else
		*out = partition;
	return result;
}

void doc_partition_free(struct doc_partition *partition)
{
	free(partition->devices);
	*partition = (struct doc_partition){0};
}

void document_free(struct document *document)
{
	for (size_t i = 0; i < document->partition_count; i++)
		doc_partition_free(&document->partitions[i]);
	free(document->partitions);
	free(document->adapters);
	*document = (struct document){0};
}
