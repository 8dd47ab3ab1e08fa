/* SPDX-License-Identifier: BSD-2-Clause */
/* The text form of an adjunct's saved state: RFC 4648's examples, and strictness. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "runtime/runtime.h"

static const struct {
	const char *plain, *text;
} examples[] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
};

Test(base64, examples)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		size_t bytes = strlen(examples[i].plain);
		char text[16], plain[16];

		base64_encode(examples[i].plain, bytes, text);
		cr_expect_str_eq(text, examples[i].text);
		cr_assert_eq(base64_decode(text, plain, sizeof(plain)), (int)bytes);
		cr_expect_arr_eq(plain, examples[i].plain, bytes);
	}
}

Test(base64, every_octet_survives)
{
	unsigned char octets[256], back[256];
	char text[400];

	for (unsigned i = 0; i < 256; i++)
		octets[i] = (unsigned char)i;
	base64_encode(octets, sizeof(octets), text);
	cr_assert_eq(base64_decode(text, back, sizeof(back)), 256);
	cr_expect_arr_eq(back, octets, 256);
}

Test(base64, refuses)
{
	static const char *const wrong[] = {
		"A",    "AB",    "ABC",      "AB=C", "====", "A===", "=AAA",
		"AB C", "AAA\n", "AB==AAAA", "Zh==", "Zm9=", "Z*=="};
	char out[16];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_expect_eq(base64_decode(wrong[i], out, sizeof(out)), -EINVAL, "%s", wrong[i]);
	cr_expect_eq(base64_decode("Zm9vYmFy", out, 5), -EINVAL, "six bytes into five");
}
