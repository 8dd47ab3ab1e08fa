/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What Prepare, Start, AttachPort and AttachClient ask for: every parameter is checked before
 * anything acts on it (T06). Pure functions, called by start.c, port.c and clients.c on the
 * serving thread.
 */
#include "start_request.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "net_layout.h"

#define MEMORY_UNIT_BYTES ((json_int_t)1 << 20)
#define MEMORY_BYTES_MAX ((json_int_t)1 << 40)
#define GROUP_MAX INT32_MAX
#define MTU_MIN 68   /* RFC 791 */
#define MTU_MAX 2016 /* net_layout.h's frame less header and VLAN tag */

/* Printable, not empty, short enough: such a string can be logged and passed on. */
static const char *text_get(json_t *object, const char *key, size_t bytes_max)
{
	const char *text = json_string_value(json_object_get(object, key));
	size_t length = text ? strlen(text) : 0;

	if (!length || length >= bytes_max)
		return NULL;
	for (size_t i = 0; i < length; i++)
		if (!isprint((unsigned char)text[i]))
			return NULL;
	return text;
}

static bool integer_get(json_t *object, const char *key, json_int_t low, json_int_t high,
			json_int_t *out)
{
	json_t *value = json_object_get(object, key);

	if (!json_is_integer(value))
		return false;
	*out = json_integer_value(value);
	return *out >= low && *out <= high;
}

/* Six octets; a station's own address: neither a group's nor zero. */
static bool mac_parse(const char *text, uint8_t mac[6])
{
	unsigned octet[6];
	char after;

	if (!text || strlen(text) != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &octet[0], &octet[1], &octet[2], &octet[3],
		   &octet[4], &octet[5], &after) != 6)
		return false;
	unsigned all = 0;

	for (int i = 0; i < 6; i++) {
		mac[i] = (uint8_t)octet[i];
		all |= octet[i];
	}
	return all && !(mac[0] & 1);
}

bool request_ring_entries(json_t *object, uint32_t *out)
{
	struct net_layout layout;
	json_int_t number;

	if (!integer_get(object, "ring_entries", 2, 65536, &number) ||
	    net_layout_compute((uint32_t)number, &layout))
		return false;
	*out = (uint32_t)number;
	return true;
}

/* NULL, or the name of the parameter that is wrong. */
static const char *port_parse(json_t *port, struct start_request *out)
{
	const char *kind = text_get(port, "kind", 16);
	json_int_t number;

	if (!kind)
		return "port.kind";
	if (!mac_parse(text_get(port, "mac", 18), out->port.mac))
		return "port.mac";
	if (!integer_get(port, "mtu", MTU_MIN, MTU_MAX, &number))
		return "port.mtu";
	out->port.mtu = (uint16_t)number;
	if (!strcmp(kind, "tap")) {
		out->port.kind = ADJ_PORT_TAP;
		out->fds = 2;
		return NULL;
	}
	if (!strcmp(kind, "vhost-user")) {
		out->port.kind = ADJ_PORT_VHOST_USER;
		out->fds = 1;
		out->path = text_get(port, "path", sizeof(((struct runtime *)0)->vhost_path));
		return out->path && out->path[0] == '/' ? NULL : "port.path";
	}
	if (strcmp(kind, "native"))
		return "port.kind";
	out->port.kind = ADJ_PORT_NATIVE;
	out->fds = 1;
	if (!json_object_get(port, "ring_entries"))
		return NULL; /* no program yet: AttachPort brings the window */
	out->fds += WINDOW_FDS;
	return request_ring_entries(port, &out->port.ring_entries) ? NULL : "port.ring_entries";
}

/* What Prepare and Start both say. */
static const char *common_parse(json_t *parameters, struct start_request *out)
{
	json_t *group = json_object_get(parameters, "vfio_group");
	json_int_t number;

	*out = (struct start_request){
		.taken = -1,
		.vfio_group = -1,
		.port = {.tap_fd = -1, .bell_adjunct_fd = -1, .bell_partition_fd = -1},
	};
	out->name = text_get(parameters, "name", sizeof(((struct runtime *)0)->name));
	out->device = text_get(parameters, "device", sizeof(((struct runtime *)0)->device));
	if (!out->name)
		return "name";
	if (!out->device)
		return "device";
	if (!integer_get(parameters, "memory_bytes", MEMORY_UNIT_BYTES, MEMORY_BYTES_MAX,
			 &number) ||
	    number % MEMORY_UNIT_BYTES)
		return "memory_bytes";
	out->memory_bytes = (size_t)number;
	out->cpu = text_get(parameters, "cpu", 16);
	if (!out->cpu || (strcmp(out->cpu, "shared") && strcmp(out->cpu, "dedicated") &&
			  strcmp(out->cpu, "donated")))
		return "cpu";
	out->donated = !strcmp(out->cpu, "donated");
	if (group && !json_is_null(group) &&
	    !integer_get(parameters, "vfio_group", 0, GROUP_MAX, &out->vfio_group))
		return "vfio_group";
	return NULL;
}

const char *request_parse_client(json_t *parameters, struct start_request *out)
{
	json_int_t number;

	*out = (struct start_request){
		.port = {.kind = ADJ_PORT_NATIVE, .tap_fd = -1, .bell_adjunct_fd = -1,
			 .bell_partition_fd = -1},
	};
	out->name = text_get(parameters, "name", sizeof(((struct runtime *)0)->name));
	if (!out->name)
		return "name";
	if (!mac_parse(text_get(parameters, "mac", 18), out->port.mac))
		return "mac";
	if (!integer_get(parameters, "mtu", MTU_MIN, MTU_MAX, &number))
		return "mtu";
	out->port.mtu = (uint16_t)number;
	json_t *entries = json_object_get(parameters, "ring_entries");

	if (!entries || json_is_null(entries))
		return NULL; /* no program yet */
	out->fds = WINDOW_FDS;
	return request_ring_entries(parameters, &out->port.ring_entries) ? NULL : "ring_entries";
}

const char *request_parse_prepare(json_t *parameters, struct start_request *out)
{
	json_t *folder = json_object_get(parameters, "folder");
	const char *wrong = common_parse(parameters, out);

	out->fds = 1;
	out->vfio_fds = out->vfio_group < 0 ? 0 : 1; /* the container */
	out->spare = json_is_true(json_object_get(parameters, "spare"));
	if (wrong || !folder || json_is_null(folder))
		return wrong;
	out->folder = text_get(parameters, "folder", sizeof(((struct runtime *)0)->folder));
	return out->folder && out->folder[0] == '/' ? NULL : "folder";
}

const char *request_parse_start(json_t *parameters, struct start_request *out)
{
	json_t *port = json_object_get(parameters, "port");
	json_t *state = json_object_get(parameters, "state");
	json_t *taken = json_object_get(parameters, "taken");

	const char *wrong = common_parse(parameters, out);

	if (wrong)
		return wrong;
	out->vfio_fds = out->vfio_group < 0 ? 0 : 2; /* container and group */
	if (state && !json_is_null(state)) {
		out->state = json_string_value(state);
		if (!out->state)
			return "state";
	}
	if (taken && !json_is_null(taken) &&
	    !integer_get(parameters, "taken", 0, UINT32_MAX, &out->taken))
		return "taken";
	wrong = json_is_object(port) ? port_parse(port, out) : "port";
	/* Nobody can lend it a processor by another port. */
	return !wrong && out->donated && out->port.kind != ADJ_PORT_NATIVE ? "cpu" : wrong;
}
