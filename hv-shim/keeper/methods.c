/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The methods of org.outrigger.Keeper. Each checks its parameters, acts, and
 * answers before it returns; none waits for anything but the kernel. Called by
 * varlink_server_process() on the keeper's only thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper.h"
#include "unix_socket.h"
#include "text/org.outrigger.Keeper.varlink.h"

#define ERROR(name) "org.outrigger.Keeper." name

/* The string parameter `key`, or NULL after answering InvalidParameter. */
static const char *string_parameter(struct varlink_call *call, json_t *parameters, const char *key)
{
	const char *value = json_string_value(json_object_get(parameters, key));

	if (!value)
		varlink_error_parameter(call, key);
	return value;
}

/* The parameter `name`, checked; NULL after answering. */
static const char *name_parameter(struct varlink_call *call, json_t *parameters)
{
	const char *name = string_parameter(call, parameters, "name");

	if (name && !store_name_valid(name)) {
		varlink_error_parameter(call, "name");
		return NULL;
	}
	return name;
}

static void answer_full(struct varlink_call *call)
{
	varlink_errorf(call, ERROR("SystemError"),
		       "the keeper holds at most %d names and %d descriptors", KEEPER_NAMES_MAX,
		       KEEPER_FDS_MAX);
}

/* Fills *out from the parameters; false after answering. */
static bool interface_parameters(struct varlink_call *call, json_t *parameters, struct tap_request *out)
{
	json_t *mtu = json_object_get(parameters, "mtu");
	json_t *addresses = json_object_get(parameters, "addresses");
	size_t i;
	json_t *address;

	out->ifname = string_parameter(call, parameters, "ifname");
	if (!out->ifname)
		return false;
	if (!json_is_integer(mtu) || json_integer_value(mtu) < 0 ||
	    json_integer_value(mtu) > UINT16_MAX) {
		varlink_error_parameter(call, "mtu");
		return false;
	}
	out->mtu = (uint32_t)json_integer_value(mtu);
	if (!json_is_array(addresses) || json_array_size(addresses) > KEEPER_ADDRESSES_MAX) {
		varlink_error_parameter(call, "addresses");
		return false;
	}
	json_array_foreach(addresses, i, address) {
		out->addresses[i] = json_string_value(address);
		if (!out->addresses[i]) {
			varlink_error_parameter(call, "addresses");
			return false;
		}
	}
	out->address_count = (unsigned)json_array_size(addresses);
	return true;
}

static void create_tap(struct varlink_call *call, json_t *parameters, void *context)
{
	struct keeper *keeper = context;
	const char *name = name_parameter(call, parameters);
	struct tap_request request = {0};
	char why[KEEPER_WHY_BYTES] = "";

	if (!name || !interface_parameters(call, parameters, &request) ||
	    !(request.mac = string_parameter(call, parameters, "mac")))
		return;
	if (store_find(&keeper->store, name)) {
		varlink_errorf(call, ERROR("Exists"), "'%s' is kept already; remove it first", name);
		return;
	}
	if (!store_has_room(&keeper->store, name, 1)) {
		answer_full(call);
		return;
	}
	if (namespace_make(&keeper->namespace, why)) {
		varlink_errorf(call, ERROR("SystemError"), "%s", why);
		return;
	}
	int fd = tap_create(&keeper->namespace, &request, why);
	if (fd < 0) {
		varlink_errorf(call, fd == -EBUSY ? ERROR("Exists") : ERROR("SystemError"), "%s",
			       why);
		return;
	}
	int error = store_put(&keeper->store, name, &fd, 1);
	if (error) {
		close(fd);
		varlink_errorf(call, ERROR("SystemError"), "cannot keep '%s': %s", name,
			       strerror(-error));
		return;
	}
	varlink_reply_fds(call, NULL, &fd, 1);
}

static void make_namespace(struct varlink_call *call, json_t *parameters, void *context)
{
	struct keeper *keeper = context;
	char why[KEEPER_WHY_BYTES] = "";

	(void)parameters;
	if (namespace_make(&keeper->namespace, why))
		varlink_errorf(call, ERROR("SystemError"), "%s", why);
	else
		varlink_reply_fds(call, NULL, &keeper->namespace.net_fd, 1);
}

static void set_up_interface(struct varlink_call *call, json_t *parameters, void *context)
{
	struct keeper *keeper = context;
	struct tap_request request = {0};
	char why[KEEPER_WHY_BYTES] = "";

	if (!interface_parameters(call, parameters, &request))
		return;
	if (namespace_make(&keeper->namespace, why) ||
	    interface_set_up(&keeper->namespace, &request, why))
		varlink_errorf(call, ERROR("SystemError"), "%s", why);
	else
		varlink_reply(call, NULL);
}

#define SETTLE_ANSWER_BYTES_MAX 64

struct settlement {
	int fd; /* its place */
	size_t skip_bytes, answer_bytes;
	unsigned char answer[SETTLE_ANSWER_BYTES_MAX];
};

/* 0, or -EINVAL; fd -1: none is asked for. */
static int settlement_parameter(json_t *parameters, unsigned fd_count, struct settlement *out)
{
	json_t *object = json_object_get(parameters, "settle");
	json_int_t fd, skip_bytes;
	const char *answer;
	unsigned byte;

	*out = (struct settlement){.fd = -1};
	if (!object)
		return 0;
	if (json_unpack(object, "{s:I,s:I,s:s}", "fd", &fd, "skip_bytes", &skip_bytes, "answer",
			&answer) ||
	    fd < 0 || fd >= fd_count || skip_bytes < 0 || skip_bytes > UINT16_MAX ||
	    strlen(answer) % 2 || strlen(answer) > 2 * sizeof(out->answer) ||
	    strspn(answer, "0123456789abcdef") != strlen(answer))
		return -EINVAL;
	for (; sscanf(answer, "%2x", &byte) == 1; answer += 2)
		out->answer[out->answer_bytes++] = (unsigned char)byte;
	out->fd = (int)fd;
	out->skip_bytes = (size_t)skip_bytes;
	return 0;
}

