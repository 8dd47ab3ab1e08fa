/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * YAML (and therefore JSON) text into a jansson tree, with the line of every
 * value, so that one validator serves files and the socket and can name lines.
 *
 * Plain scalars become null, booleans (true/false/yes/no/on/off), integers or
 * reals as in YAML 1.2's core schema plus yes/no/on/off; quoted ones stay
 * strings. Refused, with the line: anchors and aliases, tags, merge keys,
 * duplicate keys, keys that are not strings, several documents, nesting deeper
 * than YAML_TREE_DEPTH_MAX, text that is not UTF-8, over YAML_TREE_BYTES_MAX,
 * numbers that do not fit or are not finite, NUL characters, empty documents.
 *
 * Where JSON is not YAML 1.1: surrogate pairs (\ud83d\ude00) are refused, and
 * U+0085, U+2028 and U+2029 are line ends unless they are escaped.
 */
#ifndef YAML_TREE_H
#define YAML_TREE_H

#include <jansson.h>
#include <stddef.h>

#define YAML_TREE_DEPTH_MAX 16
#define YAML_TREE_BYTES_MAX (1u << 20)

struct yaml_tree;

struct yaml_error {
	unsigned line; /* from 1; 0: not known */
	char message[200];
};

/* 0; -EINVAL with *error filled; -ENOMEM. The text is not kept. */
int yaml_tree_load(const char *text, size_t text_bytes, struct yaml_tree **out,
		   struct yaml_error *error);
void yaml_tree_free(struct yaml_tree *tree); /* NULL is fine */

/* The root value; belongs to the tree. */
json_t *yaml_tree_root(const struct yaml_tree *tree);
/*
 * Line of the value (for objects: of the key) at `key` of an object, or at
 * `index` of an array, within the tree; 0 if it is not there.
 */
unsigned yaml_tree_line_of_key(const struct yaml_tree *tree, const json_t *object, const char *key);
unsigned yaml_tree_line_of_index(const struct yaml_tree *tree, const json_t *array, size_t index);

#endif
