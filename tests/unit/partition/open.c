/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * liboutrigger: attaching, and what it refuses to map. The T numbers are those
 * of the project's list of threats: T04 surplus descriptors, T05 a window whose
 * size a peer can change, T06 a claimed size that is not so.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_shim.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define ENTRIES 8

static struct fake_shim shim;

static void start(void)
{
	fake_start(&shim, ENTRIES);
}

static void stop(void)
{
	fake_stop(&shim);
}

TestSuite(open, .init = start, .fini = stop);

/* Opens net0, which must fail so, say something, and keep no descriptor. */
static void expect_refused(int expected, const char *words)
{
	struct otr *otr;
	struct otr_net *net = NULL;

	cr_assert_eq(otr_attach(shim.path, &otr), 0, "%s", otr_last_error());
	/* A round trip settles what the fake shim accepted and closed. */
	fake_command(&shim, 'n');
	unsigned before = open_descriptors();
	cr_expect_eq(otr_net_open(otr, "net0", &net), expected, "%s", otr_last_error());
	cr_expect_null(net);
	cr_expect(strstr(otr_last_error(), words), "said '%s'", otr_last_error());
	fake_command(&shim, 'n');
	cr_expect_eq(open_descriptors(), before, "descriptors leaked");
	otr_detach(otr);
}

/* ---- Attaching ----------------------------------------------------------- */

Test(attach, names_that_are_none)
{
	static const char *const names[] = {"", ".", "..", ".hidden"};
	struct otr *otr = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_expect_eq(otr_attach(names[i], &otr), -EINVAL, "'%s'", names[i]);
	char longest[200] = {0};
	memset(longest, 'a', sizeof(longest) - 1);
	cr_expect_eq(otr_attach(longest, &otr), -EINVAL);
	longest[0] = '/';
	cr_expect_eq(otr_attach(longest, &otr), -ENAMETOOLONG);
	cr_expect_null(otr);
}

Test(attach, nobody_there)
{
	struct otr *otr = NULL;

	cr_expect_eq(otr_attach("/nonexistent/green.sock", &otr), -ENOENT);
	setenv("OUTRIGGER_STATE_DIR", "/nonexistent", 1);
	cr_expect_eq(otr_attach("green", &otr), -ENOENT);
	cr_expect(strstr(otr_last_error(), "/nonexistent/partition/green.sock"));
	otr_detach(NULL);
	otr_net_close(NULL);
}

Test(open, by_name_in_the_state_directory)
{
	struct otr *otr;
	char folder[64], path[80];

	snprintf(folder, sizeof(folder), "%s/partition", shim.directory);
	snprintf(path, sizeof(path), "%s/green.sock", folder);
	cr_assert_eq(mkdir(folder, 0700), 0);
	cr_assert_eq(symlink(shim.path, path), 0);
	setenv("OUTRIGGER_STATE_DIR", shim.directory, 1);
	cr_expect_eq(otr_attach("green", &otr), 0, "%s", otr_last_error());
	cr_expect_str_eq(otr_name(otr), "green");
	otr_detach(otr);
	unlink(path);
	rmdir(folder);
}

Test(open, devices_are_listed)
{
	struct otr *otr;
	struct otr_device device = {0};

	cr_assert_eq(otr_attach(shim.path, &otr), 0);
	cr_expect_eq(otr_devices(otr, NULL, 0), 1);
	cr_expect_eq(otr_devices(otr, &device, 1), 1);
	cr_expect_str_eq(device.name, "net0");
	cr_expect_str_eq(device.kind, "native");
	cr_expect_str_eq(device.state, "running");
	cr_expect_eq(device.mac[3], 0x0a);
	cr_expect_eq(device.mtu, 1500);
	cr_expect_str_empty(device.shared);
	shim.partition = "{\"name\": \"green\", \"devices\": [{\"name\": \"net0\", \"kind\": \"native\", "
			 "\"mac\": \"02:00:00:00:00:01\", \"mtu\": 1500, \"state\": \"running\", "
			 "\"shared\": \"vios/uplink\"}]}";
	cr_expect_eq(otr_devices(otr, &device, 1), 1);
	cr_expect_str_eq(device.shared, "vios/uplink");
	otr_detach(otr);
}

Test(open, bad_device_list_is_refused)
{
	struct otr *otr;
	struct otr_device device;

	cr_assert_eq(otr_attach(shim.path, &otr), 0);
	shim.mac = "02:00:00:00:00:zz";
	cr_expect_eq(otr_devices(otr, &device, 1), -EPROTO);
	shim.mac = "02:00:00:00:00:01:02";
	cr_expect_eq(otr_devices(otr, &device, 1), -EPROTO);
	otr_detach(otr);
}

/* ---- A good window ------------------------------------------------------- */

Test(open, good_window)
{
	struct otr *otr;
	unsigned before = open_descriptors();

	for (unsigned round = 0; round < 3; round++) {
		struct otr_net_info info;
		struct otr_net *net = fake_open(&shim, &otr);

		otr_net_info(net, &info);
		cr_expect_eq(info.mtu, 1500);
		cr_expect_eq(info.frame_min, 14);
		cr_expect_eq(info.frame_max, 1518);
		cr_expect_eq(info.ring_entries, ENTRIES);
		cr_expect_eq(info.mac[5], 0x0c);
		otr_net_close(net);
		otr_detach(otr);
	}
	fake_command(&shim, 'n');
	cr_expect_eq(open_descriptors(), before, "descriptors leaked");
}

/* ---- Hostile windows ----------------------------------------------------- */

