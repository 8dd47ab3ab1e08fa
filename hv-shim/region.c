/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory regions of a partition, and donating them (design decision 1; 000,
 * FIG. 6 and 7). A region is a memfd that the shim makes and the keeper holds;
 * the partition's programs map it. To donate it, the shim cuts the memfd to
 * nothing and seals it against growing: the kernel then answers every access,
 * through whatever mapping the partition kept, with SIGBUS. The adjunct gets
 * fresh memory of the same size. Given back, the partition gets a new memfd,
 * zeroed, under the same name. Event-loop thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "shim.h"

static void store_name(const struct region *region, char out[DEVICE_LABEL_BYTES])
{
	snprintf(out, DEVICE_LABEL_BYTES, "%s.region", region->spec.name);
}

void region_list_set(struct partition *partition, const struct doc_region *regions, size_t count)
{
	memset(partition->regions, 0, sizeof(partition->regions));
	for (size_t i = 0; i < count; i++)
		partition->regions[i].spec = regions[i];
	partition->region_count = count;
}

struct region *region_find(struct partition *partition, const char *name)
{
	for (size_t i = 0; i < partition->region_count; i++)
		if (!strcmp(partition->regions[i].spec.name, name))
			return &partition->regions[i];
	return NULL;
}

/* A memfd, or -errno. It stays unsealed: cutting it is how it is donated. */
static int make_memfd(const struct region *region)
{
	char name[DOC_NAME_BYTES + 16];

	snprintf(name, sizeof(name), "region:%s", region->spec.name);
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, region->spec.size_bytes)) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

/* Makes the region's memory and gives it to the keeper. -errno: nobody will answer. */
static int make_and_store(struct partition *partition, const struct region *region,
			  peer_answer_fn callback, void *data)
{
	char name[DEVICE_LABEL_BYTES];
	int fd = make_memfd(region);

	if (fd < 0)
		return fd;
	store_name(region, name);
	peer_call(partition->keeper, "org.outrigger.Keeper.Store", json_pack("{s:s}", "name", name), &fd,
		  1, SHIM_CALL_MS, callback, data);
	close(fd);
	return 0;
}

/* ---- With the partition --------------------------------------------------------- */

static void make_next(struct partition *partition);

static void on_made(void *data, const char *problem, struct varlink_answer *answer)
{
	struct partition *partition = data;

	(void)answer;
	if (partition->state != STATE_STARTING)
		return; /* it is taken down meanwhile, and its keeper was told to end */
	if (problem) {
		partition->regions_done(partition, problem);
		return;
	}
	partition->regions_made++;
	make_next(partition);
}

static void make_next(struct partition *partition)
{
	if (partition->regions_made == partition->region_count) {
		partition->regions_done(partition, NULL);
		return;
	}
	int error = make_and_store(partition, &partition->regions[partition->regions_made], on_made,
				   partition);
	if (error)
		partition->regions_done(partition, strerror(-error));
}

void region_make_all(struct partition *partition, void (*done)(struct partition *partition,
								 const char *problem))
{
	partition->regions_made = 0;
	partition->regions_done = done;
	for (size_t i = 0; i < partition->region_count; i++)
		partition->regions[i].donated_to = NULL;
	make_next(partition);
}

/* ---- Donating -------------------------------------------------------------------- */

static void on_answer(void *data, const char *problem, struct varlink_answer *answer)
{
	(void)answer;
	device_step_done(data, problem);
}

/* NULL, or why the memory cannot be taken away. */
static const char *cut(int fd)
{
	const int ours = F_SEAL_GROW | F_SEAL_SEAL;
	int seals = fcntl(fd, F_GET_SEALS);

	/* Cut before, by us: the keeper could not be told to let go of it, nor be given another. */
	if (seals == ours && lseek(fd, 0, SEEK_END) == 0)
		return NULL;
	/* A program of the partition could have sealed it, to keep what it gave away. */
	if (seals != 0)
		return "the partition has sealed the region it donates";
	if (ftruncate(fd, 0) || fcntl(fd, F_ADD_SEALS, ours))
		return "the region cannot be taken from the partition";
	/* It may have been grown again between the two. */
	return lseek(fd, 0, SEEK_END) == 0 ? NULL : "the partition works against its donation";
}

static void on_fetched(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;
	struct region *region = region_find(device->partition, device->spec.adjunct.donate);
	char name[DEVICE_LABEL_BYTES];

	/* It could not be given back the last time, so there is nothing to take. */
	bool missing = region && answer && answer->error &&
		       !strcmp(answer->error, "org.outrigger.Keeper.NotFound");

	if (!problem && (!region || answer->fd_count != 1))
		problem = "the keeper does not have the region";
	if (!problem)
		problem = cut(answer->fds[0]);
	if (missing || problem) {
		device_step_done(device, missing ? NULL : problem);
		return;
	}
	device_event(device, "region-donated", region->spec.name);
	store_name(region, name);
	peer_call(device->partition->keeper, "org.outrigger.Keeper.Remove", json_pack("{s:s}", "name", name),
		  NULL, 0, SHIM_CALL_MS, on_answer, device);
}

