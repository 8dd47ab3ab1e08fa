/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves a VF from one driver to another by driver_override, which names exactly one
 * device, and gives it back as it was: `bind` saves before it changes, `release` resets
 * before it lets go, so that nothing of one owner reaches the next (T10). Called by the
 * users of vf.h and by apply.c, on their thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vf_internal.h"

/* DPDK drives these beside the kernel's driver, which stays bound ("bifurcated"). */
static bool bifurcated(const char *driver)
{
	static const char *const drivers[] = {"mlx5_core", "mlx4_core", "mana"};

	for (unsigned i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (!strcmp(driver, drivers[i]))
			return true;
	return false;
}

const char *vf_driver_meant(const struct vf_function *vf, const char *word)
{
	if (!strcmp(word, "default"))
		return "";
	if (!strcmp(word, "dpdk"))
		return bifurcated(vf->pf->driver) ? vf->pf->driver : "vfio-pci";
	return word;
}

static int driver_is_there(struct vf_host *host, const char *driver)
{
	if (!*driver || vf_exists(host, "/sys/bus/pci/drivers/%s", driver))
		return 0;
	return vf_refuse(host, -ENOENT, "the driver %s is not loaded: `modprobe %s`", driver,
			 driver);
}

struct wait_driver {
	const char *name, *wanted;
};

/* drivers_probe comes back when probing is over, unless the driver probes by itself. */
static int driver_came(struct vf_host *host, const void *data)
{
	const struct wait_driver *wait = data;
	char driver[VF_NAME_BYTES];

	vf_read_link(host, driver, sizeof(driver), VF_DEVICE "/driver", wait->name);
	return !strcmp(driver, wait->wanted) ? 0 : -EAGAIN;
}

int vf_unbind(struct vf_host *host, struct vf_function *vf)
{
	if (!vf->driver[0])
		return 0;
	int error = vf_write(host, vf->name, "/sys/bus/pci/drivers/%s/unbind", vf->driver);
	if (error)
		return error;
	vf->driver[0] = '\0';
	vf_look_interface(host, vf);
	return 0;
}

static int set_override(struct vf_host *host, struct vf_function *vf, const char *driver)
{
	char line[VF_NAME_BYTES + 1];

	if (!strcmp(vf->driver_override, driver))
		return 0;
	snprintf(line, sizeof(line), "%s\n", driver); /* a lone line end clears it */
	int error = vf_write(host, line, VF_DEVICE "/driver_override", vf->name);
	if (!error)
		snprintf(vf->driver_override, sizeof(vf->driver_override), "%s", driver);
	return error;
}

/*
 * `driver` "" is whichever the kernel picks. Then nothing need come: a VF may have no
 * driver here.
 */
int vf_move(struct vf_host *host, struct vf_function *vf, const char *override,
	    const char *driver)
{
	const struct wait_driver wait = {vf->name, driver};
	int error = set_override(host, vf, override);

	if (!error)
		error = vf_unbind(host, vf);
	if (!error)
		error = vf_write(host, vf->name, "/sys/bus/pci/drivers_probe");
	if (!error && *driver) {
		error = vf_wait(host, driver_came, &wait);
		if (error)
			vf_refuse(host, error,
				  "%s: the driver %s did not take it; the kernel's log "
				  "says why",
				  vf->name, driver);
	}
	vf_look_common(host, vf);
	return error;
}

int vf_driver_set(struct vf_host *host, struct vf_function *vf, const char *word)
{
	const char *driver = vf_driver_meant(vf, word);
	int error;

	/* A kernel driver that is to stay needs no override: it would come back by itself. */
	const char *override = bifurcated(driver) ? "" : driver;
	if (*driver ? !strcmp(vf->driver, driver)
		    : !vf->driver_override[0] && vf->driver[0] && strcmp(vf->driver, "vfio-pci"))
		return 1;
	error = driver_is_there(host, driver);
	return error ? error : vf_move(host, vf, override, driver);
}

static int check(struct vf_host *host, const struct vf_function *vf, const char *token)
{
	if (!vf->is_vf)
		return vf_refuse(host, -EINVAL, "%s is a physical function: only VFs change hands",
				 vf->name);
	if (!vf_word_valid(token) || strlen(token) >= VF_TOKEN_BYTES)
		return vf_refuse(host, -EINVAL, "an owner is 1 to %d printable characters without "
				 "blanks", VF_TOKEN_BYTES - 1);
	return 0;
}

int vf_lock_for(struct vf_host *host, const struct vf_function *vf, const char *token)
{
	int error = check(host, vf, token);

	return error ? error : vf_lock(host);
}

static int bind_locked(struct vf_host *host, struct vf_function *vf, const char *driver,
		       const char *token)
{
	const char *meant = vf_driver_meant(vf, driver);
	bool held = !strcmp(vf->owner, token);
	int error;

	if (vf->owner[0] && !held)
		return vf_record_claim(host, vf, token, false); /* which says who holds it */
	if (vf->used_by[0] && strcmp(vf->driver, meant))
		return vf_refuse(host, -EBUSY, "%s: %s; stop that first", vf->name, vf->used_by);
	error = driver_is_there(host, meant);
	if (!error)
		error = vf_record_claim(host, vf, token, false);
	if (error)
		return error;
	snprintf(vf->owner, sizeof(vf->owner), "%s", token);
	error = vf_driver_set(host, vf, driver);
	return error == 1 && !held ? 0 : error;
}

int vf_bind(struct vf_host *host, struct vf_function *vf, const char *driver, const char *token)
{
	int lock = vf_lock_for(host, vf, token);

	if (lock < 0)
		return lock;
	int error = bind_locked(host, vf, driver, token);
	close(lock);
	return error;
}

/* A function-level reset, where the VF has one; the memory that was its owner's is not here. */
int vf_reset(struct vf_host *host, const struct vf_function *vf)
{
	if (!vf_exists(host, VF_DEVICE "/reset", vf->name))
		return vf_refuse(host, -EOPNOTSUPP, "%s: cannot be reset, so it is not given back: "
				 "another would find what this owner left in it", vf->name);
	return vf_write(host, "1", VF_DEVICE "/reset", vf->name);
}

struct put {
	const struct vf_function *vf;
	unsigned keys;
	const struct vf_settings *settings;
};

static int try_put(struct vf_host *host, const void *data)
{
	const struct put *put = data;

	return host->kernel->settings_set(host->kernel->data, put->vf->pf->ifindex, put->vf->index,
					  put->keys, put->settings);
}

/* A VF that was just made, or reset, may not be ready: i40e answers "try again" until it is. */
int vf_settings_put(struct vf_host *host, const struct vf_function *vf, unsigned keys,
		    const struct vf_settings *settings)
{
	const struct put put = {vf, keys, settings};

	return vf_wait(host, try_put, &put);
}

/* One request for each group that differs: a driver may refuse what it never had. */
int vf_settings_bring(struct vf_host *host, const struct vf_function *vf,
		      const struct vf_settings *wanted)
{
	unsigned differ = vf_settings_differ(&vf->live, wanted);
	int error = 0;

	for (const unsigned *group = vf_key_groups; *group && !error; group++) {
		if (!(differ & *group))
			continue;
		error = vf_settings_put(host, vf, wanted->given & *group, wanted);
		if (error)
			vf_refuse(host, error, "%s: its settings: %s", vf->name, strerror(-error));
	}
	return error;
}

int vf_check_free(struct vf_host *host, const struct vf_function *vf)
{
	if (strcmp(vf->driver, "vfio-pci") || vf->iommu_group < 0)
		return 0;
	int error = host->kernel->group_free(host->kernel->data, vf->iommu_group);
	return error != -EBUSY ? 0 : vf_refuse(host, error, "%s: a program has its VFIO group %d "
					       "open; stop that first", vf->name, vf->iommu_group);
}

int vf_release_locked(struct vf_host *host, struct vf_function *vf, const char *token)
{
	struct vf_record record;
	int error = vf_record_load(host, vf->name, &record);

	if (error == -ENOENT)
		return vf_refuse(host, error, "%s: nobody holds it", vf->name);
	if (error)
		return error;
	if (strcmp(record.token, token))
		return vf_refuse(host, -EPERM, "%s: is held by \"%s\", not by \"%s\"", vf->name,
				 record.token, token);
	if (vf->used_by[0] && !vf->only_up)
		return vf_refuse(host, -EBUSY, "%s: %s; stop that first", vf->name, vf->used_by);
	error = vf_check_free(host, vf);
	if (error)
		return error;
	/* With no driver on it, nobody can start it between the reset and the end. */
	error = vf_unbind(host, vf);
	if (!error)
		error = vf_reset(host, vf);
	if (!error)
		error = vf_settings_bring(host, vf, &record.settings);
	/* It had none before: the kernel is not asked to find one. */
	if (!error && record.driver[0])
		error = vf_move(host, vf, record.driver_override,
				strcmp(record.driver, "default") ? record.driver : "");
	else if (!error)
		error = set_override(host, vf, record.driver_override);
	if (!error)
		error = vf_record_remove(host, vf->name);
	if (!error)
		vf->owner[0] = '\0';
	return error;
}

int vf_release(struct vf_host *host, struct vf_function *vf, const char *token)
{
	int lock = vf_lock_for(host, vf, token);

	if (lock < 0)
		return lock;
	int error = vf_release_locked(host, vf, token);
	close(lock);
	return error;
}

static int forget_locked(struct vf_host *host, const char *name, const char *token)
{
	struct vf_record record;
	int error = vf_record_load(host, name, &record);

	if (error == -ENOENT)
		return vf_refuse(host, error, "%s: is not there, and nobody held it", name);
	if (error)
		return error;
	if (strcmp(record.token, token))
		return vf_refuse(host, -EPERM, "%s: was held by \"%s\", not by \"%s\"", name,
				 record.token, token);
	return vf_record_remove(host, name);
}

int vf_forget(struct vf_host *host, const char *address, const char *token)
{
	char name[VF_ADDRESS_BYTES];
	struct vf_address parsed;
	int error, lock;

	if (vf_address_parse(address, &parsed))
		return vf_refuse(host, -EINVAL, "%.60s: is no address", address);
	vf_address_format(&parsed, name);
	if (vf_find(host, name))
		return vf_refuse(host, -EEXIST, "%s: is there", name);
	lock = vf_lock(host);
	if (lock < 0)
		return lock;
	error = forget_locked(host, name, token);
	close(lock);
	return error;
}
