/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: the YAML loader. Demanded: every value has a line that the text
 * has, a refusal has a reason and such a line, and what was loaded, written as
 * JSON in ASCII, is either refused (YAML has no surrogate pairs, and no keys
 * over 1,024 characters) or loads as the same tree.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "yaml_tree.h"

static unsigned last_line; /* of the current input */

static void check_lines(const struct yaml_tree *tree, json_t *value)
{
	const char *key;
	json_t *child;
	size_t index;

	json_object_foreach (value, key, child) {
		unsigned line = yaml_tree_line_of_key(tree, value, key);

		FUZZ_DEMAND(line >= 1 && line <= last_line);
		check_lines(tree, child);
	}
	json_array_foreach (value, index, child) {
		unsigned line = yaml_tree_line_of_index(tree, value, index);

		FUZZ_DEMAND(line >= 1 && line <= last_line);
		check_lines(tree, child);
	}
}

static void check_as_json(json_t *root)
{
	char *text = json_dumps(root, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	struct yaml_tree *tree;
	struct yaml_error error;

	FUZZ_DEMAND(text);
	if (!yaml_tree_load(text, strlen(text), &tree, &error)) {
		FUZZ_DEMAND(json_equal(yaml_tree_root(tree), root));
		yaml_tree_free(tree);
	}
	free(text);
}

/* Line ends as YAML 1.1 counts them: CR, LF, CR LF, NEL, LS, PS. Never fewer. */
static unsigned count_lines(const uint8_t *data, size_t size)
{
	unsigned lines = 2; /* an error at the end stands one line further */

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n' || data[i] == '\r' || data[i] == 0x85 || data[i] == 0xa8 ||
			 data[i] == 0xa9;
	return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct yaml_tree *tree = NULL;
	struct yaml_error error;
	int r = yaml_tree_load((const char *)data, size, &tree, &error);

	last_line = count_lines(data, size);
	if (r < 0) {
		FUZZ_DEMAND(r == -EINVAL && !tree);
		FUZZ_DEMAND(error.message[0] && error.line <= last_line);
		FUZZ_DEMAND(strlen(error.message) < sizeof(error.message));
		return 0;
	}
	check_lines(tree, yaml_tree_root(tree));
	check_as_json(yaml_tree_root(tree));
	yaml_tree_free(tree);
	return 0;
}
