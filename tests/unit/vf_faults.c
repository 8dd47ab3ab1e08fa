/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a record of the kernel's log to the one function it is about, and no more than one
 * event of it a second, however many there are. The rest of outrigger-vf-adapter is a
 * stand-in here; the rig's stray_vf.sh has the whole way.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../vf-manager/adapter/adapter.h"
#include "clock.h"
#include "log.h"

static struct vf_adapter adapter;
static unsigned told, told_of;
static char last[200];
static bool monitored = true;

bool control_has_monitor(const struct vf_adapter *of)
{
	(void)of;
	return monitored;
}

void control_tell(struct vf_adapter *of, const char *event, int vf, const char *message)
{
	(void)of;
	cr_assert_str_eq(event, "dma-fault");
	told++;
	told_of = (unsigned)vf;
	snprintf(last, sizeof(last), "%s", message);
}

static void set_up(void)
{
	log_open("unit", LOG_LEVEL_ERROR);
	adapter = (struct vf_adapter){.pf = "0000:01:00.0", .kmsg_fd = -1};
	adapter.wish.vf_count = ADAPTER_VFS_MAX;
	const struct vf_address pf = {.bus = 1};
	for (unsigned v = 0; v < ADAPTER_VFS_MAX; v++)
		adapter.vfs[v].address = vf_address_of(&pf, 128, 2, v);
	adapter.vfs[1].taken = adapter.vfs[255].taken = true;
	monitored = true;
	told = 0;
}
TestSuite(vf_faults, .init = set_up);

static void takes(const char *record, size_t bytes)
{
	struct vf_fault fault;

	cr_assert_eq(vf_fault_parse(record, bytes, &fault), 0);
	faults_take(&adapter, &fault);
}

static void intel(const char *device)
{
	char record[200];
	int bytes = snprintf(record, sizeof(record),
			     "3,1,1,-;DMAR: [DMA Write NO_PASID] Request device [%s] fault addr 0x5000 "
			     "[fault reason 0x05] PTE Write access is not set\n", device);

	takes(record, (size_t)bytes);
}

Test(vf_faults, it_is_the_functions_own)
{
	intel("01:10.2");
	faults_tell(&adapter, NS_PER_S);
	cr_assert_eq(told, 1u);
	cr_expect_eq(told_of, 1u);
	cr_expect_str_eq(last, "0000:01:10.2 wrote outside its memory, at 0x5000: stopped by the "
			       "IOMMU, 1 so far; if you do not trust its driver, take the device down");
	/* The last of a card with 256, past the first bus. */
	char name[VF_ADDRESS_BYTES];
	vf_address_format(&adapter.vfs[255].address, name);
	intel(name + 5);
	faults_tell(&adapter, NS_PER_S);
	cr_expect_eq(told, 2u, "%s", name);
	cr_expect_eq(told_of, 255u);
}

Test(vf_faults, of_nobody)
{
	intel("01:10.0"); /* nobody has it */
	intel("01:00.0"); /* the PF */
	intel("02:10.2"); /* another card's */
	faults_tell(&adapter, NS_PER_S);
	cr_expect_eq(told, 0u);
	/* With a domain, which is another one. */
	static const char amd[] = "3,1,1,-;vfio-pci 0001:01:10.2: AMD-Vi: Event logged "
				  "[IO_PAGE_FAULT domain=0x1 address=0x1 flags=0x0]\n";
	takes(amd, sizeof(amd) - 1);
	faults_tell(&adapter, NS_PER_S);
	cr_expect_eq(told, 0u);
	adapter.pf[0] = '\0'; /* not started */
	intel("01:10.2");
	faults_tell(&adapter, NS_PER_S);
	cr_expect_eq(told, 0u);
}

Test(vf_faults, a_flood_is_one_a_second)
{
	uint64_t now_ns = 100 * NS_PER_S;

	for (int i = 0; i < 100000; i++) {
		intel("01:10.2");
		faults_tell(&adapter, now_ns += NS_PER_S / 10000); /* 10 seconds of them */
	}
	cr_expect(told >= 10 && told <= 11, "%u", told);
	cr_expect_eq(adapter.vfs[1].faults.count, 100000u);
	faults_tell(&adapter, now_ns += NS_PER_S);
	cr_expect(strstr(last, "100000 so far"), "the last word has them all: %s", last);
	unsigned before = told;
	faults_tell(&adapter, now_ns + 10 * NS_PER_S);
	cr_expect_eq(told, before, "nothing new");
}

Test(vf_faults, kept_until_somebody_listens)
{
	monitored = false;
	intel("01:10.2");
	faults_tell(&adapter, NS_PER_S);
	cr_expect_eq(told, 0u);
	monitored = true;
	faults_tell(&adapter, 2 * NS_PER_S);
	cr_expect_eq(told, 1u);
}

/* The log as a file: one record a read, as the kernel gives them, is the pipe's packets. */
Test(vf_faults, no_more_than_some_in_a_turn)
{
	int fds[2];
	static const char record[] = "3,1,1,-;DMAR: [DMA Read NO_PASID] Request device [01:10.2] fault "
				     "addr 0x5000 [fault reason 0x06] x\n";

	cr_assert_eq(pipe2(fds, O_DIRECT | O_NONBLOCK | O_CLOEXEC), 0);
	int room = 0;
	while (room < 200 && fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) >= 0 &&
	       write(fds[1], record, sizeof(record) - 1) > 0)
		room++;
	cr_assert_geq(room, 150);
	adapter.kmsg_fd = fds[0];
	faults_read(&adapter);
	cr_expect_eq(adapter.vfs[1].faults.count, 64u, "others have their turn");
	while (adapter.vfs[1].faults.count < (uint64_t)room) {
		uint64_t before = adapter.vfs[1].faults.count;

		faults_read(&adapter);
		cr_assert_gt(adapter.vfs[1].faults.count, before);
	}
	faults_read(&adapter); /* EAGAIN */
	cr_expect_eq(adapter.kmsg_fd, fds[0]);
	close(fds[1]);
	close(fds[0]);
	faults_read(&adapter); /* EBADF: it says so, once, and goes on without */
	cr_expect_eq(adapter.kmsg_fd, -1);
	faults_read(&adapter);
}
