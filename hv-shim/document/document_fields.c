/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads one object of the document, driven by a table: each field by its type,
 * then what is missing. Called by document.c; single-threaded.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document_reader.h"

int reader_refuse(struct reader *reader, const json_t *object, const char *key, const char *format,
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
size_t reader_enter(struct reader *reader, const char *key, long index)
{
	size_t before = strlen(reader->path);

	if (index < 0)
		snprintf(reader->path + before, READER_PATH_BYTES - before, "%s.", key);
	else
		snprintf(reader->path + before, READER_PATH_BYTES - before, "%s[%ld].", key, index);
	return before;
}

void reader_leave(struct reader *reader, size_t before)
{
	reader->path[before] = '\0';
}

const char *reader_kind_of(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a number";
	case JSON_REAL:
		return "a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a yes or no";
	default:
		return "nothing";
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
		snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(value));
		text = digits;
	}
	if (!text)
		return reader_refuse(r, object, f->key, "is %s, not a name", reader_kind_of(value));
	if (!doc_name_valid(text))
		return reader_refuse(
			r, object, f->key,
			"'%.40s' is not a name: 1 to %d of a-z, 0-9, '-', '_', starting with a "
			"letter or digit",
			text, DOC_NAME_BYTES - 1);
	strcpy(out, text);
	return 0;
}

static int read_string(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		       char *out)
{
	const char *text = json_string_value(value);

	if (!text)
		return reader_refuse(r, object, f->key, "is %s, not a string",
				     reader_kind_of(value));
	if (!*text || strlen(text) > (size_t)f->maximum)
		return reader_refuse(r, object, f->key, "is not 1 to %lld characters long",
				     (long long)f->maximum);
	for (const char *c = text; *c; c++)
		if (!isgraph((unsigned char)*c))
			return reader_refuse(r, object, f->key,
					     "has a blank or unprintable character");
	strcpy(out, text);
	return 0;
}

int reader_integer(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		   int64_t *out)
{
	if (!json_is_integer(value))
		return reader_refuse(r, object, f->key, "is %s, not a whole number",
				     reader_kind_of(value));
	json_int_t number = json_integer_value(value);
	if (number < f->minimum || number > f->maximum)
		return reader_refuse(r, object, f->key, "%lld is not from %lld to %lld",
				     (long long)number, (long long)f->minimum,
				     (long long)f->maximum);
	if (f->type == FIELD_POWER && (number & (number - 1)))
		return reader_refuse(r, object, f->key, "%lld is not a power of two",
				     (long long)number);
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
			return reader_refuse(r, object, f->key, "'%.40s' is not a size such as 32M",
					     text);
	} else if (!json_is_integer(value)) {
		return reader_refuse(r, object, f->key, "is %s, not a size such as 32M",
				     reader_kind_of(value));
	}
	if (number < 0 || number > (f->maximum >> shift) || (number << shift) < f->minimum)
		return reader_refuse(r, object, f->key, "is not from %lldM to %lldM",
				     (long long)(f->minimum >> 20), (long long)(f->maximum >> 20));
	*out = number << shift;
	return 0;
}

/* "50%" or "12.5%", in thousandths of a processor; -1: it is not of that form. */
static int64_t parse_percent(const char *text)
{
	int64_t tenths = 0;
	const char *c = text;

	for (; isdigit((unsigned char)*c) && tenths <= DOC_CPUS_MAX; c++)
		tenths = 10 * tenths + (*c - '0');
	if (c == text)
		return -1;
	tenths *= 10;
	if (*c == '.' && isdigit((unsigned char)c[1])) {
		tenths += c[1] - '0';
		c += 2;
	}
	return strcmp(c, "%") ? -1 : tenths;
}

/* How many processors: 1.5. */
static int64_t count_processors(double number)
{
	const double milli = number * 1000;

	/* Beyond the limits, whatever they are: the caller says so. */
	if (milli < 0 || milli > DOC_CPUS_MAX)
		return milli < 0 ? 0 : DOC_CPUS_MAX + 1;
	int64_t rounded = (int64_t)(milli + 0.5);
	return milli - (double)rounded < 1e-6 && (double)rounded - milli < 1e-6 ? rounded : -1;
}

static int read_cpus(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		     int64_t *out)
{
	char least[DOC_CPUS_TEXT_BYTES], most[DOC_CPUS_TEXT_BYTES];
	int64_t cpus_milli = json_is_string(value)   ? parse_percent(json_string_value(value))
			     : json_is_number(value) ? count_processors(json_number_value(value))
						     : -1;

	if (cpus_milli < 0)
		return reader_refuse(r, object, f->key,
				     "is not a share of processors: write 50%% for half of one, or 1.5 "
				     "(thousandths of one are the smallest parts)");
	doc_cpus_format(f->minimum, least);
	doc_cpus_format(f->maximum, most);
	if (cpus_milli < f->minimum || cpus_milli > f->maximum)
		return reader_refuse(r, object, f->key, "is not from %s to %s of a processor", least,
				     most);
	*out = cpus_milli;
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
		return reader_refuse(r, object, f->key, "is %s; choose one of: %s",
				     reader_kind_of(value), choices);
	return reader_refuse(r, object, f->key, "'%.40s' is unknown; choose one of: %s", text,
			     choices);
}

