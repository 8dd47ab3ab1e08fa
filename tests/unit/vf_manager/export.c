/* SPDX-License-Identifier: BSD-2-Clause */
/* The files that other programs read: their form, their pools, and that they appear whole. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support.h"

static struct fake fake;
static char folder[PATH_MAX];
static unsigned files;

static void set_up(void)
{
	struct fake_pf *pf;

	fake_open(&fake);
	pf = fake_add(&fake, &fake_82576);
	fake_make_vfs(&fake, pf, 3);
	pf->settings[1].trust = true;
	fake_link(&fake, "../../../../bus/pci/drivers/vfio-pci",
		  "/sys/bus/pci/devices/0000:01:10.0/driver");
	fake_link(&fake, "../../../../bus/pci/drivers/vfio-pci",
		  "/sys/bus/pci/devices/0000:01:10.2/driver");
	fake_look(&fake, VF_LOOK_ALL);
	snprintf(folder, sizeof(folder), "%.*s/out", (int)strlen(fake.host.root) - 5,
		 fake.host.root);
	cr_assert_eq(mkdir(folder, 0755), 0);
}
static void tear_down(void)
{
	fake_close(&fake);
}
TestSuite(vf_export, .init = set_up, .fini = tear_down);

static void take(void *data, const char *path)
{
	(void)data, (void)path;
	files++;
}

static void export(enum vf_format format, const struct vf_pf_wish *wishes, unsigned count)
{
	files = 0;
	cr_assert_eq(vf_export(&fake.host, format, wishes, count, folder, take, NULL), 0, "%s",
		     fake.host.reason);
}

static json_t *load(const char *name)
{
	char path[PATH_MAX + 64];
	json_error_t error;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	cr_assert(json, "%s: %s", path, error.text);
	return json;
}

static char *load_text(const char *name)
{
	static char text[4096];
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "r");
	cr_assert(file, "%s", path);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return text;
}

/* Version 0.5.0 knows these members and no others; kinds and names have their letters. */
static void only(const json_t *object, const char *const *known)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		bool found = false;

		for (size_t i = 0; known[i]; i++)
			found |= !strcmp(known[i], key);
		cr_expect(found, "member %s", key);
	}
}

Test(vf_export, cdi_by_the_letter_of_0_5_0)
{
	json_t *json, *device, *edits, *nodes;

	export(VF_FORMAT_CDI, NULL, 0);
	cr_expect_eq(files, 1u);
	json = load("outrigger.local-pf-0000-01-00-0.json");
	only(json, (const char *const[]){"cdiVersion", "kind", "devices", NULL});
	cr_expect_str_eq(json_string_value(json_object_get(json, "cdiVersion")), "0.5.0");
	cr_expect_str_eq(json_string_value(json_object_get(json, "kind")),
			 "outrigger.local/pf-0000-01-00-0", "no dot in a class before 0.6.0");
	cr_assert_eq(json_array_size(json_object_get(json, "devices")), 3u);
	device = json_array_get(json_object_get(json, "devices"), 0);
	only(device, (const char *const[]){"name", "containerEdits", NULL});
	cr_expect_str_eq(json_string_value(json_object_get(device, "name")), "0000:01:10.0");
	edits = json_object_get(device, "containerEdits");
	only(edits, (const char *const[]){"env", "deviceNodes", NULL});
	cr_expect_str_eq(json_string_value(json_array_get(json_object_get(edits, "env"), 0)),
			 "OUTRIGGER_VF_0000_01_10_0=0000:01:10.0");
	nodes = json_object_get(edits, "deviceNodes");
	cr_assert_eq(json_array_size(nodes), 2u);
	only(json_array_get(nodes, 1), (const char *const[]){"path", NULL});
	cr_expect_str_eq(json_string_value(json_object_get(json_array_get(nodes, 1), "path")),
			 "/dev/vfio/11");
	device = json_array_get(json_object_get(json, "devices"), 2);
	cr_expect_null(json_object_get(json_object_get(device, "containerEdits"), "deviceNodes"),
		       "a kernel driver has it");
	json_decref(json);
}

Test(vf_export, pools_of_the_document)
{
	struct vf_wish wishes[3] = {{.pool = "fast"}, {.pool = "slow-1"}, {.pool = "fast"}};
	struct vf_pf_wish wish = {.by_address = true, .vf_count = 3, .vfs = wishes};
	json_t *json, *resource, *selector;

	wish.address = fake.host.pfs[0]->address;
	export(VF_FORMAT_PCIDP, &wish, 1);
	cr_expect_eq(files, 2u);
	json = load("pcidp-slow-1.json");
	resource = json_array_get(json_object_get(json, "resourceList"), 0);
	cr_expect_str_eq(json_string_value(json_object_get(resource, "resourceName")), "slow_1");
	json_decref(json);
	json = load("pcidp-fast.json");
	resource = json_array_get(json_object_get(json, "resourceList"), 0);
	selector = json_array_get(json_object_get(resource, "selectors"), 0);
	cr_expect_eq(json_array_size(json_object_get(selector, "pciAddresses")), 2u);
	cr_expect_eq(json_array_size(json_object_get(selector, "drivers")), 2u);
	cr_expect_null(json_object_get(selector, "isRdma"));
	json_decref(json);
}

Test(vf_export, slurm_and_nova)
{
	export(VF_FORMAT_GRES, NULL, 0);
	const char *text = load_text("gres-pf-0000-01-00-0.conf");
	cr_expect(strstr(text, "\nName=vf Type=pf-0000-01-00-0 File=/dev/vfio/12\n"), "%s", text);
	cr_expect(strstr(text, "\nName=vf Type=pf-0000-01-00-0 Count=1 Flags=CountOnly\n"), "%s",
		  text);
	export(VF_FORMAT_NOVA, NULL, 0);
	text = load_text("nova-pf-0000-01-00-0.conf");
	cr_expect(strstr(text, "\n[pci]\n"), "%s", text);
	cr_expect(strstr(text,
			 "device_spec = {\"address\": \"0000:01:10.2\", \"physical_network\": "
			 "\"pf-0000-01-00-0\", \"trusted\": \"true\"}\n"),
		  "%s", text);
	cr_expect(strstr(text, "{\"address\": \"0000:01:10.0\", \"physical_network\": "
			       "\"pf-0000-01-00-0\"}\n"), "%s", text);
}

Test(vf_export, nowhere_to_write)
{
	strcat(folder, "/nowhere");
	cr_expect_eq(vf_export(&fake.host, VF_FORMAT_CDI, NULL, 0, folder, NULL, NULL), -ENOENT);
	cr_expect(strstr(fake.host.reason, "/nowhere/"), "%s", fake.host.reason);
}
