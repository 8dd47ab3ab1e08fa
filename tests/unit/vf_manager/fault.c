/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's words for a function that the IOMMU has stopped, of several kernels and
 * both makers, and all that is not those words: nobody is to be blamed for what another
 * made the kernel print.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../vf-manager/vf.h"

#define HEAD "3,1301,71234567,-;"
#define INTEL HEAD "DMAR: [DMA Read NO_PASID] Request device [01:10.4] fault addr 0x1005000 " \
	      "[fault reason 0x06] PTE Read access is not set\n"
#define AMD HEAD "vfio-pci 0000:01:10.4: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e " \
	    "address=0x1005000 flags=0x0020]\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:10.4\n"

static int parse(const char *record, struct vf_fault *out)
{
	/* Of its exact size, so that ASan sees a step too far. */
	size_t bytes = strlen(record);
	char *copy = malloc(bytes ? bytes : 1);
	memcpy(copy, record, bytes);
	int result = vf_fault_parse(copy, bytes, out);

	free(copy);
	return result;
}

static const struct {
	const char *record, *address;
	bool domain_known, write;
	uint64_t iova;
} told[] = {
	{INTEL, "0000:01:10.4", false, false, 0x1005000},
	{HEAD "DMAR: [DMA Write PASID 0x3f] Request device [81:1f.7] fault addr 0xfedcba9876543000 "
	      "[fault reason 0x05] PTE Write access is not set\n",
	 "0000:81:1f.7", false, true, 0xfedcba9876543000},
	/* Linux 5.10: no 0x, and the PASID elsewhere. */
	{HEAD "DMAR: [DMA Read] Request device [01:10.0] PASID ffffffff fault addr 1000000 "
	      "[fault reason 06] PTE Read access is not set",
	 "0000:01:10.0", false, false, 0x1000000},
	{AMD, "0000:01:10.4", true, true, 0x1005000},
	{HEAD "AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:c1:00.2 domain=0x001c "
	      "address=0xfffffff000000000 flags=0x0000]\n",
	 "0000:c1:00.2", true, false, 0xfffffff000000000},
	{HEAD "AMD-Vi: Event logged [IO_PAGE_FAULT device=c1:00.2 domain=0x001c "
	      "address=0x1000 flags=0x0070]\n",
	 "0000:c1:00.2", false, true, 0x1000},
	{HEAD "AMD-Vi: Event logged [IO_PAGE_FAULT device=10000:c1:00.2 domain=0x001c "
	      "address=0x1000 flags=0x0000]\n",
	 "10000:c1:00.2", true, false, 0x1000},
	/* What a later kernel may add before the text. */
	{"3,1301,71234567,-,caller=T12;DMAR: [DMA Read NO_PASID] Request device [01:10.4] fault addr 0x1 "
	 "[fault reason 0x06] x\n",
	 "0000:01:10.4", false, false, 1},
};

Test(vf_fault, as_kernels_word_it)
{
	char address[VF_ADDRESS_BYTES];

	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		struct vf_fault fault;

		cr_assert_eq(parse(told[i].record, &fault), 0, "%s", told[i].record);
		vf_address_format(&fault.address, address);
		cr_expect_str_eq(address, told[i].address);
		cr_expect_eq(fault.domain_known, told[i].domain_known, "%s", told[i].record);
		cr_expect_eq(fault.write, told[i].write, "%s", told[i].record);
		cr_expect_eq(fault.iova, told[i].iova, "%s", told[i].record);
	}
}

Test(vf_fault, nothing_else_is_one)
{
	static const char *const others[] = {
		"",
		"3",
		HEAD,
		/* A program wrote it (facility 1). */
		"11,1301,71234567,-;DMAR: [DMA Read NO_PASID] Request device [01:10.4] fault addr 0x1 "
		"[fault reason 0x06] x\n",
		/* In the middle of another sentence, or in a record's dictionary. */
		HEAD "a.out: DMAR: [DMA Read NO_PASID] Request device [01:10.4] fault addr 0x1 "
		     "[fault reason 0x06] x\n",
		HEAD "usb 1-1: Product\n DMAR: [DMA Read NO_PASID] Request device [01:10.4] fault addr "
		     "0x1 [fault reason 0x06] x\n",
		HEAD "DMAR: DRHD: handling fault status reg 2\n",
		HEAD "DMAR: [INTR-REMAP] Request device [01:10.4] fault index 0x1 [fault reason 0x22] x\n",
		HEAD "DMAR: [DMA Fetch NO_PASID] Request device [01:10.4] fault addr 0x1 [fault reason 0x06]",
		HEAD "DMAR: [DMA Read NO_PASID] Request device [01:20.4] fault addr 0x1 [fault reason 0x06]",
		HEAD "DMAR: [DMA Read NO_PASID] Request device [01:10.8] fault addr 0x1 [fault reason 0x06]",
		HEAD "DMAR: [DMA Read NO_PASID] Request device [101:10.0] fault addr 0x1 [fault reason 0x06]",
		HEAD "DMAR: [DMA Read NO_PASID] Request device [01:10.4] fault addr 0x [fault reason 0x06]",
		HEAD "DMAR: [DMA Read NO_PASID] Request device [01:10.4] fault addr 0x11112222333344445 "
		     "[fault reason 0x06]",
		HEAD "vfio-pci 01:10.4: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e "
		     "address=0x1 flags=0x0020]\n",
		HEAD "0000:01:10.4: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e address=0x1 "
		     "flags=0x0020]\n",
		HEAD "vfio-pci 0000:01:10.4: AMD-Vi: Event logged [ILLEGAL_DEV_TABLE_ENTRY domain=0x000e "
		     "address=0x1 flags=0x0020]\n",
		HEAD "vfio-pci 0000:01:10.4: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e "
		     "address=0x1 flags=]\n",
	};
	struct vf_fault fault = {.iova = 77};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_expect_eq(parse(others[i], &fault), -EINVAL, "%s", others[i]);
	cr_expect_eq(fault.iova, 77, "untouched");
}

/* Cut anywhere before its last bracket it is none. */
Test(vf_fault, cut)
{
	static const char *const whole[] = {INTEL, AMD};
	struct vf_fault fault;

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		const char *flags = strstr(whole[i], "flags=");
		const char *end = strchr(flags ? flags : strstr(whole[i], "reason"), ']');

		for (const char *at = whole[i]; at <= end; at++) {
			char *text = strndup(whole[i], (size_t)(at - whole[i]));

			cr_expect_eq(parse(text, &fault), -EINVAL, "%s", text);
			free(text);
		}
	}
}
