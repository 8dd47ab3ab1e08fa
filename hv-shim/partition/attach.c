/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaching to a partition and asking its shim, org.outrigger.Partition. Runs
 * on whichever thread calls; sentences for otr_last_error() are per thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "otr_internal.h"
#include "unix_socket.h"

#define INTERFACE "org.outrigger.Partition."
#define SYSTEM_STATE_DIR "/run/outrigger"

static _Thread_local char last_error[320];

const char *otr_last_error(void)
{
	return last_error;
}

int otr_fail(int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(last_error, sizeof(last_error), format, arguments);
	va_end(arguments);
	return error;
}

uint64_t otr_now_ns(void)
{
	return clock_now_ns();
}

uint64_t otr_deadline_ms(unsigned from_now_ms)
{
	return clock_now_ns() + from_now_ms * NS_PER_MS;
}

/* ---- Calls --------------------------------------------------------------- */

/* Connecting does not wait; a shim busy with many newcomers is asked again. */
static int connect_until(const char *path, uint64_t deadline_ns, struct varlink_conn **out)
{
	const struct timespec pause = {.tv_nsec = NS_PER_MS};

	for (;;) {
		int error = varlink_connect(path, out);
		if (error != -EAGAIN || clock_now_ns() >= deadline_ns)
			return error == -EAGAIN ? -ETIMEDOUT : error;
		nanosleep(&pause, NULL);
	}
}

int otr_connect(const char *path, struct varlink_conn **out)
{
	int error = connect_until(path, otr_deadline_ms(OTR_CALL_TIMEOUT_MS), out);

	switch (error) {
	case 0:
		return 0;
	case -ENOENT:
		return otr_fail(error, "there is no partition socket %s", path);
	case -ECONNREFUSED:
		return otr_fail(error, "nobody listens on %s: outriggerd does not run", path);
	case -EACCES:
		return otr_fail(error, "%s belongs to another user", path);
	default:
		return otr_fail(error, "cannot connect to %s: %s", path, strerror(-error));
	}
}

/* The interface's errors in the words of errno. */
static int error_number(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} table[] = {
		{INTERFACE "NotFound", -ENOENT},	 {INTERFACE "NotNative", -EOPNOTSUPP},
		{INTERFACE "NotReady", -EAGAIN},	 {INTERFACE "Busy", -EBUSY},
		{INTERFACE "PermissionDenied", -EACCES},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (!strcmp(name, table[i].name))
			return table[i].number;
	}
	return -EREMOTEIO;
}

int otr_call(struct varlink_conn *conn, const char *method, json_t *parameters,
	     struct varlink_answer *out)
{
	uint64_t deadline_ns = otr_deadline_ms(OTR_CALL_TIMEOUT_MS);
	int error = varlink_call_method(conn, method, parameters, NULL, 0, deadline_ns, out);

	if (error)
		return otr_fail(error, "%s: no answer from outriggerd: %s", method,
				strerror(-error));
	if (!out->error)
		return 0;
	const char *message = json_string_value(json_object_get(out->parameters, "message"));
	error = otr_fail(error_number(out->error), "%s", message ? message : out->error);
	varlink_answer_clear(out);
	return error;
}

int otr_parse_mac(const char *text, uint8_t mac[6])
{
	int end = 0;
	unsigned octets[6];

	if (!text || sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &octets[0], &octets[1], &octets[2],
			    &octets[3], &octets[4], &octets[5], &end) != 6 || text[end])
		return -EPROTO;
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)octets[i];
	return 0;
}

/* ---- Attaching ----------------------------------------------------------- */

/*
 * A name becomes part of a path, so it must be one plain component (THREATS.md
 * T11).
 */
static bool name_valid(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length < sizeof(((struct otr *)0)->name) && name[0] != '.' &&
	       !strchr(name, '/');
}

/* Writes the path of the partition's socket below `directory`: 0 or -ENAMETOOLONG. */
static int path_in(const char *directory, const char *name, char *path, size_t path_bytes)
{
	int length = snprintf(path, path_bytes, "%s/partition/%s.sock", directory, name);

	if (length < 0 || (size_t)length >= path_bytes)
		return otr_fail(-ENAMETOOLONG, "the socket's path below %s is too long", directory);
	return 0;
}

