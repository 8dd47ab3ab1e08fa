/* SPDX-License-Identifier: BSD-2-Clause */
/* The lying shim of the liboutrigger tests; see fake_shim.h. */
#include "fake_shim.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../fault.h"
#include "unix_socket.h"

#define INTERFACE "org.outrigger.Partition"

static void get_partition(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct fake_shim *shim = context;

	(void)parameters;
	if (shim->partition) {
		varlink_reply(call, json_loads(shim->partition, 0, NULL));
		return;
	}
	varlink_reply(call, json_pack("{s:s, s:[{s:s,s:s,s:s,s:i,s:s}]}", "name", "green", "devices",
				      "name", "net0", "kind", "native", "mac", shim->mac, "mtu",
				      shim->mtu, "state", "running"));
}

static void open_net(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct fake_shim *shim = context;

	(void)parameters;
	if (shim->error) {
		varlink_errorf(call, shim->error, "the test wants it so");
		return;
	}
	varlink_reply_fds(call,
			  json_pack("{s:s,s:i,s:i,s:i}", "mac", shim->mac, "mtu", shim->mtu,
				    "ring_entries", shim->ring_entries, "layout_version",
				    shim->layout_version),
			  shim->fds, shim->fd_count);
}

static void resume_net(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct fake_shim *shim = context;

	(void)parameters;
	if (shim->closed)
		varlink_errorf(call, INTERFACE ".NotFound", "not yours");
	else
		varlink_reply(call, json_pack("{s:b}", "link", 0));
}

static void open_region(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct fake_shim *shim = context;

	(void)parameters;
	varlink_reply_fds(call, json_pack("{s:I}", "size_bytes", (json_int_t)shim->region_bytes),
			  shim->fds, shim->region_fd_count);
}

static void open_guest(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct fake_guest *guest = &((struct fake_shim *)context)->guest;

	(void)parameters;
	varlink_reply_fds(call, json_pack("{s:i,s:i,s:i}", "layout_version", guest->layout_version,
					  "queues", guest->queues, "entries", guest->entries),
			  guest->fds, guest->fd_count);
}

static void associate_net(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct fake_guest *guest = &((struct fake_shim *)context)->guest;

	(void)parameters;
	varlink_reply(call, json_pack("{s:i}", "queue", guest->queue));
}

static void forget_monitor(void *data)
{
	((struct fake_client *)data)->monitor = NULL;
}

static void monitor(struct varlink_call *call, json_t *parameters, void *context)
{
	struct fake_shim *shim = context;

	(void)parameters;
	for (unsigned i = 0; i < FAKE_CLIENTS_MAX; i++) {
		if (shim->clients[i].conn == varlink_call_conn(call)) {
			shim->clients[i].monitor = call;
			varlink_call_on_cancel(call, forget_monitor, &shim->clients[i]);
		}
	}
}

static const struct varlink_method methods[] = {
	{"GetPartition", get_partition},
	{"OpenNet", open_net},
	{"ResumeNet", resume_net},
	{"OpenRegion", open_region},
	{"OpenGuest", open_guest},
	{"AssociateNet", associate_net},
	{"DissociateNet", associate_net},
	{"Monitor", monitor, .needs_more = true},
	{NULL},
};
static const struct varlink_interface interface = {INTERFACE, "interface " INTERFACE, methods};
static const struct varlink_interface *const interfaces[] = {&interface, NULL};

static void drop(struct fake_client *client)
{
	varlink_server_free(client->server);
	varlink_conn_free(client->conn);
	*client = (struct fake_client){0};
}