static int read_mac(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		    uint8_t *out)
{
	static const uint8_t zero[6];
	const char *text = json_string_value(value);
	uint8_t mac[6];

	if (!text || doc_mac_parse(text, mac))
		return reader_refuse(r, object, f->key,
				     "is not an address such as 02:00:00:00:00:01");
	if ((mac[0] & 1) || !memcmp(mac, zero, 6))
		return reader_refuse(r, object, f->key, "%s is not a unicast address", text);
	memcpy(out, mac, 6);
	return 0;
}

static int read_guid(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		     uint64_t *out)
{
	const char *text = json_string_value(value);

	if (!text || vf_guid_parse(text, out) || !*out)
		return reader_refuse(r, object, f->key,
				     "is not a GUID such as 00:11:22:33:44:55:66:77");
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
		return reader_refuse(r, object, f->key, "lists more than %d addresses",
				     DOC_ADDRESSES_MAX);
	for (size_t i = 0; i < count; i++) {
		json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
		const char *text = json_string_value(item);

		if (!text || strlen(text) >= DOC_STRING_BYTES || !cidr_valid(text))
			return reader_refuse(
				r, object, f->key,
				"'%.60s' is not an address with its prefix, such as 10.0.0.1/24",
				text ? text : reader_kind_of(item));
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
		return reader_refuse(r, object, f->key, "is not a user name or a user id");
	strcpy(out, text);
	return 0;
}

static int read_adjunct(struct reader *r, const json_t *object, const struct field *f,
			json_t *value, struct doc_adjunct *out)
{
	if (json_is_string(value) && !strcmp(json_string_value(value), "none")) {
		out->none = true;
		return 0;
	}
	if (!json_is_object(value))
		return reader_refuse(r, object, f->key, "is %s; it takes an object, or none",
				     reader_kind_of(value));
	size_t before = reader_enter(r, f->key, -1);
	int error = reader_fields(r, value, doc_adjunct_fields, out, NULL);
	reader_leave(r, before);
	return error;
}

static int read_field(struct reader *r, const json_t *object, const struct field *f, json_t *value,
		      void *out)
{
	switch (f->type) {
	case FIELD_NAME:
		return read_name(r, object, f, value, out);
	case FIELD_STRING:
		return read_string(r, object, f, value, out);
	case FIELD_POWER:
	case FIELD_INTEGER:
		return reader_integer(r, object, f, value, out);
	case FIELD_WORD:
		return read_word(r, object, f, value, out);
	case FIELD_MAC:
		return read_mac(r, object, f, value, out);
	case FIELD_GUID:
		return read_guid(r, object, f, value, out);
	case FIELD_SIZE:
		return read_size(r, object, f, value, out);
	case FIELD_CPUS:
		return read_cpus(r, object, f, value, out);
	case FIELD_ADDRESSES:
		return read_addresses(r, object, f, value, out);
	case FIELD_OWNER:
		return read_owner(r, object, f, value, out);
	case FIELD_ADJUNCT:
		return read_adjunct(r, object, f, value, out);
	case FIELD_BOOLEAN:
		if (!json_is_boolean(value))
			return reader_refuse(r, object, f->key, "is %s, not yes or no",
					     reader_kind_of(value));
		*(bool *)out = json_is_true(value);
		return 0;
	case FIELD_OBJECT:
		break;
	}
	if (!json_is_object(value))
		return reader_refuse(r, object, f->key, "is %s, not an object",
				     reader_kind_of(value));
	size_t before = reader_enter(r, f->key, -1);
	int error = reader_fields(r, value, f->fields, out, NULL);
	reader_leave(r, before);
	return error;
}

static void set_fallbacks(const struct field *fields, void *out)
{
	for (const struct field *f = fields; f->key; f++) {
		void *at = (char *)out + f->offset;

		if (f->type == FIELD_INTEGER || f->type == FIELD_POWER || f->type == FIELD_SIZE ||
		    f->type == FIELD_CPUS)
			*(int64_t *)at = f->fallback;
		else if (f->type == FIELD_BOOLEAN)
			*(bool *)at = f->fallback != 0;
		else if (f->type == FIELD_OBJECT)
			set_fallbacks(f->fields, at);
	}
}

/* Reads `object` into `out` (zeroed by the caller); `also` are more keys that may stand there. */
int reader_fields(struct reader *r, json_t *object, const struct field *fields, void *out,
		  const char *const *also)
{
	const char *key;
	json_t *value;
	size_t i;

	set_fallbacks(fields, out);
	json_object_foreach (object, key, value) {
		const struct field *f = fields;

		while (f->key && strcmp(f->key, key))
			f++;
		if (!f->key) {
			for (i = 0; also && also[i] && strcmp(key, also[i]); i++)
				;
			if (also && also[i])
				continue;
			return reader_refuse(r, object, key, "is not a setting known here");
		}
		int error = read_field(r, object, f, value, (char *)out + f->offset);
		if (error)
			return error;
	}
	for (const struct field *f = fields; f->key; f++)
		if (f->required && !json_object_get(object, f->key))
			return reader_refuse(r, object, f->key, "is missing");
	return 0;
}
