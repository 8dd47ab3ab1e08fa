/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How `outrigger` prints: colours only where a person looks, tables by
 * libsmartcols, SI units, JSON for programs, and text from elsewhere with its
 * control characters taken out. One thread. Memory that cannot be had ends the
 * program with a message and exit status 1.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <jansson.h>
#include <libsmartcols.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Looks at the terminal, the locale and NO_COLOR; `color` false: never colours. */
void output_open(bool color);
bool output_is_terminal(FILE *stream);
unsigned output_columns(FILE *stream); /* of the terminal, 80 if it does not say */
unsigned output_rows(FILE *stream);
/* To standard output, on a terminal over the lines drawn before, cut to what the screen
 * has. Answers with the lines drawn. */
unsigned output_redraw(const char *text, unsigned drawn);
/* Room for a table's less important columns: a wide terminal, or a file. */
bool output_is_wide(void);
/* `utf8` where the terminal can show it, else `ascii`. */
const char *output_symbol(const char *utf8, const char *ascii);

enum paint { PAINT_NONE, PAINT_GOOD, PAINT_BUSY, PAINT_BAD, PAINT_DIM, PAINT_BOLD, PAINTS };
/* The sequence that begins a colour on `stream`, or ends it (PAINT_NONE); "" without colours. */
const char *output_paint(FILE *stream, enum paint paint);
/* "running" is good, "starting" is busy, ... */
enum paint output_state_paint(const char *state);

/* Text of others: control characters become "?". */
void output_text(FILE *stream, const char *text);

/* ---- Tables -------------------------------------------------------------- */

struct output_column {
	const char *name; /* an array ends with NULL */
	int flags;        /* SCOLS_FL_* */
};
struct libscols_table *output_table(const struct output_column *columns);
struct libscols_line *output_row(struct libscols_table *table, struct libscols_line *parent);
void output_cell(struct libscols_line *row, unsigned column, enum paint paint,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Prints and frees it; `none` is printed instead of a table without rows. */
void output_table_print(struct libscols_table *table, const char *none);
/* Into a string that the caller frees; the table is freed. */
char *output_table_string(struct libscols_table *table);
/* A table of two columns without headings: what, and its value. */
struct libscols_table *output_facts(void);
void output_fact(struct libscols_table *facts, const char *name, enum paint paint,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* "! red/net0: the port did not open" if the object has a message; `owner` may be NULL. */
void output_trouble(const json_t *object, const char *owner, const char *name);

/* ---- Values -------------------------------------------------------------- */

/* A member of an object; "-", 0, false where it is absent, null or of another type. */
const char *value_text(const json_t *object, const char *key);
int64_t value_number(const json_t *object, const char *key);
bool value_true(const json_t *object, const char *key);
bool value_is_set(const json_t *object, const char *key);

struct unit_text {
	char text[32];
};
struct unit_text unit_si(double value);         /* 1.23 M */
struct unit_text unit_bytes(int64_t bytes);     /* 14.2 MB, powers of ten */
struct unit_text unit_memory(int64_t bytes);    /* 32 MiB, powers of two */
struct unit_text unit_duration(int64_t ns);     /* 3 min 5 s */

/* ---- JSON ---------------------------------------------------------------- */

/* {"version": 1}, to which the command adds its members. */
json_t *output_json_new(void);
/* Prints and releases it: one line, or indented where a person looks and `line` is false. */
void output_json(FILE *stream, json_t *json, bool line);

struct varlink_answer;
/* The daemon's answer as it is, with our version; the answer is emptied. CLI_DONE. */
int output_answer(struct varlink_answer *answer);
/* {"version": 1, "created": ["red"]} */
void output_names(const char *key, char *const *names, unsigned count);
/* "partition red": valid until the next call. */
const char *output_subject(const char *kind, const char *name);

/* What has run out ends the program, which has nothing to undo. */
void output_no_memory(void) __attribute__((noreturn));
/* The same unless `there`: what was just made, or what a call answered. */
void output_need(bool there);
/* A member, an item that is added and given away; they are as good as there. */
void output_put(json_t *object, const char *key, json_t *value);
void output_add(json_t *list, json_t *value);

/* The texts of a list, or of a member of its objects, joined by ", "; "-" for none. The
 * caller frees it. */
char *output_join(const json_t *list, const char *member);

#endif
