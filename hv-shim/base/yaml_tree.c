/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libyaml's events into a jansson tree; see yaml_tree.h. Called by the daemon
 * when a document is applied, by the image loader for manifests, and by tests,
 * on the caller's thread; a tree is independent of all others.
 *
 * Lines are kept beside the tree: for each object or array a jansson value of
 * the same shape that holds numbers, found by the container's address in a
 * table that is sorted once, after loading.
 */
#include "yaml_tree.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct container_lines {
	const json_t *container;
	json_t *lines; /* object: key to line; array: lines */
};

struct yaml_tree {
	json_t *root;
	struct container_lines *table;
	size_t count, capacity;
};

struct loader {
	yaml_parser_t parser;
	yaml_event_t event; /* the current one; must be deleted before the next */
	struct yaml_tree *tree;
	struct yaml_error *error;
	locale_t c_locale; /* numbers are read with a point, whatever the user's locale */
	const char *text;
	size_t text_bytes;
};

static int refuse(struct loader *loader, size_t line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(struct loader *loader, size_t line, const char *format, ...)
{
	va_list arguments;

	loader->error->line = (unsigned)line;
	va_start(arguments, format);
	vsnprintf(loader->error->message, sizeof(loader->error->message), format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* libyaml counts lines from 0. */
static size_t event_line(const struct loader *loader)
{
	return loader->event.start_mark.line + 1;
}

static size_t line_of_offset(const struct loader *loader, size_t offset)
{
	size_t line = 1;

	for (size_t i = 0; i < offset && i < loader->text_bytes; i++)
		line += loader->text[i] == '\n';
	return line;
}

static int next_event(struct loader *loader)
{
	yaml_parser_t *parser = &loader->parser;

	yaml_event_delete(&loader->event);
	if (yaml_parser_parse(parser, &loader->event))
		return 0;
	switch (parser->error) {
	case YAML_MEMORY_ERROR:
		return -ENOMEM;
	case YAML_READER_ERROR: /* has an offset only; the text is bytes we hold */
		return refuse(loader, line_of_offset(loader, parser->problem_offset),
			      "the text is not UTF-8 (%s)", parser->problem);
	default:
		if (parser->context)
			return refuse(loader, parser->problem_mark.line + 1, "%s %s",
				      parser->problem, parser->context);
		return refuse(loader, parser->problem_mark.line + 1, "%s", parser->problem);
	}
}

/* ---- Scalars ----------------------------------------------------------- */

/* YAML 1.2 core schema words, and 1.1's yes, no, on, off. */
static json_t *plain_word(const char *text)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
	static const char *const trues[] = {"true", "True", "TRUE", "yes", "Yes",
					    "YES",  "on",   "On",   "ON"};
	static const char *const falses[] = {"false", "False", "FALSE", "no", "No",
					     "NO",    "off",   "Off",   "OFF"};

	for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++)
		if (!strcmp(text, nulls[i]))
			return json_null();
	for (size_t i = 0; i < sizeof(trues) / sizeof(trues[0]); i++) {
		if (!strcmp(text, trues[i]))
			return json_true();
		if (!strcmp(text, falses[i]))
			return json_false();
	}
	return NULL;
}

static const char *skip_digits(const char *text)
{
	return text + strspn(text, "0123456789");
}

static bool is_sign(char c)
{
	return c == '+' || c == '-';
}

/* The base of a core-schema integer, or 0. */
static int integer_base(const char *text)
{
	if (!strncmp(text, "0x", 2) && text[2] &&
	    !text[2 + strspn(text + 2, "0123456789abcdefABCDEF")])
		return 16;
	if (!strncmp(text, "0o", 2) && text[2] && !text[2 + strspn(text + 2, "01234567")])
		return 8;
	const char *digits = text + is_sign(*text);

	return *digits && !*skip_digits(digits) ? 10 : 0;
}

/* [-+]? ( .digits | digits (.digits?)? ) ( [eE][-+]?digits )? */
static bool is_real(const char *text)
{
	const char *start = text + is_sign(*text);
	const char *end = skip_digits(start);
	size_t digits = (size_t)(end - start);

	if (*end == '.') {
		const char *fraction = end + 1;

		end = skip_digits(fraction);
		digits += (size_t)(end - fraction);
	}
	if (!digits)
		return false;
	if (*end == 'e' || *end == 'E') {
		end += 1 + is_sign(end[1]);
		if (end == skip_digits(end))
			return false;
		end = skip_digits(end);
	}
	return !*end;
}

static bool is_not_finite(const char *text)
{
	text += is_sign(*text);
	return !strcmp(text, ".inf") || !strcmp(text, ".Inf") || !strcmp(text, ".INF") ||
	       !strcmp(text, ".nan") || !strcmp(text, ".NaN") || !strcmp(text, ".NAN");
}

/* A plain scalar's value in *out, NULL if it is a string: 0, -EINVAL, -ENOMEM. */
static int plain_value(struct loader *loader, const char *text, json_t **out)
{
	int base = integer_base(text);

	*out = plain_word(text);
	if (*out)
		return 0;
	errno = 0;
	if (base) {
		long long value = strtoll(base == 10 ? text : text + 2, NULL, base);

		if (errno)
			return refuse(loader, event_line(loader), "%.40s: the number is too large",
				      text);
		*out = json_integer(value);
		return *out ? 0 : -ENOMEM;
	}
	if (is_real(text)) {
		double value = strtod_l(text, NULL, loader->c_locale);

		if (!isfinite(value))
			return refuse(loader, event_line(loader), "%.40s: the number is too large",
				      text);
		*out = json_real(value);
		return *out ? 0 : -ENOMEM;
	}
	if (is_not_finite(text))
		return refuse(loader, event_line(loader), "%.40s: not a finite number", text);
	return 0;
}

static int load_scalar(struct loader *loader, json_t **out)
{
	const char *text = (const char *)loader->event.data.scalar.value;
	size_t length = loader->event.data.scalar.length;

	*out = NULL;
	if (strlen(text) != length)
		return refuse(loader, event_line(loader), "a string with a NUL character");
	if (loader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		int r = plain_value(loader, text, out);

		if (r < 0 || *out)
			return r;
	}
	*out = json_stringn(text, length);
	return *out ? 0 : -ENOMEM;
}

/* ---- Containers -------------------------------------------------------- */

/* Begins a container's line record; its index in the table, or -ENOMEM. */
static ssize_t lines_begin(struct yaml_tree *tree, const json_t *container, json_t *lines)
{
	if (tree->count == tree->capacity) {
		size_t capacity = tree->capacity ? tree->capacity * 2 : 32;
		void *larger = reallocarray(tree->table, capacity, sizeof(tree->table[0]));

		if (larger) {
			tree->table = larger;
			tree->capacity = capacity;
		}
	}
	if (!container || !lines || tree->count == tree->capacity) {
		json_decref(lines);
		return -ENOMEM;
	}
	tree->table[tree->count] = (struct container_lines){.container = container, .lines = lines};
	return (ssize_t)tree->count++;
}

static int check_plain_node(struct loader *loader, const yaml_char_t *anchor,
			    const yaml_char_t *tag)
{
	if (anchor)
		return refuse(loader, event_line(loader), "anchors (&%.40s) are not accepted",
			      anchor);
	if (tag)
		return refuse(loader, event_line(loader), "tags (%.40s) are not accepted", tag);
	return 0;
}

static int load_value(struct loader *loader, unsigned depth, json_t **out);

static int load_sequence(struct loader *loader, unsigned depth, json_t *array)
{
	json_t *lines = json_array();
	ssize_t record = lines_begin(loader->tree, array, lines);

	if (record < 0)
		return -ENOMEM;
	for (;;) {
		json_t *value;
		int r = next_event(loader);

		if (r < 0 || loader->event.type == YAML_SEQUENCE_END_EVENT)
			return r;
		json_int_t line = (json_int_t)event_line(loader);

		r = load_value(loader, depth + 1, &value);
		if (r < 0)
			return r;
		if (json_array_append_new(array, value) ||
		    json_array_append_new(lines, json_integer(line)))
			return -ENOMEM;
	}
}

/* The current event as a key of `object`, copied to *out (the caller frees it). */
static int load_key(struct loader *loader, const json_t *object, char **out)
{
	json_t *key;

	if (loader->event.type == YAML_ALIAS_EVENT)
		return refuse(loader, event_line(loader), "aliases (*%.40s) are not accepted",
			      loader->event.data.alias.anchor);
	if (loader->event.type != YAML_SCALAR_EVENT)
		return refuse(loader, event_line(loader), "a key must be a string");
	int r = check_plain_node(loader, loader->event.data.scalar.anchor,
				 loader->event.data.scalar.tag);

	if (!r)
		r = load_scalar(loader, &key);
	if (r < 0)
		return r;
	const char *name = json_string_value(key);

	if (!name)
		r = refuse(loader, event_line(loader),
			   "a key must be a string: put \"%.40s\" in quotes",
			   loader->event.data.scalar.value);
	else if (!strcmp(name, "<<") && loader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		r = refuse(loader, event_line(loader), "merge keys (<<) are not accepted");
	else if (json_object_get(object, name))
		r = refuse(loader, event_line(loader), "\"%.100s\" is there twice", name);
	else if (!(*out = strdup(name)))
		r = -ENOMEM;
	json_decref(key);
	return r;
}

static int load_pair(struct loader *loader, unsigned depth, json_t *object, json_t *lines)
{
	char *key = NULL;
	json_t *value;
	json_int_t line = (json_int_t)event_line(loader);
	int r = load_key(loader, object, &key);

	if (!r)
		r = next_event(loader);
	if (!r)
		r = load_value(loader, depth + 1, &value);
	if (!r && (json_object_set_new(object, key, value) ||
		   json_object_set_new(lines, key, json_integer(line))))
		r = -ENOMEM;
	free(key);
	return r;
}

static int load_mapping(struct loader *loader, unsigned depth, json_t *object)
{
	json_t *lines = json_object();

	if (lines_begin(loader->tree, object, lines) < 0)
		return -ENOMEM;
	for (;;) {
		int r = next_event(loader);

		if (!r && loader->event.type == YAML_MAPPING_END_EVENT)
			return 0;
		if (!r)
			r = load_pair(loader, depth, object, lines);
		if (r < 0)
			return r;
	}
}

/* The value that begins with the current event. *out only on success. */
static int load_value(struct loader *loader, unsigned depth, json_t **out)
{
	const yaml_event_t *event = &loader->event;
	json_t *value = NULL;
	int r;

	switch (event->type) {
	case YAML_SCALAR_EVENT:
		r = check_plain_node(loader, event->data.scalar.anchor, event->data.scalar.tag);
		return r < 0 ? r : load_scalar(loader, out);
	case YAML_SEQUENCE_START_EVENT:
		r = check_plain_node(loader, event->data.sequence_start.anchor,
				     event->data.sequence_start.tag);
		break;
	case YAML_MAPPING_START_EVENT:
		r = check_plain_node(loader, event->data.mapping_start.anchor,
				     event->data.mapping_start.tag);
		break;
	case YAML_ALIAS_EVENT:
		return refuse(loader, event_line(loader), "aliases (*%.40s) are not accepted",
			      event->data.alias.anchor);
	default:
		return refuse(loader, event_line(loader), "a value was expected");
	}
	if (!r && depth > YAML_TREE_DEPTH_MAX)
		r = refuse(loader, event_line(loader), "nested deeper than %d",
			   YAML_TREE_DEPTH_MAX);
	if (r < 0)
		return r;
	if (event->type == YAML_SEQUENCE_START_EVENT) {
		value = json_array();
		r = load_sequence(loader, depth, value);
	} else {
		value = json_object();
		r = load_mapping(loader, depth, value);
	}
	if (r < 0)
		json_decref(value);
	else
		*out = value;
	return r;
}

/* ---- The document ------------------------------------------------------ */

static int load_document(struct loader *loader)
{
	yaml_event_t *event = &loader->event;
	int r = next_event(loader); /* stream start */

	if (!r)
		r = next_event(loader);
	if (r < 0)
		return r;
	if (event->type == YAML_STREAM_END_EVENT)
		return refuse(loader, 1, "the document is empty");
	if (event->data.document_start.tag_directives.start !=
	    event->data.document_start.tag_directives.end)
		return refuse(loader, event_line(loader), "tags (%%TAG) are not accepted");
	r = next_event(loader);
	if (!r)
		r = load_value(loader, 1, &loader->tree->root);
	if (!r)
		r = next_event(loader); /* document end */
	if (!r)
		r = next_event(loader);
	if (!r && event->type != YAML_STREAM_END_EVENT)
		r = refuse(loader, event_line(loader), "a second document; one is accepted");
	return r;
}

static int compare_containers(const void *a, const void *b)
{
	uintptr_t left = (uintptr_t)((const struct container_lines *)a)->container;
	uintptr_t right = (uintptr_t)((const struct container_lines *)b)->container;

	return (left > right) - (left < right);
}

int yaml_tree_load(const char *text, size_t text_bytes, struct yaml_tree **out,
		   struct yaml_error *error)
{
	struct loader loader = {.error = error, .text = text, .text_bytes = text_bytes};
	int r = -ENOMEM;

	*error = (struct yaml_error){0};
	if (text_bytes > YAML_TREE_BYTES_MAX)
		return refuse(&loader, 0, "the document is longer than %u bytes",
			      YAML_TREE_BYTES_MAX);
	loader.tree = calloc(1, sizeof(*loader.tree));
	loader.c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
	if (!loader.tree || !loader.c_locale)
		goto out;
	if (!yaml_parser_initialize(&loader.parser))
		goto out;
	yaml_parser_set_encoding(&loader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&loader.parser, (const unsigned char *)text, text_bytes);
	r = load_document(&loader);
	yaml_event_delete(&loader.event);
	yaml_parser_delete(&loader.parser);
	if (!r && loader.tree->count)
		qsort(loader.tree->table, loader.tree->count, sizeof(loader.tree->table[0]),
		      compare_containers);
out:
	if (loader.c_locale)
		freelocale(loader.c_locale);
	if (r < 0)
		yaml_tree_free(loader.tree);
	else
		*out = loader.tree;
	return r;
}

void yaml_tree_free(struct yaml_tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->count; i++)
		json_decref(tree->table[i].lines);
	free(tree->table);
	json_decref(tree->root);
	free(tree);
}

json_t *yaml_tree_root(const struct yaml_tree *tree)
{
	return tree->root;
}

static const json_t *lines_of(const struct yaml_tree *tree, const json_t *container)
{
	struct container_lines wanted = {.container = container};
	const struct container_lines *found = NULL;

	if (tree->count)
		found = bsearch(&wanted, tree->table, tree->count, sizeof(wanted),
				compare_containers);
	return found ? found->lines : NULL;
}

unsigned yaml_tree_line_of_key(const struct yaml_tree *tree, const json_t *object, const char *key)
{
	return (unsigned)json_integer_value(json_object_get(lines_of(tree, object), key));
}

unsigned yaml_tree_line_of_index(const struct yaml_tree *tree, const json_t *array, size_t index)
{
	return (unsigned)json_integer_value(json_array_get(lines_of(tree, array), index));
}
