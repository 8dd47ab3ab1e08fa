/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading one object of the document by its table: document_fields.c, called by
 * document.c. A refusal fills reader->error with path, line and reason.
 * Internal to the document; single-threaded.
 */
#ifndef DOCUMENT_READER_H
#define DOCUMENT_READER_H

#include "document_schema.h"
#include "yaml_tree.h"

#define READER_PATH_BYTES 128

struct reader {
	const struct yaml_tree *tree; /* NULL when the value came by the socket */
	struct doc_error *error;
	char path[READER_PATH_BYTES]; /* of the object being read, "partitions[0]." */
};

/* -EINVAL, always. `object` is where `key` stands, or should. */
__attribute__((format(printf, 4, 5))) int reader_refuse(struct reader *reader, const json_t *object,
							const char *key, const char *format, ...);

/* Enters "key." or "key[index]." for the life of one nested value; leave with what it returned. */
size_t reader_enter(struct reader *reader, const char *key, long index);
void reader_leave(struct reader *reader, size_t before);

/* "a list", "a number": what a value is, for people. */
const char *reader_kind_of(const json_t *value);

/*
 * Reads `object` into the struct at `out` (zeroed by the caller); `also` are more
 * keys that may stand there, ended by NULL; or NULL.
 */
int reader_fields(struct reader *reader, json_t *object, const struct field *fields, void *out,
		  const char *const *also);
/* One element of `pfs` into *out (zeroed); document_pf.c. out->vfs is the caller's to free. */
int reader_pf(struct reader *reader, json_t *object, struct vf_pf_wish *out);
int reader_integer(struct reader *reader, const json_t *object, const struct field *field,
		   json_t *value, int64_t *out);

#endif
