/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel's log says of a function that the IOMMU has stopped: one record of
 * /dev/kmsg, as the drivers of Intel's and AMD's IOMMUs word it. There is no better source
 * for all: Intel's driver reports such a fault nowhere else, the tracepoint
 * iommu:io_page_fault is for others'. Only the whole sentence counts, from its first
 * letter on and from the kernel itself, for programs can have their names printed, and
 * write records of their own. Called by the adapter's process, on its thread.
 */
#include <errno.h>
#include <string.h>

#include "vf.h"

#define KERNEL_LEVELS 8       /* facility 0; what programs write has another one */
#define AMD_FLAG_WRITE 0x020u /* of an event's flags (AMD's I/O virtualization specification) */

struct cursor {
	const char *at, *end;
};

static bool eat(struct cursor *cursor, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length))
		return false;
	cursor->at += length;
	return true;
}

static int digit_of(char letter, int base)
{
	int value = letter >= '0' && letter <= '9'   ? letter - '0'
		    : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10
						     : base;

	return value < base ? value : -1;
}

/* 1 to `most` digits, 16 at most so that it fits. */
static bool eat_number(struct cursor *cursor, int base, int most, uint64_t *out)
{
	uint64_t value = 0;
	int digits = 0, digit;

	while (digits < most && cursor->at < cursor->end &&
	       (digit = digit_of(*cursor->at, base)) >= 0) {
		value = value * (unsigned)base + (unsigned)digit;
		cursor->at++;
		digits++;
	}
	*out = value;
	return digits > 0 &&
	       (cursor->at == cursor->end || digit_of(*cursor->at, base) < 0);
}

static bool eat_hex(struct cursor *cursor, uint64_t *out)
{
	eat(cursor, "0x"); /* kernels before 5.17 leave it out */
	return eat_number(cursor, 16, 16, out);
}

/* BB:DD.F as both drivers print it, with the domain before it or not. */
static bool eat_address(struct cursor *cursor, struct vf_fault *out)
{
	uint64_t domain, bus, slot, function;
	struct cursor with = *cursor;

	out->domain_known = eat_number(&with, 16, 8, &domain) && with.at - cursor->at >= 4 &&
			    eat(&with, ":");
	if (out->domain_known)
		*cursor = with;
	else
		domain = 0;
	if (!eat_number(cursor, 16, 2, &bus) || !eat(cursor, ":") ||
	    !eat_number(cursor, 16, 2, &slot) || slot > 31 || !eat(cursor, ".") ||
	    !eat_number(cursor, 8, 1, &function))
		return false;
	out->address = (struct vf_address){.domain = (uint32_t)domain, .bus = (uint8_t)bus,
					   .slot = (uint8_t)slot, .function = (uint8_t)function};
	return true;
}

/* [DMA Read NO_PASID] Request device [01:10.4] fault addr 0x1000000 [fault reason 0x06] ... */
static bool take_intel(struct cursor cursor, struct vf_fault *out)
{
	uint64_t number;

	if (!eat(&cursor, "DMAR: [DMA "))
		return false;
	out->write = eat(&cursor, "Write");
	if (!out->write && !eat(&cursor, "Read"))
		return false;
	if (!eat(&cursor, " NO_PASID") && eat(&cursor, " PASID ") && !eat_hex(&cursor, &number))
		return false;
	if (!eat(&cursor, "] Request device [") || !eat_address(&cursor, out) ||
	    !eat(&cursor, "] "))
		return false;
	/* Here until 5.13. */
	if (eat(&cursor, "PASID ") && (!eat_hex(&cursor, &number) || !eat(&cursor, " ")))
		return false;
	return eat(&cursor, "fault addr ") && eat_hex(&cursor, &out->iova) &&
	       eat(&cursor, " [fault reason ") && eat_hex(&cursor, &number) && eat(&cursor, "]");
}

/* [IO_PAGE_FAULT device=0000:01:10.4 domain=0x000e address=0x1000000 flags=0x0020], or
 * without the device, which has then its driver's prefix: "vfio-pci 0000:01:10.4: ". */
static bool take_amd(struct cursor cursor, struct vf_fault *out)
{
	static const char event[] = "AMD-Vi: Event logged [IO_PAGE_FAULT ";
	uint64_t number, flags;

	if (eat(&cursor, event)) {
		if (!eat(&cursor, "device=") || !eat_address(&cursor, out) || !eat(&cursor, " "))
			return false;
	} else {
		const char *blank = memchr(cursor.at, ' ', (size_t)(cursor.end - cursor.at));

		if (!blank || blank == cursor.at || blank - cursor.at >= VF_NAME_BYTES)
			return false;
		cursor.at = blank + 1;
		if (!eat_address(&cursor, out) || !out->domain_known || !eat(&cursor, ": ") ||
		    !eat(&cursor, event))
			return false;
	}
	if (!eat(&cursor, "domain=") || !eat_hex(&cursor, &number) || !eat(&cursor, " address=") ||
	    !eat_hex(&cursor, &out->iova) || !eat(&cursor, " flags=") ||
	    !eat_hex(&cursor, &flags) || !eat(&cursor, "]"))
		return false;
	out->write = flags & AMD_FLAG_WRITE;
	return true;
}

int vf_fault_parse(const char *record, size_t bytes, struct vf_fault *out)
{
	struct cursor cursor = {record, record + bytes};
	struct vf_fault fault = {0};
	uint64_t level, number;

	/* "3,1234,5678901,-;text\n", and between flags and text more to come one day */
	if (!eat_number(&cursor, 10, 6, &level) || level >= KERNEL_LEVELS || !eat(&cursor, ",") ||
	    !eat_number(&cursor, 10, 16, &number) || !eat(&cursor, ",") ||
	    !eat_number(&cursor, 10, 16, &number) || !eat(&cursor, ","))
		return -EINVAL;
	cursor.at = memchr(cursor.at, ';', (size_t)(cursor.end - cursor.at));
	if (!cursor.at)
		return -EINVAL;
	cursor.at++;
	/* What follows the line is a dictionary. */
	const char *end = memchr(cursor.at, '\n', (size_t)(cursor.end - cursor.at));
	if (end)
		cursor.end = end;
	if (!take_intel(cursor, &fault) && !take_amd(cursor, &fault))
		return -EINVAL;
	*out = fault;
	return 0;
}
