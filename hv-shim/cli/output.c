/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Colours, tables and JSON of the program `outrigger`; see output.h. Called by
 * every command, on the program's one thread.
 */
#include "output.h"

#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"

static bool color_allowed, utf8;

void output_no_memory(void)
{
	fputs("outrigger: out of memory\n", stderr);
	exit(CLI_FAILED);
}

void output_need(bool there)
{
	if (!there)
		output_no_memory();
}

void output_put(json_t *object, const char *key, json_t *value)
{
	output_need(json_object_set_new(object, key, value) >= 0);
}

void output_add(json_t *list, json_t *value)
{
	output_need(json_array_append_new(list, value) >= 0);
}

bool output_is_terminal(FILE *stream)
{
	return isatty(fileno(stream));
}

void output_open(bool color)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	color_allowed = color && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
	utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

const char *output_symbol(const char *in_utf8, const char *ascii)
{
	return utf8 ? in_utf8 : ascii;
}

static struct winsize window(FILE *stream)
{
	struct winsize size = {0};

	if (ioctl(fileno(stream), TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
		size = (struct winsize){.ws_col = 80, .ws_row = 24};
	return size;
}

unsigned output_columns(FILE *stream)
{
	return window(stream).ws_col;
}

unsigned output_rows(FILE *stream)
{
	return window(stream).ws_row;
}

bool output_is_wide(void)
{
	return !output_is_terminal(stdout) || output_columns(stdout) >= 110;
}

static const char *const sequences[PAINTS] = {
	[PAINT_NONE] = "\033[0m",
	[PAINT_GOOD] = "\033[32m",
	[PAINT_BUSY] = "\033[33m",
	[PAINT_BAD] = "\033[31m",
	[PAINT_DIM] = "\033[2m",
	[PAINT_BOLD] = "\033[1m",
};

const char *output_paint(FILE *stream, enum paint paint)
{
	return color_allowed && output_is_terminal(stream) ? sequences[paint] : "";
}

enum paint output_state_paint(const char *state)
{
	static const struct {
		const char *state;
		enum paint paint;
	} paints[] = {
		{"running", PAINT_GOOD},  {"up", PAINT_GOOD},	 {"starting", PAINT_BUSY},
		{"stopping", PAINT_BUSY}, {"failed", PAINT_BAD}, {"down", PAINT_BAD},
	};

	for (size_t i = 0; i < sizeof(paints) / sizeof(paints[0]); i++)
		if (strcmp(paints[i].state, state) == 0)
			return paints[i].paint;
	return PAINT_NONE;
}

void output_text(FILE *stream, const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		/* U+0080 to U+009F control terminals too. */
		bool c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f;

		if (c1)
			c++;
		fputc(c1 || (*c < ' ' && *c != '\t' && *c != '\n') || *c == 0x7f ? '?' : *c,
		      stream);
	}
}

/* ---- Tables -------------------------------------------------------------- */

struct libscols_table *output_table(const struct output_column *columns)
{
	struct libscols_table *table = scols_new_table();

	output_need(table);
	scols_table_enable_colors(table, *output_paint(stdout, PAINT_BOLD) != '\0');
	scols_table_enable_ascii(table, !utf8);
	output_need(scols_table_set_column_separator(table, "  ") >= 0);
	for (; columns->name; columns++)
		output_need(scols_table_new_column(table, columns->name, 0, columns->flags));
	return table;
}

struct libscols_line *output_row(struct libscols_table *table, struct libscols_line *parent)
{
	struct libscols_line *row = scols_table_new_line(table, parent);

