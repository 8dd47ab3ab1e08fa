/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes the document's structs back as JSON that document.c reads again: the
 * shim's saved state. A field at its fallback is left out. What could not be
 * written whole is not written at all: a device that is missing from the saved
 * state would be lost with the next shim. Event-loop thread.
 */
#include <string.h>

#include "document_schema.h"

/* jansson takes neither a NULL value nor a NULL list or object, and says so: errors
 * are gathered on the way, and end here. */
static json_t *whole_or_nothing(json_t *value, int errors)
{
	if (!errors)
		return value;
	json_decref(value);
	return NULL;
}

static json_t *addresses_to_json(const char (*addresses)[DOC_STRING_BYTES])
{
	json_t *list = json_array();
	int errors = 0;

	for (int i = 0; i < DOC_ADDRESSES_MAX && addresses[i][0]; i++)
		errors |= json_array_append_new(list, json_string(addresses[i]));
	return whole_or_nothing(list, errors);
}

static json_t *mac_to_json(const uint8_t *mac)
{
	char text[DOC_MAC_TEXT_BYTES];

	doc_mac_format(mac, text);
	return json_string(text);
}

static json_t *cpus_to_json(int64_t cpus_milli)
{
	char text[DOC_CPUS_TEXT_BYTES];

	doc_cpus_format(cpus_milli, text);
	return json_string(text);
}

static bool field_is_left_out(const struct field *f, const void *at)
{
	static const uint8_t no_mac[6];

	switch (f->type) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_OWNER:
	case FIELD_ADDRESSES: return !*(const char *)at;
	case FIELD_INTEGER:
	case FIELD_POWER:
	case FIELD_CPUS:
	case FIELD_SIZE: return *(const int64_t *)at == f->fallback;
	case FIELD_MAC: return !memcmp(at, no_mac, sizeof(no_mac));
	case FIELD_BOOLEAN:
	case FIELD_WORD:
	case FIELD_ADJUNCT:
	case FIELD_OBJECT: return false;
	case FIELD_GUID: return true; /* of `pfs` only, which is not saved */
	}
	return false;
}

static json_t *fields_to_json(const struct field *fields, const void *in);

static json_t *field_to_json(const struct field *f, const void *at)
{
	switch (f->type) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_OWNER: return json_string(at);
	case FIELD_INTEGER:
	case FIELD_POWER:
	case FIELD_SIZE: return json_integer(*(const int64_t *)at);
	case FIELD_BOOLEAN: return json_boolean(*(const bool *)at);
	case FIELD_WORD: return json_string(f->words[*(const int *)at]);
	case FIELD_CPUS: return cpus_to_json(*(const int64_t *)at);
	case FIELD_MAC: return mac_to_json(at);
	case FIELD_ADDRESSES: return addresses_to_json(at);
	case FIELD_ADJUNCT:
		if (((const struct doc_adjunct *)at)->none)
			return json_string("none");
		return fields_to_json(doc_adjunct_fields, at);
	case FIELD_OBJECT: return fields_to_json(f->fields, at);
	case FIELD_GUID: break; /* left out */
	}
	return NULL;
}

static json_t *fields_to_json(const struct field *fields, const void *in)
{
	json_t *object = json_object();
	int errors = object ? 0 : -1;

	for (const struct field *f = fields; f->key; f++) {
		const void *at = (const char *)in + f->offset;

		if (!field_is_left_out(f, at))
			errors |= json_object_set_new(object, f->key, field_to_json(f, at));
	}
	return whole_or_nothing(object, errors);
}

json_t *doc_adapter_to_json(const struct doc_adapter *adapter)
{
	return fields_to_json(doc_adapter_fields, adapter);
}

json_t *doc_device_to_json(const struct doc_device *device)
{
	return fields_to_json(doc_device_fields, device);
}

json_t *doc_partition_to_json(const struct doc_partition *partition)
{
	json_t *object = fields_to_json(doc_partition_fields, partition);
	json_t *devices = json_array(), *regions = json_array();
	int errors = 0;

	for (size_t i = 0; i < partition->device_count; i++)
		errors |= json_array_append_new(devices, doc_device_to_json(&partition->devices[i]));
	for (size_t i = 0; i < partition->region_count; i++)
		errors |= json_array_append_new(regions, fields_to_json(doc_region_fields,
									&partition->regions[i]));
	errors |= json_object_set_new(object, "devices", devices);
	errors |= json_object_set_new(object, "regions", regions);
	return whole_or_nothing(object, errors);
}
