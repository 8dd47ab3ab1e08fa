/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VFs of this machine as other programs read them: CDI for container runtimes, the
 * SR-IOV device plugin's resource list, Slurm's gres.conf, Nova's device_spec. Each in
 * the lowest version that says what is needed; one file a pool, renamed into place.
 * Called by `outrigger vf export`, on its thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

const char *const vf_format_names[] = {"cdi", "pcidp", "gres", "nova", NULL};

#define CDI_VERSION "0.5.0" /* the first in which a device's name may begin with a digit */
#define CDI_VENDOR "outrigger.local"

struct pool {
	char name[VF_NAME_BYTES];
	const struct vf_function **vfs;
	unsigned count;
};

/* A pool's name is part of file names, CDI kinds and Slurm types: letters, digits, - and _. */
static void name_of(const struct vf_function *vf, const struct vf_wish *wish,
		    char out[VF_NAME_BYTES])
{
	if (wish && wish->pool[0])
		memcpy(out, wish->pool, VF_NAME_BYTES);
	else
		snprintf(out, VF_NAME_BYTES, "pf-%s", vf->pf->name);
	for (char *c = out; *c; c++)
		if (*c == ':' || *c == '.')
			*c = '-';
}

static int add_vf(struct pool **pools, unsigned *pool_count, const char *name,
		  const struct vf_function *vf)
{
	struct pool *pool = NULL;

	for (unsigned i = 0; i < *pool_count; i++)
		if (!strcmp((*pools)[i].name, name))
			pool = &(*pools)[i];
	if (!pool) {
		struct pool *more = reallocarray(*pools, *pool_count + 1u, sizeof(*more));

		if (!more)
			return -ENOMEM;
		*pools = more;
		pool = &more[(*pool_count)++];
		*pool = (struct pool){0};
		snprintf(pool->name, sizeof(pool->name), "%s", name);
	}
	const struct vf_function **vfs = reallocarray(pool->vfs, pool->count + 1u, sizeof(*vfs));
	if (!vfs)
		return -ENOMEM;
	pool->vfs = vfs;
	vfs[pool->count++] = vf;
	return 0;
}

/* ---- Texts --------------------------------------------------------------------------------- */

/* The text, or NULL without memory; `bad` is how much of it could not be put together. */
static char *json_text(json_t *root, int bad)
{
	char *text = bad ? NULL : vf_json_text(root);

	json_decref(root);
	return text;
}

static int add_node(json_t *nodes, const char *folder, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/%s/%s", folder, name);
	return json_array_append_new(nodes, json_pack("{s:s}", "path", path));
}

static json_t *cdi_device(struct vf_host *host, const struct vf_function *vf)
{
	char variable[64], verbs[VF_NAME_BYTES], group[16];
	json_t *nodes = json_array(), *edits;
	int bad = 0;

	if (vf->iommu_group >= 0 && strstr(vf->driver, "vfio")) {
		snprintf(group, sizeof(group), "%d", vf->iommu_group);
		bad += add_node(nodes, "vfio", "vfio");
		bad += add_node(nodes, "vfio", group);
	}
	vf_first_entry(host, verbs, sizeof(verbs), VF_DEVICE "/infiniband_verbs", vf->name);
	if (verbs[0])
		bad += add_node(nodes, "infiniband", verbs);
	snprintf(variable, sizeof(variable), "OUTRIGGER_VF_%s=%s", vf->name, vf->name);
	for (char *c = variable; *c != '='; c++)
		if (*c == ':' || *c == '.')
			*c = '_';
	edits = json_pack("{s:[s]}", "env", variable);
	/* An empty list is left out: strict readers want at least one. */
	if (!nodes || json_array_size(nodes))
		bad += json_object_set(edits, "deviceNodes", nodes);
	json_decref(nodes);
	json_t *device = json_pack("{s:s, s:o}", "name", vf->name, "containerEdits", edits);
	if (!bad)
		return device;
	json_decref(device);
	return NULL;
}

static char *cdi_text(struct vf_host *host, const struct pool *pool)
{
	json_t *devices = json_array();
	char kind[80];
	int bad = 0;

	for (unsigned i = 0; i < pool->count && !bad; i++)
		bad += json_array_append_new(devices, cdi_device(host, pool->vfs[i]));
	snprintf(kind, sizeof(kind), CDI_VENDOR "/%s", pool->name);
	return json_text(json_pack("{s:s, s:s, s:o}", "cdiVersion", CDI_VERSION, "kind", kind,
				   "devices", devices), bad);
}

/* Each driver once; one VF of a pool without RDMA makes it one without. */
static int add_selector(const struct pool *pool, json_t *selector)
{
	json_t *addresses = json_array(), *drivers = json_array(), *other;
	int bad = json_object_set_new(selector, "pciAddresses", addresses);
	bool rdma = true;
	size_t j;

	for (unsigned i = 0; i < pool->count && !bad; i++) {
		const char *driver = pool->vfs[i]->driver;
		bool known = !*driver;

		bad += json_array_append_new(addresses, json_string(pool->vfs[i]->name));
		rdma = rdma && pool->vfs[i]->rdma[0];
		json_array_foreach(drivers, j, other)
			known |= !strcmp(json_string_value(other), driver);
		if (!known)
			bad += json_array_append_new(drivers, json_string(driver));
	}
	if (!drivers || json_array_size(drivers))
		bad += json_object_set(selector, "drivers", drivers);
	json_decref(drivers);
	if (rdma)
		bad += json_object_set_new(selector, "isRdma", json_true());
	return bad;
}

