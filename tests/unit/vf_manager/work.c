/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much a look at a large machine costs, counted in what is asked of the kernel and
 * not in time: 8 PFs with 128 VFs each. The linker brings these calls here (--wrap).
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "../fault.h"
#include "support.h"

#define PFS 8
#define VFS 128

static unsigned asked;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
ssize_t __real_readlink(const char *path, char *out, size_t bytes);
ssize_t __wrap_readlink(const char *path, char *out, size_t bytes);
int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
ssize_t __real_read(int fd, void *out, size_t bytes);
ssize_t __wrap_read(int fd, void *out, size_t bytes);

int __wrap_open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode = 0;

	va_start(arguments, flags);
	if (flags & O_CREAT)
		mode = va_arg(arguments, mode_t);
	va_end(arguments);
	asked++;
	return __real_open(path, flags, mode);
}

DIR *__wrap_opendir(const char *path)
{
	asked++;
	return __real_opendir(path);
}

ssize_t __wrap_readlink(const char *path, char *out, size_t bytes)
{
	asked++;
	return __real_readlink(path, out, bytes);
}

int __wrap_access(const char *path, int mode)
{
	asked++;
	return __real_access(path, mode);
}

ssize_t __wrap_read(int fd, void *out, size_t bytes)
{
	asked++;
	return __real_read(fd, out, bytes);
}

/* The machine holds back calls that are to fail while it works; here none is. */
void fault_hold(bool hold)
{
	(void)hold;
}

static struct fake fake;

static void set_up(void)
{
	fake_open(&fake);
}
static void tear_down(void)
{
	fake_close(&fake);
}
TestSuite(vf_work, .init = set_up, .fini = tear_down);

/* In domains of their own, as on a machine with that many slots. */
static void add_cards(unsigned count)
{
	static char addresses[PFS][VF_ADDRESS_BYTES], ifnames[PFS][VF_IFNAME_BYTES];

	for (unsigned i = 0; i < count; i++) {
		struct fake_pf shape = fake_e810;

		snprintf(addresses[i], sizeof(addresses[i]), "%04x:17:00.0", i);
		snprintf(ifnames[i], sizeof(ifnames[i]), "ens%u", i);
		shape.address = addresses[i];
		shape.ifname = ifnames[i];
		shape.group = (int)(1000 * i);
		fake_make_vfs(&fake, fake_add(&fake, &shape), VFS);
	}
}

/*
 * For each VF: the link from its PF, driver and group; whether it is a PF; five files, read
 * (override, MAC, flags, number, and carrier only of what is up); the folders of its interface and
 * of its RDMA device. With every card so much more, and nothing that grows faster.
 */
Test(vf_work, a_look_costs_so_much_for_each_vf)
{
	const unsigned of_vf = 14, of_pf = 64, of_machine = 32;
	unsigned one;

	add_cards(1);
	asked = 0;
	fake_look(&fake, VF_LOOK_SETTINGS | VF_LOOK_USERS);
	one = asked;
	cr_expect_leq(one, VFS * of_vf + of_pf + of_machine, "%u", one);
	fake_close(&fake);
	fake_open(&fake);
	add_cards(PFS);
	asked = 0;
	fake_look(&fake, VF_LOOK_SETTINGS | VF_LOOK_USERS);
	cr_assert_eq(fake.host.pf_count, (unsigned)PFS);
	cr_expect_eq(fake.host.pfs[PFS - 1]->vf_count, (unsigned)VFS);
	cr_expect_leq(asked, PFS * (VFS * of_vf + of_pf) + of_machine, "%u", asked);
	cr_expect_leq(asked, PFS * one, "%u, one card: %u", asked, one);
}