static int find_socket(const char *partition, char *path, size_t path_bytes)
{
	const char *given = getenv("OUTRIGGER_STATE_DIR");
	char own[256];

	if (strchr(partition, '/')) {
		if (strlen(partition) >= path_bytes)
			return otr_fail(-ENAMETOOLONG, "the path %s is too long", partition);
		memcpy(path, partition, strlen(partition) + 1);
		return 0;
	}
	if (!name_valid(partition))
		return otr_fail(-EINVAL, "'%s' is not the name of a partition", partition);
	int error = state_dir_resolve(NULL, own, sizeof(own));
	if (error)
		return otr_fail(error, "no state directory: %s", strerror(-error));
	error = path_in(own, partition, path, path_bytes);
	if (error || (given && given[0]) || access(path, F_OK) == 0)
		return error;
	/* Not one of the user's own: perhaps the system's daemon gave it to the user. */
	return path_in(SYSTEM_STATE_DIR, partition, path, path_bytes);
}

/* Copies a string member into a fixed field: 0, or -EPROTO if it is absent or too long. */
static int copy_string(const json_t *object, const char *key, char *field, size_t field_bytes)
{
	const char *value = json_string_value(json_object_get(object, key));

	if (!value || strlen(value) >= field_bytes)
		return otr_fail(-EPROTO, "outriggerd's answer has no usable '%s'", key);
	memcpy(field, value, strlen(value) + 1);
	return 0;
}

int otr_attach(const char *partition, struct otr **out)
{
	struct otr *otr = calloc(1, sizeof(*otr));
	struct varlink_answer answer;

	if (!otr)
		return otr_fail(-ENOMEM, "out of memory");
	int error = find_socket(partition, otr->path, sizeof(otr->path));
	if (!error)
		error = otr_connect(otr->path, &otr->conn);
	if (!error)
		error = otr_call(otr->conn, INTERFACE "GetPartition", NULL, &answer);
	if (!error) {
		error = copy_string(answer.parameters, "name", otr->name, sizeof(otr->name));
		varlink_answer_clear(&answer);
	}
	if (error) {
		otr_detach(otr);
		return error;
	}
	*out = otr;
	return 0;
}

void otr_detach(struct otr *otr)
{
	if (!otr)
		return;
	varlink_conn_free(otr->conn);
	free(otr);
}

const char *otr_name(const struct otr *otr)
{
	return otr->name;
}

static int read_device(const json_t *object, struct otr_device *out)
{
	json_t *path = json_object_get(object, "path"), *shared = json_object_get(object, "shared");
	json_int_t mtu = json_integer_value(json_object_get(object, "mtu"));
	int error;

	memset(out, 0, sizeof(*out));
	if ((error = copy_string(object, "name", out->name, sizeof(out->name))) ||
	    (error = copy_string(object, "kind", out->kind, sizeof(out->kind))) ||
	    (error = copy_string(object, "state", out->state, sizeof(out->state))))
		return error;
	if (json_is_string(path) &&
	    (error = copy_string(object, "path", out->path, sizeof(out->path))))
		return error;
	if (json_is_string(shared) &&
	    (error = copy_string(object, "shared", out->shared, sizeof(out->shared))))
		return error;
	if (otr_parse_mac(json_string_value(json_object_get(object, "mac")), out->mac) || mtu < 0 ||
	    mtu > UINT16_MAX)
		return otr_fail(-EPROTO, "outriggerd's answer has no usable MAC address or MTU");
	out->mtu = (uint16_t)mtu;
	return 0;
}

/* On the connection there is, or, if that has ended with its shim, on a new one. */
static int ask_partition(struct otr *otr, struct varlink_answer *answer)
{
	for (;;) {
		bool fresh = !otr->conn;
		int error = fresh ? otr_connect(otr->path, &otr->conn) : 0;

		if (!error)
			error = otr_call(otr->conn, INTERFACE "GetPartition", NULL, answer);
		if (!error)
			return 0;
		/* An answer that comes too late must not be taken for that of the next call. */
		varlink_conn_free(otr->conn);
		otr->conn = NULL;
		if (fresh || (error != -ECONNRESET && error != -EPIPE))
			return error;
	}
}

int otr_devices(struct otr *otr, struct otr_device *devices, unsigned devices_max)
{
	struct varlink_answer answer;
	int error = ask_partition(otr, &answer);

	if (error)
		return error;
	const json_t *array = json_object_get(answer.parameters, "devices");
	size_t count = json_array_size(array);
	if (!json_is_array(array))
		error = otr_fail(-EPROTO, "outriggerd's answer has no usable 'devices'");
	for (size_t i = 0; !error && i < count && i < devices_max; i++)
		error = read_device(json_array_get(array, i), &devices[i]);
	varlink_answer_clear(&answer);
	return error ? error : (int)count;
}