Test(open, T05_window_without_every_seal)
{
	static const int seals[] = {0, F_SEAL_SEAL, F_SEAL_SHRINK | F_SEAL_GROW,
				    F_SEAL_SHRINK | F_SEAL_SEAL, F_SEAL_GROW | F_SEAL_SEAL};

	for (size_t i = 0; i < sizeof(seals) / sizeof(seals[0]); i++) {
		fake_use_window(&shim, fake_window(shim.layout.size_bytes, seals[i]));
		expect_refused(-EPROTO, "sealed");
	}
}

Test(open, T05_window_that_is_no_memfd)
{
	fake_use_window(&shim, open("/dev/zero", O_RDWR | O_CLOEXEC));
	expect_refused(-EPROTO, "sealed");
	fake_use_window(&shim, open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	expect_refused(-EPROTO, "sealed");
}

Test(open, T06_window_of_another_size)
{
	const size_t size = shim.layout.size_bytes;
	const size_t sizes[] = {0, 1, 4096, size - 4096, size - 1, size + 1, size + 4096, 2 * size};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fake_use_window(&shim, fake_window(sizes[i], SEALS));
		expect_refused(-EPROTO, "bytes where its layout has");
	}
}

Test(open, T06_window_smaller_than_the_claimed_rings)
{
	shim.ring_entries = 65536;
	expect_refused(-EPROTO, "bytes where its layout has");
}

Test(open, write_sealed_window)
{
	fake_use_window(&shim, fake_window(shim.layout.size_bytes, SEALS | F_SEAL_WRITE));
	expect_refused(-EPERM, "cannot map");
}

Test(open, impossible_ring_sizes)
{
	static const int sizes[] = {-1, 0, 1, 3, 100, 65537, 131072, INT32_MAX, INT32_MIN};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		shim.ring_entries = sizes[i];
		expect_refused(-EPROTO, "ring size");
	}
}

Test(open, unknown_layout_versions)
{
	static const int versions[] = {-1, 0, NET_LAYOUT_VERSION - 1, NET_LAYOUT_VERSION + 1,
				       INT32_MAX};

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		shim.layout_version = versions[i];
		expect_refused(-EPROTO, "layout is version");
	}
}

Test(open, impossible_mtu_or_mac)
{
	static const int mtus[] = {-1, 0, 2017, 65536, INT32_MAX};

	for (size_t i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
		shim.mtu = mtus[i];
		expect_refused(-EPROTO, "MTU");
	}
}

Test(open, T04_too_few_or_too_many_descriptors)
{
	static const unsigned counts[] = {0, 1, 2, 4};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		shim.fd_count = counts[i];
		expect_refused(-EPROTO, "descriptors where 3 belong");
	}
}

Test(open, doorbell_that_cannot_be_rung)
{
	close(shim.fds[1 + NET_BELL_ADJUNCT]);
	shim.fds[1 + NET_BELL_ADJUNCT] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	expect_refused(-EPROTO, "doorbell");
}

/* ---- Refusals of the shim ------------------------------------------------- */

Test(open, errors_of_the_interface)
{
	static const struct {
		const char *name;
		int number;
	} errors[] = {
		{"org.outrigger.Partition.NotFound", -ENOENT},
		{"org.outrigger.Partition.NotNative", -EOPNOTSUPP},
		{"org.outrigger.Partition.NotReady", -EAGAIN},
		{"org.outrigger.Partition.Busy", -EBUSY},
		{"org.outrigger.Partition.PermissionDenied", -EACCES},
		{"org.example.Unheard", -EREMOTEIO},
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		shim.error = errors[i].name;
		expect_refused(errors[i].number, "the test wants it so");
	}
}

/* ---- Regions --------------------------------------------------------------- */

/* Maps a region that is `has` bytes where `says` are claimed, of `fds` descriptors. */
static int map_region(size_t has, int says, unsigned fds)
{
	struct otr *otr;
	void *memory = NULL;
	size_t bytes = 0;

	fake_use_window(&shim, fake_window(has, 0));
	shim.region_bytes = says;
	shim.region_fd_count = fds;
	cr_assert_eq(otr_attach(shim.path, &otr), 0, "%s", otr_last_error());
	fake_command(&shim, 'n');
	unsigned before = open_descriptors();
	int error = otr_region_map(otr, "heap", &memory, &bytes);
	cr_expect_eq(bytes, error ? 0 : has);
	cr_expect_eq(!memory, !!error);
	if (!error)
		munmap(memory, bytes);
	fake_command(&shim, 'n');
	cr_expect_eq(open_descriptors(), before, "descriptors leaked");
	otr_detach(otr);
	return error;
}

Test(open, region)
{
	cr_expect_eq(map_region(8192, 8192, 1), 0, "%s", otr_last_error());
}

Test(open, T06_region_of_another_size)
{
	cr_expect_eq(map_region(4096, 8192, 1), -EPROTO);
	cr_expect_eq(map_region(8192, 4096, 1), -EPROTO);
	cr_expect_eq(map_region(8192, 0, 1), -EPROTO);
	cr_expect_eq(map_region(8192, -8192, 1), -EPROTO);
}

Test(open, T04_region_with_surplus_descriptors_or_none)
{
	cr_expect_eq(map_region(8192, 8192, 0), -EPROTO);
	cr_expect_eq(map_region(8192, 8192, 2), -EPROTO);
}

/* The shim answered before it cut the region, and its answer is read afterwards. */
Test(open, region_donated_while_it_is_handed_out)
{
	cr_expect_eq(map_region(0, 8192, 1), -EBUSY);
	cr_expect(strstr(otr_last_error(), "donated"), "said '%s'", otr_last_error());
}
