/* SPDX-License-Identifier: BSD-2-Clause */
/* Adjunct images: manifests that are read or left out, and finding what fits. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../hv-shim/image.h"

static char directory[] = "/tmp/images-XXXXXX";

static void write_manifest(const char *name, const char *text)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "w");
	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

static void make_directory(void)
{
	cr_assert_not_null(mkdtemp(directory));
}

static void remove_directory(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -r '%s'", directory);
	cr_expect_eq(system(command), 0);
}

TestSuite(image, .init = make_directory, .fini = remove_directory);

#define MANIFEST(name, interface, executable, devices) \
	"name: " name "\nversion: 1.0.0\ninterface: " interface "\nexecutable: " executable \
	"\nclass: net\ndevices: [" devices "]\nports: [native]\nmemory: {minimum: 4M, default: 8M}\n"

Test(image, only_what_can_be_used_is_listed)
{
	struct image_list list = {0};

	write_manifest("good.yaml", MANIFEST("good", "1", "prog", "embedded, 'pci:8086:10ca'"));
	write_manifest("newer.yaml", MANIFEST("newer", "2", "prog", "embedded"));
	write_manifest("escape.yaml", MANIFEST("escape", "1", "../../bin/sh", "embedded"));
	write_manifest("broken.yaml", "name: [");
	write_manifest("readme.txt", "not a manifest");
	cr_assert_eq(image_list_load(directory, &list), 0);
	cr_assert_eq(list.count, 1u);
	cr_expect_str_eq(list.images[0].name, "good");
	cr_expect_eq(list.images[0].memory_default, 8 << 20);
	cr_expect_eq(list.images[0].ports, 1u << ADJ_PORT_NATIVE);
}

Test(image, a_folder_that_is_not_there)
{
	struct image_list list = {0};

	cr_expect_eq(image_list_load("/nonexistent", &list), -ENOENT);
}

Test(image, finds_by_pattern_port_and_name)
{
	struct image_list list = {0};
	char why[300];

	write_manifest("a.yaml", MANIFEST("a", "1", "prog", "embedded"));
	write_manifest("b.yaml", MANIFEST("b", "1", "prog", "'pci:15b3:*'"));
	cr_assert_eq(image_list_load(directory, &list), 0);
	cr_expect_eq(image_find(&list, "", "embedded", ADJ_PORT_NATIVE, why, sizeof(why)),
		     &list.images[0]);
	cr_expect_eq(image_find(&list, "", "pci:15b3:101e", ADJ_PORT_NATIVE, why, sizeof(why)),
		     &list.images[1]);
	cr_expect_null(image_find(&list, "b", "embedded", ADJ_PORT_NATIVE, why, sizeof(why)));
	cr_expect_null(image_find(&list, "", "embedded", ADJ_PORT_TAP, why, sizeof(why)));
	cr_expect_str_eq(why, "no adjunct image fits device embedded with a tap port; installed: "
			      "a drives embedded; b drives pci:15b3:*");
}

Test(image, device_ids)
{
	struct doc_adapter adapter = {.kind = DOC_ADAPTER_EMBEDDED};
	char id[DOC_STRING_BYTES];

	cr_assert_eq(image_device_id(&adapter, id, sizeof(id)), 0);
	cr_expect_str_eq(id, "embedded");
	adapter = (struct doc_adapter){.kind = DOC_ADAPTER_DPDK, .device = "net_ring12,size=3"};
	cr_assert_eq(image_device_id(&adapter, id, sizeof(id)), 0);
	cr_expect_str_eq(id, "vdev:net_ring");
	strcpy(adapter.device, "ffff:ff:1f.7");
	cr_expect_eq(image_device_id(&adapter, id, sizeof(id)), -ENOENT);
}
