/* SPDX-License-Identifier: BSD-2-Clause */
/* YAML trees: values, lines, and each refusal with its line. */
#include "yaml_tree.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct yaml_tree *must_load(const char *text)
{
	struct yaml_tree *tree = NULL;
	struct yaml_error error;

	cr_assert_eq(yaml_tree_load(text, strlen(text), &tree, &error), 0, "line %u: %s in: %s",
		     error.line, error.message, text);
	return tree;
}

static void must_be(const char *text, const char *json)
{
	struct yaml_tree *tree = must_load(text);
	char *dump = json_dumps(yaml_tree_root(tree), JSON_COMPACT | JSON_ENCODE_ANY);

	cr_assert_str_eq(dump, json, "%s became %s", text, dump);
	free(dump);
	yaml_tree_free(tree);
}

Test(yaml_tree, scalars)
{
	must_be("[~, null, Null, NULL, ]", "[null,null,null,null]");
	must_be("a:\nb: ''", "{\"a\":null,\"b\":\"\"}");
	must_be("[true, True, TRUE, yes, Yes, on, ON]", "[true,true,true,true,true,true,true]");
	must_be("[false, FALSE, no, NO, off, Off]", "[false,false,false,false,false,false]");
	must_be("['yes', \"no\", 'null', '1', \"1.5\"]", "[\"yes\",\"no\",\"null\",\"1\",\"1.5\"]");
	must_be("[0, 12, -7, +9, 007, 0x1F, 0o17]", "[0,12,-7,9,7,31,15]");
	must_be("[9223372036854775807, -9223372036854775808]",
		"[9223372036854775807,-9223372036854775808]");
	must_be("[1.5, -.5, 2., 1e3, 1.E+2, 5e-1]", "[1.5,-0.5,2.0,1000.0,100.0,0.5]");
	must_be("[y, n, tRUE, 0b1, 0x, 0o8, -0x1, 1_000, 1e, ., +, -e1, e5, 1.2.3, 12:30:45]",
		"[\"y\",\"n\",\"tRUE\",\"0b1\",\"0x\",\"0o8\",\"-0x1\",\"1_000\",\"1e\",\".\",\"+\","
		"\"-e1\",\"e5\",\"1.2.3\",\"12:30:45\"]");
	must_be("mac: 02:00:00:00:00:01", "{\"mac\":\"02:00:00:00:00:01\"}");
	must_be("address: 10.77.0.1/24", "{\"address\":\"10.77.0.1/24\"}");
	must_be("|\n  two\n  lines\n", "\"two\\nlines\\n\"");
	must_be("\xef\xbb\xbf"
		"a: \xc3\xa4",
		"{\"a\":\"\xc3\xa4\"}");
	must_be("%YAML 1.1\n---\na: 1\n...\n", "{\"a\":1}");
}

