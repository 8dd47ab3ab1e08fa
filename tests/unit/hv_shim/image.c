/* SPDX-License-Identifier: BSD-2-Clause */
/* Adjunct images: manifests that are read or left out, and finding what fits. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../hv-shim/image.h"
#include "../fault.h"

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
	"\nclass: net\ndevices: [" devices "]\nports: [native]\nmemory: {minimum: 4M, default: 8M}\n" \
	"fp: no\n"

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
	/* A real function is not lost for that: a ConnectX's, with what is installed. */
	cr_expect_null(image_find(&list, "a", "pci:15b3:101e", ADJ_PORT_TAP, why, sizeof(why)));
	cr_expect_str_eq(why, "no adjunct image fits device pci:15b3:101e with a tap port: by an "
			      "adapter of kind sriov, kind: netdev or vfio gives the partition the "
			      "function itself; installed: a drives embedded; b drives pci:15b3:*");
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

/* One manifest in which `was` is replaced by `now`: left out, and the list is read on. */
static void expect_left_out(const char *was, const char *now)
{
	static const char good[] = MANIFEST("good", "1", "prog", "embedded");
	static char text[70000];
	struct image_list list = {0};
	const char *at = strstr(good, was);

	cr_assert_not_null(at, "%s", was);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, now, at + strlen(was));
	write_manifest("bad.yaml", text);
	write_manifest("good.yaml", good);
	cr_assert_eq(image_list_load(directory, &list), 0);
	cr_expect_eq(list.count, 1u, "'%s' for '%s' is accepted", now, was);
}

Test(image, each_thing_that_can_be_wrong_with_a_manifest)
{
	static char many[2000] = "devices: [e", longest[DOC_STRING_BYTES + 40], word[DOC_STRING_BYTES + 1];

	for (int i = 0; i < IMAGE_PATTERNS_MAX; i++)
		strcat(many, ", e");
	strcat(many, "]");
	memset(word, 'x', DOC_STRING_BYTES);
	snprintf(longest, sizeof(longest), "devices: [%s]", word);
	expect_left_out("name: good", "nome: good");
	expect_left_out("name: good", "name: ''");
	expect_left_out("name: good", "name: [good]");
	expect_left_out("name: good", "name: Not valid");
	expect_left_out("name: good", "name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	expect_left_out("version: 1.0.0", "version: ''");
	expect_left_out("executable: prog", "executable: ''");
	expect_left_out("executable: prog", "executable: .hidden");
	expect_left_out("devices: [embedded]", "devices: [[embedded]]");
	expect_left_out("devices: [embedded]", longest);
	expect_left_out("devices: [embedded]", many);
	expect_left_out("ports: [native]", "ports: [carrier-pigeon]");
	expect_left_out("ports: [native]", "ports: [[native]]");
	expect_left_out("minimum: 4M", "minimum: 0");
	expect_left_out("minimum: 4M", "minimum: 0M");
	expect_left_out("minimum: 4M", "minimum: 4G");
	expect_left_out("minimum: 4M", "minimum: 70000M");
	expect_left_out("minimum: 4M", "minimum: 9M");
	expect_left_out("default: 8M", "default: [8M]");
	expect_left_out("fp: no", "fp: 0");
	expect_left_out("fp: no", "fp: [no]");
}

Test(image, a_manifest_that_cannot_be_read)
{
	struct image_list list = {0};
	char path[100];

	snprintf(path, sizeof(path), "%s/dangling.yaml", directory);
	cr_assert_eq(symlink("nowhere", path), 0);
	write_manifest(".hidden.yaml", MANIFEST("hidden", "1", "prog", "embedded"));
	cr_assert_eq(image_list_load(directory, &list), 0);
	cr_expect_eq(list.count, 0u);
}

Test(image, no_memory_for_a_manifest)
{
	write_manifest("good.yaml", MANIFEST("good", "1", "prog", "embedded"));
	for (unsigned n = 1; fault_round(n); n++) {
		struct image_list list = {0};

		fault_start(n, ENOMEM);
		cr_assert_eq(image_list_load(directory, &list), 0);
		cr_assert_eq(list.count, fault_end() ? 0u : 1u, "call %u", n);
	}
}

Test(image, more_of_them_than_there_is_room_for)
{
	struct image_list list = {0};
	char name[20], why[300];

	for (int i = 0; i <= IMAGES_MAX; i++) {
		snprintf(name, sizeof(name), "i%02d.yaml", i);
		write_manifest(name, MANIFEST("image-with-a-long-name", "1", "prog",
					      "'pci:1234:5678', 'pci:1234:5679'"));
	}
	cr_assert_eq(image_list_load(directory, &list), 0);
	cr_expect_eq(list.count, (size_t)IMAGES_MAX);
	/* What is told of them is cut off; and of none it is said that there are none. */
	cr_expect_null(image_find(&list, "", "embedded", ADJ_PORT_NATIVE, why, sizeof(why)));
	list.count = 0;
	cr_expect_null(image_find(&list, "a", "embedded", ADJ_PORT_NATIVE, why, sizeof(why)));
	cr_expect_str_eq(why, "no adjunct image is called 'a'; installed: none");
	cr_expect_null(image_find(&list, "", "embedded", ADJ_PORT_NATIVE, why, sizeof(why)));
	cr_expect_str_eq(why, "no adjunct image fits device embedded with a native port; installed: none");
}

Test(image, a_folder_whose_name_is_too_long)
{
	static char path[4096] = "";
	struct image_list list = {0};

	write_manifest("good.yaml", MANIFEST("good", "1", "prog", "embedded"));
	strcpy(path, directory);
	while (strlen(path) < sizeof(path) - 8)
		strcat(path, "/");
	cr_assert_eq(image_list_load(path, &list), 0);
	cr_expect_eq(list.count, 0u);
}
