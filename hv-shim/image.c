/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads image manifests and finds the image that fits a device. Main thread. */
#include "image.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "yaml_tree.h"

#define MANIFEST_BYTES_MAX 65536

static int copy_word(json_t *object, const char *key, char *out, size_t out_bytes)
{
	const char *text = json_string_value(json_object_get(object, key));

	if (!text || !*text || strlen(text) >= out_bytes)
		return -EINVAL;
	strcpy(out, text);
	return 0;
}

static int64_t size_of(json_t *value)
{
	const char *text = json_string_value(value);
	char *end;

	if (!text)
		return json_integer_value(value);
	long long number = strtoll(text, &end, 10);
	if (number <= 0 || number > 65536 || strcmp(end, "M"))
		return 0;
	return number << 20;
}

/* NULL, or the key that is wrong. */
static const char *manifest_read(json_t *root, struct image *image)
{
	json_t *value;
	size_t i;

	if (copy_word(root, "name", image->name, sizeof(image->name)) ||
	    !doc_name_valid(image->name))
		return "name";
	if (copy_word(root, "version", image->version, sizeof(image->version)))
		return "version";
	if (json_integer_value(json_object_get(root, "interface")) != ADJ_INTERFACE_VERSION)
		return "interface";
	/* A file name and no path: nothing outside the libexec folder is ever run. */
	if (copy_word(root, "executable", image->executable, sizeof(image->executable)) ||
	    strchr(image->executable, '/') || image->executable[0] == '.')
		return "executable";
	json_array_foreach(json_object_get(root, "devices"), i, value) {
		const char *pattern = json_string_value(value);

		if (!pattern || strlen(pattern) >= DOC_STRING_BYTES || i >= IMAGE_PATTERNS_MAX)
			return "devices";
		strcpy(image->patterns[image->pattern_count++], pattern);
	}
	json_array_foreach(json_object_get(root, "ports"), i, value) {
		int kind = 0;

		while (doc_port_kinds[kind] &&
		       strcmp(doc_port_kinds[kind], json_string_value(value) ?: ""))
			kind++;
		if (!doc_port_kinds[kind])
			return "ports";
		image->ports |= 1u << kind;
	}
	if (json_object_get(root, "fp") && !json_is_boolean(json_object_get(root, "fp")))
		return "fp";
	json_t *memory = json_object_get(root, "memory");
	image->memory_minimum = size_of(json_object_get(memory, "minimum"));
	image->memory_default = size_of(json_object_get(memory, "default"));
	if (image->memory_minimum <= 0 || image->memory_default < image->memory_minimum)
		return "memory";
	return NULL;
}

static int manifest_load(const char *path, struct image *image)
{
	char *text = malloc(MANIFEST_BYTES_MAX);
	struct yaml_error error = {0};
	struct yaml_tree *tree = NULL;
	FILE *file = fopen(path, "re");
	int result = -ENOMEM;

	if (!file) {
		result = -errno;
		log_warning("image manifest %s cannot be read: %m", path);
		goto out;
	}
	if (!text)
		goto out;
	size_t bytes = fread(text, 1, MANIFEST_BYTES_MAX, file);
	result = yaml_tree_load(text, bytes, &tree, &error);
	if (result) {
		log_warning("image manifest %s:%u: %s", path, error.line, error.message);
		goto out;
	}
	const char *wrong = manifest_read(yaml_tree_root(tree), image);
	if (wrong) {
		log_warning("image manifest %s: '%s' is missing or unusable; the image is left out",
			    path, wrong);
		result = -EINVAL;
	}
out:
	yaml_tree_free(tree);
	free(text);
	if (file)
		fclose(file);
	return result;
}

static int is_manifest(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && !fnmatch("*.yaml", entry->d_name, 0);
}

int image_list_load(const char *directory, struct image_list *out)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, is_manifest, alphasort);

	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		char path[4096];
		struct image image = {0};

		int length = snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
		free(entries[i]);
		if (length >= (int)sizeof(path) || out->count == IMAGES_MAX || manifest_load(path, &image))
			continue;
		out->images[out->count++] = image;
	}
	free(entries);
	return 0;
}

