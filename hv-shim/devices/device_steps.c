/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steps by which a device and its adjunct come and go: 000, FIG. 7, whose
 * step numbers stand in the names. Each either finishes at once or hands over
 * to device_step_done() when another process has answered. Event-loop thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "../shim.h"
#include "vfio.h"

#define HUGE_PAGE_BYTES (2 << 20)
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26) /* linux/memfd.h */
#endif
/* The kernel clears huge pages while the event loop waits, some 10 GB a second. */
#define HUGE_BYTES_MAX (256 << 20)

#define DONE 1
#define PENDING 0

static struct shim *shim_of(const struct device *device)
{
	return device->partition->shim;
}

/* Most answers say only whether it went well. */
static void on_answer(void *data, const char *problem, struct varlink_answer *answer)
{
	(void)answer;
	device_step_done(data, problem);
}

__attribute__((format(printf, 3, 4)))
static int fail_step(struct device *device, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(device->message, sizeof(device->message), format, arguments);
	va_end(arguments);
	return error;
}

/* ---- Start -------------------------------------------------------------------- */

static int wait_for_others(struct device *device)
{
	if (doc_is_client(&device->spec))
		return client_wait(device);
	if (!adapter_claim(device->adapter, device))
		return PENDING; /* until its present owner has left it */
	if (device->adapter->state == STATE_FAILED)
		return fail_step(device, -ENODEV, "adapter %s failed: %s", device->adapter->spec.name,
				 device->adapter->message);
	if (device->partition->state == STATE_FAILED)
		return fail_step(device, -ENODEV, "partition %s failed: %s", device->partition->name,
				 device->partition->message);
	return adapter_is_ready(device) && partition_is_ready(device->partition) ? DONE : PENDING;
}

/* A memfd of huge pages, all of them its own now; -errno: there are not as many. */
static int make_huge(const char *name, int64_t bytes)
{
	if (bytes % HUGE_PAGE_BYTES || bytes > HUGE_BYTES_MAX)
		return -EINVAL;
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_HUGE_2MB);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, bytes) || fallocate(fd, 0, 0, bytes)) {
		close(fd);
		return -ENOMEM;
	}
	return fd;
}

