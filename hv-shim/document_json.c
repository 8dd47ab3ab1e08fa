/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes the document's structs back as JSON that document.c reads again: the
 * shim's saved state. A field at its fallback is left out.
 */
#include <stdio.h>
#include <string.h>

#include "document_schema.h"

static json_t *fields_to_json(const struct field *fields, const void *in);

static json_t *addresses_to_json(const char (*addresses)[DOC_STRING_BYTES])
{
	json_t *list = json_array();

	for (int i = 0; i < DOC_ADDRESSES_MAX && addresses[i][0]; i++)
		json_array_append_new(list, json_string(addresses[i]));
	return list;
}

static json_t *mac_to_json(const uint8_t *mac)
{
	static const uint8_t zero[6];
	char text[DOC_MAC_TEXT_BYTES];

	if (!memcmp(mac, zero, 6))
		return NULL;
	doc_mac_format(mac, text);
	return json_string(text);
}

/* NULL: nothing to write. */
static json_t *field_to_json(const struct field *f, const void *at)
{
	switch (f->type) {
	case FIELD_NAME:
	case FIELD_STRING:
	case FIELD_OWNER: return *(const char *)at ? json_string(at) : NULL;
	case FIELD_INTEGER:
	case FIELD_POWER:
	case FIELD_SIZE:
		return *(const int64_t *)at == f->fallback ? NULL : json_integer(*(const int64_t *)at);
	case FIELD_BOOLEAN: return json_boolean(*(const bool *)at);
	case FIELD_WORD: return json_string(f->words[*(const int *)at]);
	case FIELD_MAC: return mac_to_json(at);
	case FIELD_GUID: return NULL; /* of `pfs` only, which is not saved */
	case FIELD_ADDRESSES: return *(const char *)at ? addresses_to_json(at) : NULL;
	case FIELD_ADJUNCT:
		if (((const struct doc_adjunct *)at)->none)
			return json_string("none");
		return fields_to_json(doc_adjunct_fields, at);
	case FIELD_OBJECT: return fields_to_json(f->fields, at);
	}
	return NULL;
}

static json_t *fields_to_json(const struct field *fields, const void *in)
{
	json_t *object = json_object();

	for (const struct field *f = fields; f->key; f++) {
		json_t *value = field_to_json(f, (const char *)in + f->offset);
		if (value)
			json_object_set_new(object, f->key, value);
	}
	return object;
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
	json_t *devices = json_array();

	for (size_t i = 0; i < partition->device_count; i++)
		json_array_append_new(devices, doc_device_to_json(&partition->devices[i]));
	json_object_set_new(object, "devices", devices);
	json_t *regions = json_array();
	for (size_t i = 0; i < partition->region_count; i++)
		json_array_append_new(regions,
				      fields_to_json(doc_region_fields, &partition->regions[i]));
	json_object_set_new(object, "regions", regions);
	return object;
}
