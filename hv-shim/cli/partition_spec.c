/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "name=net0,kind=tap,adapter=soft0" into a device as the document has it. The
 * document's own tables say which keys there are, where each belongs and what
 * type it has; the daemon checks the values. Called by `partition create`, on
 * the program's one thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../document/document_schema.h"
#include "cli.h"
#include "output.h"

/* The objects of a device whose keys may be given, and where they are in it. */
static const struct {
	const struct field *fields;
	const char *object; /* NULL: the device itself */
} places[] = {
	{doc_device_fields, NULL},
	{doc_vf_fields, "vf"},
	{doc_adjunct_fields, "adjunct"},
};
#define PLACES (sizeof(places) / sizeof(places[0]))

static const struct field *find_in(const struct field *field, const char *key)
{
	for (; field->key; field++)
		if (field->type != FIELD_OBJECT && strcmp(field->key, key) == 0)
			return field;
	return NULL;
}

/* As many as fit: for the message about one that does not exist. */
static void list_keys(char *text, size_t bytes)
{
	size_t used = strlen(text);

	for (size_t place = 0; place < PLACES; place++) {
		for (const struct field *field = places[place].fields; field->key; field++) {
			if (field->type == FIELD_OBJECT || used >= bytes)
				continue;
			used += (size_t)snprintf(text + used, bytes - used, " %s", field->key);
		}
	}
}

static bool is_number(enum field_type type)
{
	return type == FIELD_INTEGER || type == FIELD_POWER;
}

static const char *wanted(enum field_type type)
{
	return type == FIELD_BOOLEAN ? "on or off" : is_number(type) ? "a number" : "UTF-8 text";
}

static json_t *value_of(const struct field *field, const char *text)
{
	char *end;
	long long number;

	if (is_number(field->type)) {
		errno = 0;
		number = strtoll(text, &end, 10);
		return end == text || *end || errno ? NULL : json_integer(number);
	}
	if (field->type == FIELD_BOOLEAN) {
		static const char *const yes[] = {"on", "yes", "true"};
		static const char *const no[] = {"off", "no", "false"};

		for (size_t i = 0; i < 3; i++) {
			if (strcmp(text, yes[i]) == 0)
				return json_true();
			if (strcmp(text, no[i]) == 0)
				return json_false();
		}
		return NULL;
	}
	return json_string(text);
}

/* A second value for the same key makes a list, where there may be one. */
static bool add_value(json_t *object, const struct field *field, json_t *value)
{
	json_t *before = json_object_get(object, field->key), *list;

	if (!before)
		return json_object_set_new(object, field->key, value) == 0;
	if (field->type != FIELD_ADDRESSES) {
		json_decref(value);
		return false;
	}
	if (json_is_array(before))
		return json_array_append_new(before, value) == 0;
	list = json_pack("[O, o]", before, value);
	return json_object_set_new(object, field->key, list) == 0;
}

/* The device itself, or the object in it; made when first needed. */
static json_t *object_at(json_t *device, size_t place)
{
	const char *name = places[place].object;
	json_t *object = name ? json_object_get(device, name) : device;

	if (!object) {
		object = json_object();
		output_put(device, name, object);
	}
	return object;
}

static int add_pair(json_t *device, char *pair, char *reason, size_t reason_bytes)
{
	char *text = strchr(pair, '=');
	const struct field *field = NULL;
	json_t *object, *value;
	size_t place;

	if (!text || text == pair || !text[1]) {
		snprintf(reason, reason_bytes, "\"%s\" is not of the form KEY=VALUE", pair);
		return -EINVAL;
	}
	*text++ = '\0';
	for (place = 0; place < PLACES; place++) {
		field = find_in(places[place].fields, pair);
		if (field)
			break;
	}
	if (!field) {
		snprintf(reason, reason_bytes, "there is no key \"%s\"; there are:", pair);
		list_keys(reason, reason_bytes);
		return -EINVAL;
	}
	value = value_of(field, text);
	if (!value) {
		snprintf(reason, reason_bytes, "%s: \"%s\" is not %s", pair, text,
			 wanted(field->type));
		return -EINVAL;
	}
	object = object_at(device, place);
	if (!json_is_object(object) || !add_value(object, field, value)) {
		if (!json_is_object(object))
			json_decref(value);
		snprintf(reason, reason_bytes, "%s is given twice, or beside adjunct=none", pair);
		return -EINVAL;
	}
	return 0;
}

int partition_spec_parse(const char *spec, json_t **device, char *reason, size_t reason_bytes)
{
	char *copy = strdup(spec), *rest = copy, *pair;
	int error = 0;

	*device = json_object();
	output_need(copy);
	output_need(*device);
	while (error == 0 && (pair = strsep(&rest, ",")))
		error = add_pair(*device, pair, reason, reason_bytes);
	free(copy);
	if (error < 0) {
		json_decref(*device);
		*device = NULL;
	}
	return error;
}