bool device_has_huge_pages(void)
{
	int fd = make_huge("outrigger:one", HUGE_PAGE_BYTES);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int device_donate(struct device *device)
{
	char label[DEVICE_LABEL_BYTES], name[DEVICE_LABEL_BYTES + 16];

	device_label(device, label);
	snprintf(name, sizeof(name), "outrigger:%s", label);
	int fd = make_huge(name, device->spec.adjunct.memory_bytes);
	if (fd < 0)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return fail_step(device, -errno, "no memory file: %s", strerror(errno));
	/* Sealed, so that nobody can cut it short (T05). */
	if (ftruncate(fd, device->spec.adjunct.memory_bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		int error = -errno;

		close(fd);
		return fail_step(device, error, "%lld bytes of memory: %s",
				 (long long)device->spec.adjunct.memory_bytes, strerror(-error));
	}
	return fd;
}

static int reserve_memory(struct device *device)
{
	device->starting_ns = clock_now_ns();
	if (device->walk == device_recover_steps && standby_has_memory(device))
		return DONE;
	int fd = device_donate(device);
	if (fd < 0)
		return fd;
	device->fds[device->fd_count++] = fd;
	device->memory_sent = true;
	return DONE;
}

/* The port's descriptors, from the keeper. */
static void on_port(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;
	unsigned wanted = device->spec.kind == ADJ_PORT_TAP ? 1 : SHIM_WINDOW_FDS;

	if (!problem && answer->fd_count != wanted)
		problem = "the keeper sent other descriptors than it was given";
	for (unsigned i = 0; !problem && i < wanted; i++) {
		device->fds[device->fd_count++] = answer->fds[i];
		answer->fds[i] = -1;
	}
	device_step_done(device, problem);
}

static void on_old_port_removed(void *data, const char *problem, struct varlink_answer *answer)
{
	(void)data;
	(void)answer;
	if (!problem)
		log_debug("an interface that could not be taken away before has gone");
}

/* The partition's end. A guest's session follows once the adjunct is there, a
 * native window when a program opens it; a TAP must be in the namespace now. */
static int make_port(struct device *device)
{
	const struct doc_device *spec = &device->spec;
	char mac[DOC_MAC_TEXT_BYTES];
	json_t *addresses = json_array();

	if (spec->kind != ADJ_PORT_TAP) {
		json_decref(addresses);
		return DONE;
	}
	for (int i = 0; i < DOC_ADDRESSES_MAX && spec->addresses[i][0]; i++)
		json_array_append_new(addresses, json_string(spec->addresses[i]));
	doc_mac_format(spec->mac, mac);
	/* When it was last taken down the keeper may have been out of reach. */
	peer_call(device->partition->keeper, "org.outrigger.Keeper.Remove",
		  json_pack("{s:s}", "name", spec->name), NULL, 0, SHIM_CALL_MS, on_old_port_removed,
		  NULL);
	peer_call(device->partition->keeper, "org.outrigger.Keeper.CreateTap",
		  json_pack("{s:s,s:s,s:s,s:I,s:o}", "name", spec->name, "ifname", spec->ifname, "mac",
			    mac, "mtu", (json_int_t)spec->mtu, "addresses", addresses),
		  NULL, 0, SHIM_CALL_MS, on_port, device);
	return PENDING;
}

/* The same port for the next adjunct: its interface, or its program's window, unless
 * that is the standby's already. */
static int fetch_port(struct device *device)
{
	char name[DEVICE_LABEL_BYTES];

	if (device->spec.kind == ADJ_PORT_TAP)
		snprintf(name, sizeof(name), "%s", device->spec.name);
	else if (device->attachment && !(device->standby_ready && device->window_told))
		attachment_store_name(device, name);
	else
		return DONE;
	peer_call(device->partition->keeper, "org.outrigger.Keeper.Fetch", json_pack("{s:s}", "name", name),
		  NULL, 0, SHIM_CALL_MS, on_port, device);
	return PENDING;
}

int device_executable(struct device *device, char *out, size_t out_bytes)
{
	struct shim *shim = shim_of(device);
	char id[DOC_STRING_BYTES], why[SHIM_MESSAGE_BYTES];
	int error = image_device_id(&device->adapter->spec, id, sizeof(id));

	if (error)
		return fail_step(device, error, "%s: %s", device->adapter->spec.device,
				 strerror(-error));
	device->image = image_find(&shim->images, device->spec.adjunct.image, id, device->spec.kind,
				   why, sizeof(why));
	if (!device->image)
		return fail_step(device, -ENOENT, "%s", why);
	snprintf(out, out_bytes, "%s/%s", shim->libexec_dir, device->image->executable);
	return 0;
}

int device_spawn(struct device *device, const char *executable, const char *socket_path,
		 peer_exit_fn on_exit, struct peer **out)
{
	char label[DEVICE_LABEL_BYTES];

	device_label(device, label);
	return peer_spawn(shim_of(device)->event,
			  &(struct program){.executable = executable, .name = label,
					    .partition = device->partition->name,
					    .device = device->spec.name,
					    .isolation = SPAWN_ISOLATED},
			  socket_path, on_exit, device, out);
}

static int create_adjunct(struct device *device)
{
	struct shim *shim = shim_of(device);
	char socket_path[SHIM_PATH_BYTES], executable[sizeof(shim->libexec_dir) + DOC_STRING_BYTES];

	if (standby_promote(device))
		return DONE;
	int error = device_executable(device, executable, sizeof(executable));
	if (error)
		return error;
	error = device_socket_path(device, device->slot, socket_path);
	if (!error)
		error = device_spawn(device, executable, socket_path, device_on_adjunct_exit,
				     &device->adjunct);
	if (error)
		return fail_step(device, error, "%s: %s", executable, strerror(-error));
	peer_set_exit(device->adjunct, device_on_adjunct_exit, device_on_adjunct_death);
	return DONE;
}

/*
 * A function by VFIO: its group, and a container unless the adjunct was a standby, are
 * the last descriptors that Start takes. The group's number; -ENODEV: it is none.
 */
static int open_vfio(struct device *device, const char *device_string)
{
	int group = vfio_group_of(device_string);

	if (group < 0)
		return group;
	for (int which = device->memory_sent ? 0 : 1; which < VFIO_FDS; which++) {
		int fd = which ? vfio_open_group(group) : vfio_open_container();

		if (fd < 0)
			return fail_step(device, fd, "%s by VFIO, group %d: %s", device_string, group,
					 strerror(-fd));
		device->fds[device->fd_count++] = fd;
	}
	return group;
}

static void on_dispatched(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;

	device->reset_ns = problem ? 0 : (uint64_t)json_integer_value(
						 json_object_get(answer->parameters, "reset_ns"));
	device_step_done(device, problem);
}

static int dispatch_adjunct(struct device *device)
{
	const struct doc_device *spec = &device->spec;
	char label[DEVICE_LABEL_BYTES], mac[DOC_MAC_TEXT_BYTES];
	char device_string[2 * SHIM_PATH_BYTES], vhost_path[SHIM_PATH_BYTES];

	device_label(device, label);
	doc_mac_format(spec->mac, mac);
	int error = adapter_device_string(device->adapter, device, device_string,
					  sizeof(device_string));
	if (!error)
		error = device_vhost_path(device, device->slot, vhost_path);
	if (error)
		return fail_step(device, error, "its socket's path is too long; use a shorter state "
				 "folder");
	int group = open_vfio(device, device_string);

	if (group < 0 && group != -ENODEV)
		return group;
	json_t *port = json_pack("{s:s,s:s,s:I}", "kind", doc_port_kinds[spec->kind], "mac", mac,
				 "mtu", (json_int_t)spec->mtu);
	if (spec->kind == ADJ_PORT_VHOST_USER)
		json_object_set_new(port, "path", json_string(vhost_path));
	/* Memory and a window: a program has the device open, and an adjunct of it died. */
	if (spec->kind == ADJ_PORT_NATIVE && device->attachment)
		json_object_set_new(port, "ring_entries", json_integer(spec->ring_entries));
	json_t *parameters =
		json_pack("{s:s,s:s,s:I,s:o,s:s}", "name", label, "device", device_string,
			  "memory_bytes", (json_int_t)spec->adjunct.memory_bytes, "port", port, "cpu",
			  doc_cpus[spec->adjunct.cpu]);
	/* Of several partitions' frames it would not tell whose they are. */
	if (device->vf_taken >= 0 && spec->adjunct.scope == DOC_SCOPE_LOCAL)
		json_object_set_new(parameters, "taken", json_integer(device->vf_taken));
	if (group >= 0)
		json_object_set_new(parameters, "vfio_group", json_integer(group));
	if (device->adjunct_state)
		json_object_set_new(parameters, "state", json_string(device->adjunct_state));
	peer_call(device->adjunct, "org.outrigger.Adjunct.Start",
		  parameters, device->fds, device->fd_count, shim_of(device)->start_ms, on_dispatched,
		  device);
	return PENDING;
}

static int set_up_interface(struct device *device)
{
	if (!device->adjunct)
		return fail_step(device, -ESRCH, "its adjunct ended at once");
	int error = device_watch(device);

	if (error) /* the heartbeat tries it again, and its end is seen in any case */
		log_warning("device %s/%s: its adjunct's events cannot be watched now: %s",
			    device->partition->name, device->spec.name, strerror(-error));
	/* To a vhost-user device's adjunct its guest's session is told, if it has one. */
	return device->vhost ? device_vhost_connect(device) : DONE;
}

const struct step device_start_steps[] = {
	{"wait for the adapter and the partition (705)", wait_for_others},
	{"revoke the donated region (750)", region_revoke},
	{"reserve memory (735)", reserve_memory, STEP_FOR_ADJUNCT},
	{"make the partition's virtual device (775)", make_port, STEP_FOR_ADJUNCT},
	{"assign the virtual function (745)", function_assign, STEP_FOR_ADJUNCT | STEP_FOR_PARTITION},
	{"create the adjunct (755)", create_adjunct, STEP_FOR_ADJUNCT},
	{"load, initialise and dispatch the adjunct (760, 765, 770)", dispatch_adjunct,
	 STEP_FOR_ADJUNCT},
	{"take up the guest's session", device_vhost_open},
	{"set up the service interface (775, 780)", set_up_interface, STEP_FOR_ADJUNCT},
	{"attach to the global adjunct (930, 935)", client_attach, STEP_FOR_CLIENT},
	{"hand the virtual function over (715)", function_hand_over, STEP_FOR_PARTITION},
	{NULL},
};
const unsigned device_adopt_step = 7;

/* ---- Stop ---------------------------------------------------------------------- */

static int detach_program(struct device *device)
{
	clients_lost(device);
	if (device->attachment)
		device_event(device, "device-closed", *device->message ? device->message : NULL);
	attachment_close(device->attachment);
	device->attachment = NULL;
	return DONE;
}

static void on_stopped(void *data, const char *problem, struct varlink_answer *answer)
{
	struct device *device = data;
	const char *state =
		problem ? NULL : json_string_value(json_object_get(answer->parameters, "state"));

	free(device->adjunct_state);
	device->adjunct_state = state ? strdup(state) : NULL;
	if (problem)
		log_warning("device %s/%s: its adjunct did not stop by itself: %s",
			    device->partition->name, device->spec.name, problem);
	device_step_done(device, NULL);
}

static int quiesce_adjunct(struct device *device)
{
	if (!device->adjunct)
		return DONE;
	device_vhost_detach(device, false);
	peer_call(device->adjunct, "org.outrigger.Adjunct.Stop", NULL, NULL, 0, SHIM_STOP_MS,
		  on_stopped, device);
	return PENDING;
}

/* After Stop it ends by itself; one that did not answer is ended here. */
static int end_adjunct(struct device *device)
{
	if (!device->adjunct)
		return device->leaving && device_undoing(device) ? PENDING : DONE;
	peer_kill(device->adjunct);
	return PENDING;
}

/* A killed process leaves its sockets behind. */
static int remove_sockets(struct device *device)
{
	char path[SHIM_PATH_BYTES];

	standby_end(device);
	for (unsigned slot = 0; slot < 2; slot++) {
		if (!device_socket_path(device, slot, path))
			unlink(path);
		if (!device_vhost_path(device, slot, path))
			unlink(path);
	}
	return DONE;
}

static int return_port(struct device *device)
{
	if (device->spec.kind != ADJ_PORT_TAP || !device->partition->keeper)
		return DONE;
	peer_call(device->partition->keeper, "org.outrigger.Keeper.Remove",
		  json_pack("{s:s}", "name", device->spec.name), NULL, 0, SHIM_CALL_MS, on_answer,
		  device);
	return PENDING;
}

const struct step device_stop_steps[] = {
	{"detach the partition's program", detach_program},
	{"wait until nobody attaches it any more", client_settle, STEP_FOR_CLIENT},
	{"detach from the global adjunct", client_detach, STEP_FOR_CLIENT},
	{"quiesce the adjunct", quiesce_adjunct},
	{"end the adjunct", end_adjunct},
	{"remove its sockets", remove_sockets},
	{"give the donated region back", region_return},
	{"return the partition's virtual device", return_port},
	{"reset the virtual function", function_return, STEP_FOR_ADJUNCT | STEP_FOR_PARTITION},
	{NULL},
};

/* ---- Recovery ------------------------------------------------------------------ */

/* The partition keeps its interface, window or vhost-user session; what is behind it is new. */
const struct step device_recover_steps[] = {
	{"quiesce the old adjunct", quiesce_adjunct},
	{"end the old adjunct", end_adjunct},
	{"wait before another try", device_wait_before_retry, STEP_FOR_ADJUNCT},
	{"wait for the adapter and the partition", wait_for_others},
	{"reset the virtual function", function_return, STEP_FOR_ADJUNCT},
	{"reserve memory (735)", reserve_memory, STEP_FOR_ADJUNCT},
	{"fetch the partition's virtual device", fetch_port},
	{"assign the virtual function (745)", function_assign, STEP_FOR_ADJUNCT},
	{"create the adjunct (755)", create_adjunct, STEP_FOR_ADJUNCT},
	{"load, initialise and dispatch the adjunct (760, 765, 770)", dispatch_adjunct,
	 STEP_FOR_ADJUNCT},
	{"take up the guest's session", device_vhost_open},
	{"set up the service interface (775, 780)", set_up_interface, STEP_FOR_ADJUNCT},
	{"attach to the global adjunct (930, 935)", client_attach, STEP_FOR_CLIENT},
	{NULL},
};