/* One entry of resourceList; a resource's name has no dash. */
static char *pcidp_text(struct vf_host *host, const struct pool *pool)
{
	json_t *selector = json_object();
	int bad = add_selector(pool, selector);
	char name[VF_NAME_BYTES];

	(void)host;
	snprintf(name, sizeof(name), "%s", pool->name);
	for (char *c = name; *c; c++)
		if (*c == '-')
			*c = '_';
	return json_text(json_pack("{s:[{s:s, s:[o]}]}", "resourceList", "resourceName", name,
				   "selectors", selector), bad);
}

static char *gres_text(struct vf_host *host, const struct pool *pool)
{
	char *text = NULL;
	size_t bytes;
	unsigned without = 0;
	FILE *out = open_memstream(&text, &bytes);

	(void)host;
	if (!out)
		return NULL;
	fputs("# Written by `outrigger vf export --format gres`.\n", out);
	for (unsigned i = 0; i < pool->count; i++) {
		const struct vf_function *vf = pool->vfs[i];

		if (vf->iommu_group >= 0 && strstr(vf->driver, "vfio"))
			fprintf(out, "# %s\nName=vf Type=%s File=/dev/vfio/%d\n", vf->name,
				pool->name, vf->iommu_group);
		else
			without++;
	}
	/* A VF that a kernel driver has is no file that Slurm could guard: only counted. */
	if (without)
		fprintf(out, "Name=vf Type=%s Count=%u Flags=CountOnly\n", pool->name, without);
	return fclose(out) ? NULL : text;
}

static char *nova_text(struct vf_host *host, const struct pool *pool)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	(void)host;
	if (!out)
		return NULL;
	fputs("# Written by `outrigger vf export --format nova`.\n[pci]\n", out);
	for (unsigned i = 0; i < pool->count; i++) {
		const struct vf_function *vf = pool->vfs[i];
		bool trust = vf->live.given & VF_BIT(VF_TRUST) && vf->live.trust;

		fprintf(out,
			"device_spec = {\"address\": \"%s\", \"physical_network\": \"%s\"%s}\n",
			vf->name, pool->name, trust ? ", \"trusted\": \"true\"" : "");
	}
	return fclose(out) ? NULL : text;
}

static const struct {
	char *(*text)(struct vf_host *host, const struct pool *pool);
	const char *before, *after; /* of a file's name */
} formats[] = {
	[VF_FORMAT_CDI] = {cdi_text, CDI_VENDOR "-", ".json"},
	[VF_FORMAT_PCIDP] = {pcidp_text, "pcidp-", ".json"},
	[VF_FORMAT_GRES] = {gres_text, "gres-", ".conf"},
	[VF_FORMAT_NOVA] = {nova_text, "nova-", ".conf"},
};

static int write_pool(struct vf_host *host, enum vf_format format, const struct pool *pool,
		      const char *folder, void (*told)(void *data, const char *path), void *data)
{
	char name[96], path[PATH_MAX];
	char *text = formats[format].text(host, pool);
	int error;

	if (!text)
		return -ENOMEM;
	snprintf(name, sizeof(name), "%s%s%s", formats[format].before, pool->name,
		 formats[format].after);
	error = vf_file_replace(folder, name, text, 0644);
	free(text);
	if (error)
		return vf_refuse(host, error, "%s/%s: %s", folder, name, strerror(-error));
	if (told && snprintf(path, sizeof(path), "%s/%s", folder, name) < (int)sizeof(path))
		told(data, path);
	return 0;
}

static const struct vf_wish *wish_of(struct vf_host *host, const struct vf_function *vf,
				     const struct vf_pf_wish *wishes, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (vf_pf_find(host, &wishes[i]) == vf->pf && vf->index < wishes[i].vf_count)
			return &wishes[i].vfs[vf->index];
	return NULL;
}

int vf_export(struct vf_host *host, enum vf_format format, const struct vf_pf_wish *wishes,
	      unsigned count, const char *folder, void (*told)(void *data, const char *path),
	      void *data)
{
	struct pool *pools = NULL;
	unsigned pool_count = 0;
	char name[VF_NAME_BYTES];
	int error = 0;

	for (unsigned i = 0; i < host->pf_count; i++)
		for (unsigned v = 0; v < host->pfs[i]->vf_count && !error; v++) {
			const struct vf_function *vf = &host->pfs[i]->vfs[v];

			name_of(vf, wish_of(host, vf, wishes, count), name);
			error = add_vf(&pools, &pool_count, name, vf);
		}
	for (unsigned i = 0; i < pool_count && !error; i++)
		error = write_pool(host, format, &pools[i], folder, told, data);
	for (unsigned i = 0; i < pool_count; i++)
		free(pools[i].vfs);
	free(pools);
	if (error == -ENOMEM)
		vf_refuse(host, error, "out of memory");
	return error;
}