static void accept_client(struct fake_shim *shim, const struct varlink_service *service)
{
	int fd = accept4(shim->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (shim->away) {
		close(fd);
		return;
	}
	for (unsigned i = 0; i < FAKE_CLIENTS_MAX && fd >= 0; i++) {
		struct fake_client *client = &shim->clients[i];
		if (client->conn)
			continue;
		if (varlink_conn_new(fd, &client->conn) ||
		    varlink_server_new(service, client->conn, &client->server))
			abort();
		return;
	}
	abort(); /* a test with too many clients */
}

static void obey(struct fake_shim *shim, char command)
{
	const char *device = command == 'o' ? "net1" : "net0";

	if (strchr("xbc", command)) {
		shim->away = command == 'x';
		shim->closed = command == 'c';
		if (command != 'x')
			return;
	}
	for (unsigned i = 0; i < FAKE_CLIENTS_MAX; i++) {
		if (command == 'x')
			drop(&shim->clients[i]);
		else if (shim->clients[i].monitor)
			varlink_reply_more(shim->clients[i].monitor,
					   json_pack("{s:s,s:s,s:s}", "device", device, "event",
						     "link-down", "message", "cable pulled"));
	}
}

static void *serve(void *data)
{
	struct fake_shim *shim = data;
	const struct varlink_service service = {"test", "test", "0", "test", interfaces, shim};
	struct pollfd polled[2 + FAKE_CLIENTS_MAX];
	char command = 0;

	fault_not_here();
	while (command != 'q') {
		polled[0] = (struct pollfd){.fd = shim->command_fds[1], .events = POLLIN};
		polled[1] = (struct pollfd){.fd = shim->listen_fd, .events = POLLIN};
		for (unsigned i = 0; i < FAKE_CLIENTS_MAX; i++) {
			struct varlink_conn *conn = shim->clients[i].conn;
			polled[2 + i] = (struct pollfd){
				.fd = conn ? varlink_conn_fd(conn) : -1,
				.events = conn ? varlink_conn_events(conn) : 0,
			};
		}
		if (poll(polled, 2 + FAKE_CLIENTS_MAX, PATIENCE_MS) < 0)
			abort();
		for (unsigned i = 0; i < FAKE_CLIENTS_MAX; i++) {
			struct fake_client *client = &shim->clients[i];
			if (!polled[2 + i].revents)
				continue;
			int error = varlink_conn_flush(client->conn) < 0 ? -1 : 0;
			error = varlink_conn_read(client->conn) < 0 ? -1 : error;
			if (varlink_server_process(client->server) || error)
				drop(client);
		}
		if (polled[1].revents)
			accept_client(shim, &service);
		if (polled[0].revents && read(shim->command_fds[1], &command, 1) == 1) {
			obey(shim, command);
			if (write(shim->command_fds[1], &command, 1) != 1)
				abort();
		}
	}
	for (unsigned i = 0; i < FAKE_CLIENTS_MAX; i++)
		drop(&shim->clients[i]);
	return NULL;
}

void fake_command(struct fake_shim *shim, char command)
{
	cr_assert_eq(write(shim->command_fds[0], &command, 1), 1);
	cr_assert_eq(read(shim->command_fds[0], &command, 1), 1);
}

int fake_window(size_t size_bytes, int seals)
{
	int fd = memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)size_bytes), 0);
	cr_assert(seals == 0 || fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

void fake_use_window(struct fake_shim *shim, int fd)
{
	close(shim->fds[0]);
	shim->fds[0] = fd;
}

void fake_start(struct fake_shim *shim, uint32_t ring_entries)
{
	*shim = (struct fake_shim){
		.directory = "/tmp/otr-unit-XXXXXX",
		.fd_count = 1 + NET_BELLS,
		.region_fd_count = 1,
		.mtu = 1500,
		.ring_entries = (int)ring_entries,
		.layout_version = NET_LAYOUT_VERSION,
		.mac = "02:00:00:0a:0b:0c",
	};
	cr_assert(mkdtemp(shim->directory));
	snprintf(shim->path, sizeof(shim->path), "%s/green.sock", shim->directory);
	shim->listen_fd = unix_listen(shim->path, 0600);
	cr_assert_geq(shim->listen_fd, 0);
	cr_assert_eq(net_layout_compute(ring_entries, &shim->layout), 0);
	shim->fds[0] = fake_window(shim->layout.size_bytes, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	for (unsigned i = 1; i < sizeof(shim->fds) / sizeof(shim->fds[0]); i++)
		shim->fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	shim->window = mmap(NULL, shim->layout.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			    shim->fds[0], 0);
	cr_assert_neq(shim->window, MAP_FAILED);
	cr_assert_eq(eq_ring_open(&shim->tx, shim->window + shim->layout.tx_ring, ring_entries,
				  NET_ENTRY_BYTES), 0);
	cr_assert_eq(eq_ring_open(&shim->rx, shim->window + shim->layout.rx_ring, ring_entries,
				  NET_ENTRY_BYTES), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, shim->command_fds), 0);
	cr_assert_eq(pthread_create(&shim->thread, NULL, serve, shim), 0);
}

void fake_stop(struct fake_shim *shim)
{
	fake_command(shim, 'q');
	pthread_join(shim->thread, NULL);
	for (unsigned i = 0; i < sizeof(shim->fds) / sizeof(shim->fds[0]); i++)
		close(shim->fds[i]);
	munmap(shim->window, shim->layout.size_bytes);
	close(shim->listen_fd);
	close(shim->command_fds[0]);
	close(shim->command_fds[1]);
	unlink(shim->path);
	rmdir(shim->directory);
}

struct otr_net *fake_open(struct fake_shim *shim, struct otr **otr)
{
	struct otr_net *net = NULL;

	cr_assert_eq(otr_attach(shim->path, otr), 0, "%s", otr_last_error());
	cr_assert_eq(otr_net_open(*otr, "net0", &net), 0, "%s", otr_last_error());
	return net;
}

void fake_deliver(struct fake_shim *shim, uint32_t length_bytes, uint8_t fill)
{
	const struct net_entry entry = {.length_bytes = (uint16_t)length_bytes};

	cr_assert_gt(eq_ring_space(&shim->rx, 1), 0);
	if (length_bytes <= NET_BUFFER_BYTES)
		memset(shim->window + shim->layout.rx_buffers +
			       (size_t)eq_ring_slot(&shim->rx) * NET_BUFFER_BYTES,
		       fill, length_bytes);
	eq_ring_put(&shim->rx, &entry, sizeof(entry));
}

bool fake_ring_receiver(struct fake_shim *shim)
{
	const uint64_t one = 1;

	if (!eq_ring_must_wake_consumer(&shim->rx))
		return false;
	cr_assert_eq(write(shim->fds[1 + NET_BELL_PARTITION], &one, sizeof(one)), sizeof(one));
	return true;
}

unsigned fake_drain(struct fake_shim *shim)
{
	const uint64_t one = 1;
	struct net_entry entry;
	unsigned count = 0;

	while (eq_ring_take(&shim->tx, &entry, sizeof(entry)))
		count++;
	eq_ring_release(&shim->tx, count);
	if (eq_ring_must_wake_producer(&shim->tx))
		cr_assert_eq(write(shim->fds[1 + NET_BELL_PARTITION], &one, sizeof(one)),
			     sizeof(one));
	return count;
}

/* ---- Guests -------------------------------------------------------------- */

void fake_guest_start(struct fake_shim *shim, uint32_t queues)
{
	struct fake_guest *guest = &shim->guest;

	cr_assert_eq(guest_layout_compute(queues, GUEST_ENTRIES_DEFAULT, &guest->layout), 0);
	guest->fds[0] = fake_window(guest->layout.size_bytes,
				    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	for (unsigned i = 1; i < 4; i++)
		guest->fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	guest->fd_count = 3;
	guest->layout_version = GUEST_LAYOUT_VERSION;
	guest->queues = (int)queues;
	guest->entries = (int)GUEST_ENTRIES_DEFAULT;
	guest->storage = mmap(NULL, guest->layout.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			      guest->fds[0], 0);
	cr_assert_neq(guest->storage, MAP_FAILED);
	uint8_t *queue = guest->storage + guest->layout.first_queue;
	const struct eq_queue spec = {
		.ring = queue,
		.capacity = guest->layout.entries,
		.marks = (eq_marks *)(queue + guest->layout.marks),
		.slots = GUEST_SLOTS,
		.asb = (eq_summary *)(guest->storage + guest->layout.summaries),
		.interrupts = (struct eq_interrupts *)guest->storage,
		.isc = GUEST_ISC,
		.control = EQ_EVERY_ENTRY,
	};
	cr_assert_eq(eq_poster_open(&guest->poster, &spec), 0);
}

void fake_guest_stop(struct fake_shim *shim)
{
	struct fake_guest *guest = &shim->guest;

	eq_poster_close(&guest->poster);
	munmap(guest->storage, guest->layout.size_bytes);
	for (unsigned i = 0; i < 4; i++)
		close(guest->fds[i]);
}

bool fake_forward(struct fake_shim *shim, enum guest_slot slot, enum eq_event event)
{
	eq_poster_add(&shim->guest.poster, slot, event, slot);
	if (!eq_poster_signal(&shim->guest.poster, 0))
		return false;
	cr_assert_eq(eventfd_write(shim->guest.fds[1], 1), 0);
	return true;
}

unsigned open_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	cr_assert(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}