/* A user's locale with a decimal comma changes nothing; C.UTF-8 is always there. */
Test(yaml_tree, numbers_do_not_depend_on_the_locale)
{
	static const char *const comma[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"};

	for (unsigned i = 0; i < 3 && !setlocale(LC_ALL, comma[i]); i++)
		;
	must_be("[1.5, 2.25]", "[1.5,2.25]");
}

Test(yaml_tree, json_is_yaml)
{
	must_be("{\"a\":[1,-2.5,true,null,{\"b\":\"c\"}],\"d\":{},\"e\":[]}",
		"{\"a\":[1,-2.5,true,null,{\"b\":\"c\"}],\"d\":{},\"e\":[]}");
	must_be("{\n\t\"a\": \"x\\ny\\/\\u00e4\"\n}\n", "{\"a\":\"x\\ny/\xc3\xa4\"}");
}

Test(yaml_tree, lines)
{
	struct yaml_tree *tree = must_load("# comment\n"          /* 1 */
					   "version: 1\n"         /* 2 */
					   "adapters:\n"          /* 3 */
					   "  - name: a\n"        /* 4 */
					   "    vfs: 2\n"         /* 5 */
					   "\n"                   /* 6 */
					   "  - {name: b,\n"      /* 7 */
					   "     vfs: 3}\n"       /* 8 */
					   "  -\n"                /* 9 */
					   "    - plain\n"        /* 10 */
					   "    - \"quoted\"\n"); /* 11 */
	json_t *root = yaml_tree_root(tree);
	json_t *adapters = json_object_get(root, "adapters");
	json_t *last = json_array_get(adapters, 2);

	cr_assert_eq(yaml_tree_line_of_key(tree, root, "version"), 2);
	cr_assert_eq(yaml_tree_line_of_key(tree, root, "adapters"), 3);
	cr_assert_eq(yaml_tree_line_of_index(tree, adapters, 0), 4);
	cr_assert_eq(yaml_tree_line_of_key(tree, json_array_get(adapters, 0), "vfs"), 5);
	cr_assert_eq(yaml_tree_line_of_index(tree, adapters, 1), 7);
	cr_assert_eq(yaml_tree_line_of_key(tree, json_array_get(adapters, 1), "name"), 7);
	cr_assert_eq(yaml_tree_line_of_key(tree, json_array_get(adapters, 1), "vfs"), 8);
	cr_assert_eq(yaml_tree_line_of_index(tree, last, 0), 10);
	cr_assert_eq(yaml_tree_line_of_index(tree, last, 1), 11);
	cr_assert_eq(yaml_tree_line_of_index(tree, last, 2), 0);
	cr_assert_eq(yaml_tree_line_of_index(tree, root, 0), 0);
	cr_assert_eq(yaml_tree_line_of_key(tree, root, "none"), 0);
	json_t *foreign = json_object();

	cr_assert_eq(yaml_tree_line_of_key(tree, foreign, "version"), 0);
	json_decref(foreign);
	yaml_tree_free(tree);
	yaml_tree_free(NULL);
}

static void must_refuse(const char *text, size_t bytes, unsigned line, const char *reason)
{
	struct yaml_tree *tree = NULL;
	struct yaml_error error;

	cr_assert_eq(yaml_tree_load(text, bytes, &tree, &error), -EINVAL, "accepted: %s", text);
	cr_assert_null(tree);
	cr_assert_eq(error.line, line, "line %u (%s) for: %s", error.line, error.message, text);
	cr_assert_not_null(strstr(error.message, reason), "\"%s\" for: %s", error.message, text);
}

Test(yaml_tree, refusals_name_the_line)
{
	static const struct {
		const char *text;
		unsigned line;
		const char *reason;
	} cases[] = {
		{"", 1, "empty"},
		{"# only a comment\n\n", 1, "empty"},
		{"a: 1\nb: &x 2\n", 2, "anchor"},
		{"a: &x\n  b: 1\n", 1, "anchor"},
		{"a:\n  - &x [1]\n", 2, "anchor"},
		{"&x a: 1\n", 1, "anchor"},
		{"a: 1\nb: *x\n", 2, "alias"},
		{"a: 1\n*x : 2\n", 2, "alias"},
		{"a: 1\nb: !!str 2\n", 2, "tag"},
		{"a: ! 2\n", 1, "tag"},
		{"a:\n- !mine {b: 1}\n", 2, "tag"},
		{"!!str a: 1\n", 1, "tag"},
		{"%TAG ! tag:x,2000:\n---\na: 1\n", 1, "tag"},
		{"a: 1\n<<: {b: 2}\n", 2, "merge"},
		{"a: 1\nb: 2\n\na: 3\n", 4, "\"a\" is there twice"},
		{"- {a: 1, \"a\": 2}\n", 1, "twice"},
		{"a: 1\n2: b\n", 2, "quotes"},
		{"on: 1\n", 1, "quotes"},
		{"~: 1\n", 1, "quotes"},
		{"a: 1\n? [b, c]\n: 1\n", 2, "key must be a string"},
		{"a: 1\n---\nb: 2\n", 2, "second document"},
		{"a: 99999999999999999999\n", 1, "too large"},
		{"a: [1,\n  0xffffffffffffffffff]\n", 2, "too large"},
		{"a: 1\nb: -1e999\n", 2, "too large"},
		{"a: .inf\n", 1, "finite"},
		{"a: 1\nb: -.NaN\n", 2, "finite"},
		{"a: \"x\\0y\"\n", 1, "NUL"},
		{"a: 1\n\"b\\0\": 1\n", 2, "NUL"},
		{"a: 1\nb: [1, 2\nc: 3\n", 3, ""},
		{"a: 1\n  b: 2\n", 2, ""},
		{"a: 1\n\tb: 2\n", 2, ""},
		{"a: \"unfinished\n", 2, "end of stream"},
		{"a: 1\nb: \xff\n", 2, "UTF-8"},
		{"a: 1\nb: \xed\xa0\x80\n", 2, "UTF-8"},
		{"a: 1\n\n\nb: \x01\n", 4, ""},
		{"{\"a\":\n\"\\ud83d\\ude00\"}", 2, "Unicode"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		must_refuse(cases[i].text, strlen(cases[i].text), cases[i].line, cases[i].reason);
	must_refuse("a: 1\nb: \0\n", 10, 2, "");
	must_refuse("\xff\xfe"
		    "a\0:\0 \0001\0",
		    10, 1, "UTF-8");
}

Test(yaml_tree, nesting)
{
	for (unsigned depth = YAML_TREE_DEPTH_MAX; depth <= YAML_TREE_DEPTH_MAX + 1; depth++) {
		char text[64] = "\n";

		for (unsigned i = 0; i < depth; i++)
			strcat(text, "[");
		for (unsigned i = 0; i < depth; i++)
			strcat(text, "]");
		if (depth == YAML_TREE_DEPTH_MAX)
			yaml_tree_free(must_load(text));
		else
			must_refuse(text, strlen(text), 2, "nested deeper than 16");
	}
	must_refuse("? ? ? ? ? ? a", 13, 1, "key must be a string");
}

Test(yaml_tree, size)
{
	char *text = malloc(YAML_TREE_BYTES_MAX + 1);
	struct yaml_tree *tree;
	struct yaml_error error;

	memset(text, 'x', YAML_TREE_BYTES_MAX + 1);
	cr_assert_eq(yaml_tree_load(text, YAML_TREE_BYTES_MAX, &tree, &error), 0);
	yaml_tree_free(tree);
	must_refuse(text, YAML_TREE_BYTES_MAX + 1, 0, "longer than 1048576 bytes");
	memset(text, '[', YAML_TREE_BYTES_MAX);
	must_refuse(text, YAML_TREE_BYTES_MAX, 1, "nested");
	free(text);
}

/* The line table with enough containers to need its order. */
Test(yaml_tree, many_containers)
{
	enum { COUNT = 3000 };
	char *text = malloc(COUNT * 16), *end = text;

	for (unsigned i = 0; i < COUNT; i++)
		end += sprintf(end, "- {n: %u}\n", i);
	struct yaml_tree *tree = must_load(text);
	json_t *root = yaml_tree_root(tree);

	for (unsigned i = 0; i < COUNT; i++) {
		cr_assert_eq(yaml_tree_line_of_key(tree, json_array_get(root, i), "n"), i + 1);
		cr_assert_eq(yaml_tree_line_of_index(tree, root, i), i + 1);
	}
	yaml_tree_free(tree);
	free(text);
}