int region_revoke(struct device *device)
{
	struct region *region;
	char name[DEVICE_LABEL_BYTES];

	if (!*device->spec.adjunct.donate)
		return 1;
	region = region_find(device->partition, device->spec.adjunct.donate);
	if (!region || region->donated_to) {
		snprintf(device->message, sizeof(device->message), "region '%s' %s%s",
			 device->spec.adjunct.donate, region ? "is donated already, to " : "is not there",
			 region ? region->donated_to->spec.name : "");
		return -EBUSY;
	}
	/* From now on no program is given it any more: what it got would be cut under it. If
	 * this fails, the way back (region_return) finds it whole. */
	region->donated_to = device;
	store_name(region, name);
	peer_call(device->partition->keeper, "org.outrigger.Keeper.Fetch", json_pack("{s:s}", "name", name),
		  NULL, 0, SHIM_CALL_MS, on_fetched, device);
	return 0;
}

static void on_returned(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;

	(void)answer;
	if (!problem)
		device_event(device, "region-returned", device->spec.adjunct.donate);
	device_step_done(device, problem);
}

/* A shim that was killed may have cut it already, or not yet, or given it back. */
static void on_looked_for(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;
	struct region *region = region_find(device->partition, device->spec.adjunct.donate);
	bool whole = !problem && answer->fd_count == 1 &&
		     lseek(answer->fds[0], 0, SEEK_END) == region->spec.size_bytes;

	if (whole || !device->partition->keeper) {
		device_step_done(device, NULL);
		return;
	}
	int error = make_and_store(device->partition, region, on_returned, device);
	if (!error)
		return;
	log_error("partition %s: region %s cannot be given back: %s", device->partition->name,
		  region->spec.name, strerror(-error));
	device_step_done(device, NULL);
}

int region_return(struct device *device)
{
	struct region *region = region_find(device->partition, device->spec.adjunct.donate);
	char name[DEVICE_LABEL_BYTES];

	if (!region || region->donated_to != device)
		return 1;
	region->donated_to = NULL;
	if (!device->partition->keeper)
		return 1;
	store_name(region, name);
	peer_call(device->partition->keeper, "org.outrigger.Keeper.Fetch", json_pack("{s:s}", "name", name),
		  NULL, 0, SHIM_CALL_MS, on_looked_for, device);
	return 0;
}

void region_adopt(struct device *device)
{
	struct region *region = region_find(device->partition, device->spec.adjunct.donate);

	if (region)
		region->donated_to = device;
}

/* ---- For programs ------------------------------------------------------------------ */

struct open_job {
	struct varlink_call *call; /* NULL: the caller has left */
	json_int_t size_bytes;
};

static void on_caller_gone(void *data)
{
	struct open_job *job = data;

	job->call = NULL;
}

static void on_open_fetched(void *data, const char *problem, struct varlink_answer *answer)
{
	struct open_job *job = data;
	struct varlink_call *call = job->call;
	json_int_t size_bytes = job->size_bytes;

	free(job);
	if (!call)
		return;
	if (problem)
		varlink_errorf(call, "org.outrigger.Partition.NotReady", "%s", problem);
	else
		varlink_reply_fds(call, json_pack("{s:I}", "size_bytes", size_bytes), answer->fds,
				  answer->fd_count);
}

void region_open(struct partition *partition, struct varlink_call *call, const char *name)
{
	struct region *region = region_find(partition, name);
	char stored[DEVICE_LABEL_BYTES];

	if (!region) {
		varlink_errorf(call, "org.outrigger.Partition.NotFound",
			       "partition %s has no region '%.40s'", partition->name, name);
		return;
	}
	if (region->donated_to) {
		varlink_errorf(call, "org.outrigger.Partition.Busy", "region %s is donated to the adjunct "
			       "of %s", region->spec.name, region->donated_to->spec.name);
		return;
	}
	struct open_job *job = partition->state == STATE_RUNNING ? calloc(1, sizeof(*job)) : NULL;
	if (!job) {
		varlink_errorf(call, "org.outrigger.Partition.NotReady", "partition %s is %s",
			       partition->name, object_state_name(partition->state));
		return;
	}
	*job = (struct open_job){.call = call, .size_bytes = region->spec.size_bytes};
	varlink_call_on_cancel(call, on_caller_gone, job);
	store_name(region, stored);
	peer_call(partition->keeper, "org.outrigger.Keeper.Fetch", json_pack("{s:s}", "name", stored), NULL,
		  0, SHIM_CALL_MS, on_open_fetched, job);
}
