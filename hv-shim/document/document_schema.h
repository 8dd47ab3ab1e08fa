/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables that describe the document: one row per field, used to read it
 * (document.c) and to write it (document_json.c). Internal to the document.
 */
#ifndef DOCUMENT_SCHEMA_H
#define DOCUMENT_SCHEMA_H

#include "document.h"

enum field_type {
	FIELD_NAME,      /* char[DOC_NAME_BYTES], the pattern of names */
	FIELD_STRING,    /* char[minimum..maximum], printable */
	FIELD_INTEGER,   /* int64_t from minimum to maximum */
	FIELD_BOOLEAN,   /* bool */
	FIELD_WORD,      /* int: index into `words` */
	FIELD_MAC,       /* uint8_t[6], unicast */
	FIELD_GUID,      /* uint64_t, "00:11:22:33:44:55:66:77" */
	FIELD_SIZE,      /* int64_t bytes; "32M", from minimum to maximum */
	FIELD_CPUS,      /* int64_t thousandths of a processor; "50%" or 1.5, as FIELD_SIZE */
	FIELD_POWER,     /* int64_t, a power of two from minimum to maximum */
	FIELD_ADDRESSES, /* one CIDR or a list of them */
	FIELD_OWNER,     /* char[DOC_NAME_BYTES]: a user name or a uid */
	FIELD_ADJUNCT,   /* struct doc_adjunct: "none" or an object */
	FIELD_OBJECT,    /* a struct described by `fields` */
};

struct field {
	const char *key;
	enum field_type type;
	size_t offset;
	bool required;
	int64_t minimum, maximum, fallback;
	const char *const *words;
	const struct field *fields; /* ended by a NULL key */
};

extern const struct field doc_adapter_fields[], doc_vf_fields[], doc_adjunct_fields[],
	doc_device_fields[], doc_region_fields[], doc_partition_fields[];

#endif