	output_need(row);
	return row;
}

__attribute__((format(printf, 4, 0)))
static void cell(struct libscols_line *row, unsigned column, enum paint paint, const char *format,
		 va_list arguments)
{
	char *text;

	output_need(vasprintf(&text, format, arguments) >= 0);
	output_need(scols_line_refer_data(row, column, text) >= 0);
	if (paint != PAINT_NONE)
		output_need(scols_cell_set_color(scols_line_get_cell(row, column),
						 sequences[paint]) >= 0);
}

void output_cell(struct libscols_line *row, unsigned column, enum paint paint, const char *format,
		 ...)
{
	va_list arguments;

	va_start(arguments, format);
	cell(row, column, paint, format, arguments);
	va_end(arguments);
}

char *output_table_string(struct libscols_table *table)
{
	char *text = NULL;

	/* Every row may be a root; libsmartcols answers NULL for an empty table. */
	output_need(scols_print_table_to_string(table, &text) >= 0);
	scols_unref_table(table);
	return text;
}

/* Columns are padded to their width: the last one needs no blanks after it. */
static void print_trimmed(const char *text)
{
	while (text && *text) {
		size_t length = strcspn(text, "\n"), shown = length;

		while (shown > 0 && text[shown - 1] == ' ')
			shown--;
		fwrite(text, 1, shown, stdout);
		fputc('\n', stdout);
		text += length + (text[length] == '\n');
	}
}

void output_table_print(struct libscols_table *table, const char *none)
{
	char *text;

	if (scols_table_get_nlines(table) == 0) {
		printf("%s\n", none);
		scols_unref_table(table);
		return;
	}
	text = output_table_string(table);
	print_trimmed(text);
	free(text);
}

struct libscols_table *output_facts(void)
{
	static const struct output_column columns[] = {{"what", 0}, {"value", 0}, {NULL, 0}};
	struct libscols_table *table = output_table(columns);

	scols_table_enable_noheadings(table, 1);
	return table;
}

void output_fact(struct libscols_table *facts, const char *name, enum paint paint,
		 const char *format, ...)
{
	struct libscols_line *row = output_row(facts, NULL);
	va_list arguments;

	output_cell(row, 0, PAINT_DIM, "%s", name);
	va_start(arguments, format);
	cell(row, 1, paint, format, arguments);
	va_end(arguments);
}

void output_trouble(const json_t *object, const char *owner, const char *name)
{
	static bool told;

	if (!value_is_set(object, "message"))
		return;
	/* Apart from the table above the first one. */
	printf("%s%s! %s%s%s:%s ", told ? "" : "\n", output_paint(stdout, PAINT_BAD),
	       owner ? owner : "", owner ? "/" : "", name, output_paint(stdout, PAINT_NONE));
	output_text(stdout, value_text(object, "message"));
	putchar('\n');
	told = true;
}

/* ---- JSON ---------------------------------------------------------------- */

json_t *output_json_new(void)
{
	json_t *json = json_pack("{s:i}", "version", CLI_JSON_VERSION);

	output_need(json);
	return json;
}

void output_json(FILE *stream, json_t *json, bool line)
{
	size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(6);

	flags |= output_is_terminal(stream) && !line ? JSON_INDENT(2) : JSON_COMPACT;
	/* A failing stream is noticed at the end, by main(). */
	if (json_dumpf(json, stream, flags) == 0)
		fputc('\n', stream);
	if (line)
		fflush(stream);
	json_decref(json);
}

int output_answer(struct varlink_answer *answer)
{
	json_t *json = output_json_new();

	output_need(json_object_update(json, answer->parameters) >= 0);
	output_put(json, "version", json_integer(CLI_JSON_VERSION));
	output_json(stdout, json, false);
	varlink_answer_clear(answer);
	return CLI_DONE;
}

void output_names(const char *key, char *const *names, unsigned count)
{
	json_t *json = output_json_new(), *list = json_array();

	for (unsigned i = 0; i < count; i++)
		output_add(list, json_string(names[i]));
	output_put(json, key, list);
	output_json(stdout, json, false);
}

const char *output_subject(const char *kind, const char *name)
{
	static char subject[200];

	snprintf(subject, sizeof(subject), "%s %s", kind, name);
	return subject;
}

unsigned output_redraw(const char *text, unsigned drawn)
{
	bool terminal = output_is_terminal(stdout);
	unsigned room = terminal ? output_rows(stdout) - 1 : UINT32_MAX, lines = 0;

	if (terminal && drawn)
		printf("\033[%uA\033[J", drawn);
	while (text && *text && lines < room) {
		size_t length = strcspn(text, "\n");

		fwrite(text, 1, length, stdout);
		putchar('\n');
		text += length + (text[length] == '\n');
		lines++;
	}
	fflush(stdout);
	return lines;
}

char *output_join(const json_t *list, const char *member)
{
	char *text = NULL, *longer;
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item) {
		const char *word = member ? value_text(item, member) : json_string_value(item);

		output_need(asprintf(&longer, "%s%s%s", text ? text : "", text ? ", " : "",
				     word ? word : "?") >= 0);
		free(text);
		text = longer;
	}
	if (!text)
		text = strdup("-");
	output_need(text);
	return text;
}