static bool image_drives(const struct image *image, const char *device_id)
{
	for (size_t i = 0; i < image->pattern_count; i++)
		if (!fnmatch(image->patterns[i], device_id, 0))
			return true;
	return false;
}

static void describe_images(const struct image_list *list, char *out, size_t out_bytes)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < list->count; i++)
		for (size_t p = 0; p < list->images[i].pattern_count && used < out_bytes; p++)
			used += (size_t)snprintf(out + used, out_bytes - used, "%s%s%s",
						 p ? ", " : i ? "; " : "",
						 p ? "" : list->images[i].name,
						 p ? "" : " drives ") +
				(size_t)snprintf(out + strlen(out), out_bytes - strlen(out), "%s",
						 list->images[i].patterns[p]);
}

const struct image *image_find(const struct image_list *list, const char *wanted,
			       const char *device_id, int port_kind, char *why, size_t why_bytes)
{
	char drives[512];
	bool named = false;

	for (size_t i = 0; i < list->count; i++) {
		const struct image *image = &list->images[i];

		if (*wanted && strcmp(image->name, wanted))
			continue;
		named = true;
		if (image_drives(image, device_id) && (image->ports & (1u << port_kind)))
			return image;
	}
	describe_images(list, drives, sizeof(drives));
	if (*wanted && !named)
		snprintf(why, why_bytes, "no adjunct image is called '%s'; installed: %s", wanted,
			 *drives ? drives : "none");
	else /* a real function needs none where the partition drives it (000, FIG. 7) */
		snprintf(why, why_bytes, "no adjunct image fits device %s with a %s port%s; installed: %s",
			 device_id, doc_port_kinds[port_kind],
			 strncmp(device_id, "pci:", 4) ? ""
						       : ": by an adapter of kind sriov, kind: netdev or "
							 "vfio gives the partition the function itself",
			 *drives ? drives : "none");
	return NULL;
}

/* One "0x8086" attribute of a PCI device. */
static int pci_attribute(const char *address, const char *attribute, unsigned *out)
{
	char path[DOC_STRING_BYTES + 64];
	int result = 0;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", address, attribute);
	FILE *file = fopen(path, "re");
	if (!file)
		return -errno;
	if (fscanf(file, "%x", out) != 1)
		result = -EIO;
	fclose(file);
	return result;
}

/* What the virtual functions of a physical one are, whether there are any yet or not. */
static int function_id(const struct doc_adapter *adapter, char *out, size_t out_bytes)
{
	struct vf_host host = {.kernel = &vf_kernel_recorded}; /* nothing is changed, or asked */
	struct vf_pf_wish wish = {0};
	int error = vf_pf_parse(adapter->device, &wish);

	if (!error)
		error = vf_discover(&host, 0);
	const struct vf_function *pf = error ? NULL : vf_pf_find(&host, &wish);
	if (pf)
		snprintf(out, out_bytes, "pci:%04x:%04x", pf->vendor, pf->vf_device);
	vf_host_clear(&host);
	return pf ? 0 : error ? error : -ENODEV;
}

int image_device_id(const struct doc_adapter *adapter, char *out, size_t out_bytes)
{
	unsigned domain, bus, slot, function, vendor, device;
	char address[DOC_STRING_BYTES];

	if (adapter->kind == DOC_ADAPTER_SRIOV)
		return function_id(adapter, out, out_bytes);
	if (adapter->kind != DOC_ADAPTER_DPDK) {
		snprintf(out, out_bytes, "%s", doc_adapter_kinds[adapter->kind]);
		return 0;
	}
	size_t length = strcspn(adapter->device, ",");
	memcpy(address, adapter->device, length);
	address[length] = '\0';
	if (sscanf(address, "%x:%x:%x.%x", &domain, &bus, &slot, &function) == 4) {
		int error = pci_attribute(address, "vendor", &vendor);
		if (!error)
			error = pci_attribute(address, "device", &device);
		if (!error)
			snprintf(out, out_bytes, "pci:%04x:%04x", vendor, device);
		return error;
	}
	while (length > 0 && isdigit((unsigned char)address[length - 1]))
		address[--length] = '\0';
	snprintf(out, out_bytes, "vdev:%s", address);
	return 0;
}