/* Whoever sent the message may have left, or not read its answers: then it is
 * disconnected, as the shim then sees. */
static void settle(int fd, const struct settlement *settlement)
{
	struct iovec part = {(void *)settlement->answer, settlement->answer_bytes};
	const struct msghdr answer = {.msg_iov = &part, .msg_iovlen = 1};
	int error = settlement->skip_bytes ? socket_skip(fd, settlement->skip_bytes) : 0;
	ssize_t sent = error || !settlement->answer_bytes
			       ? (ssize_t)settlement->answer_bytes
			       : sendmsg(fd, &answer, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (error || sent != (ssize_t)settlement->answer_bytes)
		shutdown(fd, SHUT_RDWR);
}

static void store_method(struct varlink_call *call, json_t *parameters, void *context)
{
	struct keeper *keeper = context;
	/* Before the name, which may be wrong: the call is then answered, and gone. */
	unsigned count = varlink_call_fd_count(call);
	const char *name = name_parameter(call, parameters);
	struct settlement settlement;
	int fds[VARLINK_FDS_MAX];

	if (!name)
		return;
	if (settlement_parameter(parameters, count, &settlement)) {
		varlink_error_parameter(call, "settle");
		return;
	}
	if (count == 0) {
		varlink_errorf(call, ERROR("SystemError"), "no descriptor came along to keep");
		return;
	}
	if (!store_has_room(&keeper->store, name, count)) {
		answer_full(call);
		return;
	}
	for (unsigned i = 0; i < count; i++)
		fds[i] = varlink_call_take_fd(call, i);
	int error = store_put(&keeper->store, name, fds, count);
	if (error) {
		for (unsigned i = 0; i < count; i++)
			close(fds[i]);
		varlink_errorf(call, ERROR("SystemError"), "cannot keep '%s': %s", name,
			       strerror(-error));
		return;
	}
	if (settlement.fd >= 0)
		settle(fds[settlement.fd], &settlement);
	varlink_reply(call, json_pack("{s:b}", "settled", settlement.fd >= 0));
}

static void fetch(struct varlink_call *call, json_t *parameters, void *context)
{
	struct keeper *keeper = context;
	const char *name = name_parameter(call, parameters);

	if (!name)
		return;
	const struct store_item *item = store_find(&keeper->store, name);
	if (!item)
		varlink_errorf(call, ERROR("NotFound"), "nothing is kept as '%s'", name);
	else
		varlink_reply_fds(call, NULL, item->fds, item->fd_count);
}

static void remove_method(struct varlink_call *call, json_t *parameters, void *context)
{
	struct keeper *keeper = context;
	const char *name = name_parameter(call, parameters);

	if (!name)
		return;
	if (store_remove(&keeper->store, name))
		varlink_errorf(call, ERROR("NotFound"), "nothing is kept as '%s'", name);
	else
		varlink_reply(call, NULL);
}

static void list(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct keeper *keeper = context;
	json_t *names = json_array();

	(void)parameters;
	for (unsigned i = 0; i < keeper->store.count; i++) {
		if (json_array_append_new(names, json_string(keeper->store.items[i]->name))) {
			json_decref(names);
			varlink_errorf(call, ERROR("SystemError"), "out of memory");
			return;
		}
	}
	varlink_reply(call, json_pack("{s:o}", "names", names));
}

static void get_namespaces(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct namespace *namespace = &((struct keeper *)context)->namespace;
	int fds[2];
	unsigned count = 0;

	(void)parameters;
	if (!namespace->route) {
		varlink_errorf(call, ERROR("NoNamespace"),
			       "the partition has no network namespace: it has no TAP device yet");
		return;
	}
	if (namespace->user_fd >= 0)
		fds[count++] = namespace->user_fd;
	fds[count++] = namespace->net_fd;
	varlink_reply_fds(call, json_pack("{s:b}", "user", namespace->user_fd >= 0), fds, count);
}

static void stop(struct varlink_call *call, json_t *parameters, void *context)
{
	(void)parameters;
	((struct keeper *)context)->stopping = true;
	varlink_reply(call, NULL);
}

static const struct varlink_method methods[] = {
	{"CreateTap", create_tap, 0},
	{"MakeNamespace", make_namespace, 0},
	{"SetUpInterface", set_up_interface, 0},
	{"Store", store_method, VARLINK_FDS_MAX},
	{"Fetch", fetch, 0},
	{"Remove", remove_method, 0},
	{"List", list, 0},
	{"GetNamespaces", get_namespaces, 0},
	{"Stop", stop, 0},
	{NULL, NULL, 0},
};

static const struct varlink_interface interface = {
	.name = "org.outrigger.Keeper",
	.description = text_org_outrigger_Keeper_varlink,
	.methods = methods,
};
static const struct varlink_interface *const interfaces[] = {&interface, NULL};

struct varlink_service keeper_service(struct keeper *keeper)
{
	return (struct varlink_service){
		.vendor = "Outrigger",
		.product = "outrigger-keeper",
		.version = OTR_VERSION,
		.url = "org.outrigger.Keeper",
		.interfaces = interfaces,
		.context = keeper,
	};
}
