/* SPDX-License-Identifier: BSD-2-Clause */
/* What a document says of a thing by that name. Single-threaded. */
#include <string.h>

#include "document.h"

const struct doc_partition *document_partition(const struct document *document, const char *name)
{
	for (size_t i = 0; i < document->partition_count; i++)
		if (!strcmp(document->partitions[i].name, name))
			return &document->partitions[i];
	return NULL;
}

const struct doc_device *document_device(const struct document *document, const char *partition,
					 const char *name)
{
	const struct doc_partition *found = document_partition(document, partition);

	for (size_t i = 0; found && i < found->device_count; i++)
		if (!strcmp(found->devices[i].name, name))
			return &found->devices[i];
	return NULL;
}

const struct doc_adapter *document_adapter(const struct document *document, const char *name)
{
	for (size_t i = 0; i < document->adapter_count; i++)
		if (!strcmp(document->adapters[i].name, name))
			return &document->adapters[i];
	return NULL;
}
