/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: any text as a configuration document. What loads must also save,
 * and what was saved must load again to the same structs; the same tree, taken
 * apart, must be read as the socket's partitions are.
 */
#include <stdlib.h>
#include <string.h>

#include "../../hv-shim/document/document.h"
#include "fuzz.h"

static void load_again(const struct document *document)
{
	json_t *adapters = json_array(), *partitions = json_array();
	struct document again;
	struct doc_error error;

	for (size_t i = 0; i < document->adapter_count; i++)
		json_array_append_new(adapters, doc_adapter_to_json(&document->adapters[i]));
	for (size_t i = 0; i < document->partition_count; i++)
		json_array_append_new(partitions, doc_partition_to_json(&document->partitions[i]));
	json_t *root = json_pack("{s:i,s:o,s:o}", "version", DOC_VERSION, "adapters", adapters,
				 "partitions", partitions);
	char *text = json_dumps(root, 0);

	FUZZ_DEMAND(text && !document_load(text, strlen(text), &again, &error));
	FUZZ_DEMAND(again.adapter_count == document->adapter_count &&
		    again.partition_count == document->partition_count);
	for (size_t i = 0; i < again.partition_count; i++) {
		const struct doc_partition *a = &again.partitions[i], *b = &document->partitions[i];

		FUZZ_DEMAND(a->device_count == b->device_count && !strcmp(a->name, b->name));
		for (size_t d = 0; d < a->device_count; d++)
			FUZZ_DEMAND(!memcmp(&a->devices[d], &b->devices[d], sizeof(*a->devices)));
	}
	document_free(&again);
	free(text);
	json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct document document;
	struct doc_partition partition;
	struct doc_error error;

	if (!document_load((const char *)data, size, &document, &error)) {
		load_again(&document);
		document_free(&document);
	} else {
		FUZZ_DEMAND(*error.message); /* a refusal has a reason */
	}
	json_t *object = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(object) && !document_load_partition(object, &partition, &error))
		doc_partition_free(&partition);
	json_decref(object);
	return 0;
}
