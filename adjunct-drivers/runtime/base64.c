/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Base64 (RFC 4648, section 4), for the saved state in Start and Stop. Decoding
 * is strict: no white space, no missing padding, no stray bits, so that one
 * state has one text. Called by start.c and control.c.
 */
#include <errno.h>
#include <string.h>

#include "runtime.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t bytes, char *out)
{
	const unsigned char *in = data;

	for (; bytes; in += 3, bytes -= bytes < 3 ? bytes : 3) {
		uint32_t group = (uint32_t)in[0] << 16 | (bytes > 1 ? (uint32_t)in[1] << 8 : 0) |
				 (bytes > 2 ? in[2] : 0);

		*out++ = alphabet[group >> 18];
		*out++ = alphabet[group >> 12 & 63];
		*out++ = bytes > 1 ? alphabet[group >> 6 & 63] : '=';
		*out++ = bytes > 2 ? alphabet[group & 63] : '=';
	}
	*out = '\0';
}

int base64_decode(const char *text, void *out, size_t out_bytes)
{
	size_t length = strlen(text), padding = 0, used = 0;
	unsigned char *to = out;

	if (length % 4)
		return -EINVAL;
	while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
		padding++;
	if (length / 4 * 3 - padding > out_bytes)
		return -EINVAL;
	for (size_t i = 0; i < length; i += 4) {
		size_t digits = i + 4 == length ? 4 - padding : 4;
		uint32_t group = 0;

		for (size_t j = 0; j < digits; j++) {
			const char *digit = strchr(alphabet, text[i + j]);

			if (!digit || !*digit)
				return -EINVAL;
			group |= (uint32_t)(digit - alphabet) << (18 - 6 * j);
		}
		/* Bits below the last whole byte must be zero. */
		if (group & ((1u << (24 - 8 * (digits - 1))) - 1))
			return -EINVAL;
		for (size_t j = 0; j + 1 < digits; j++)
			to[used++] = (unsigned char)(group >> (16 - 8 * j));
	}
	return (int)used;
}
