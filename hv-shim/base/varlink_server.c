/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server half of Varlink: takes requests off a connection one at a time,
 * finds the method, and sends the answers. Used by every process that owns a
 * socket, on the connection's thread; handlers run inside
 * varlink_server_process(), or inside the late answer that lets the next
 * request of the connection begin.
 */
#include "varlink.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "unix_socket.h"

#define SERVICE "org.varlink.service"

struct varlink_call {
	struct varlink_server *server;
	struct varlink_message message;
	json_t *parameters; /* within the message */
	bool more, oneway;
	void (*cancel)(void *data);
	void *cancel_data;
};

struct varlink_server {
	const struct varlink_service *service;
	struct varlink_conn *conn;
	struct varlink_call *call; /* under way */
	bool processing;           /* varlink_server_process() is on the stack */
	int error;                 /* nothing more is handled */
};

/* ---- org.varlink.service ----------------------------------------------- */

static const char service_description[] =
	"# What every Varlink service answers: who it is and which interfaces it has.\n"
	"interface " SERVICE "\n\n"
	"method GetInfo() -> (\n"
	"  vendor: string,\n"
	"  product: string,\n"
	"  version: string,\n"
	"  url: string,\n"
	"  interfaces: []string\n"
	")\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n\n"
	"error InterfaceNotFound (interface: string)\n"
	"error MethodNotFound (method: string)\n"
	"error MethodNotImplemented (method: string)\n"
	"error InvalidParameter (parameter: string)\n"
	"error PermissionDenied ()\n"
	"error ExpectedMore ()\n";

static void handle_get_info(struct varlink_call *call, json_t *parameters, void *context)
{
	const struct varlink_service *service = context;
	json_t *names = json_array();

	(void)parameters;
	json_array_append_new(names, json_string(SERVICE));
	for (const struct varlink_interface *const *i = service->interfaces; *i; i++)
		json_array_append_new(names, json_string((*i)->name));
	varlink_reply(call, json_pack("{s:s, s:s, s:s, s:s, s:o}", "vendor", service->vendor,
				      "product", service->product, "version", service->version,
				      "url", service->url, "interfaces", names));
}

static const struct varlink_interface *find_interface(const struct varlink_service *service,
						      const char *name, size_t name_bytes);

static void handle_get_description(struct varlink_call *call, json_t *parameters, void *context)
{
	const char *name = json_string_value(json_object_get(parameters, "interface"));

	if (!name) {
		varlink_error_parameter(call, "interface");
		return;
	}
	const struct varlink_interface *interface = find_interface(context, name, strlen(name));

	if (interface)
		varlink_reply(call, json_pack("{s:s}", "description", interface->description));
	else
		varlink_error(call, SERVICE ".InterfaceNotFound",
			      json_pack("{s:s}", "interface", name));
}

static const struct varlink_interface service_interface = {
	.name = SERVICE,
	.description = service_description,
	.methods =
		(const struct varlink_method[]){
			{.name = "GetInfo", .handle = handle_get_info},
			{.name = "GetInterfaceDescription", .handle = handle_get_description},
			{0},
		},
};

/* ---- Dispatch ---------------------------------------------------------- */

static bool name_is(const char *name, const char *text, size_t text_bytes)
{
	return strlen(name) == text_bytes && !memcmp(name, text, text_bytes);
}

static const struct varlink_interface *find_interface(const struct varlink_service *service,
						      const char *name, size_t name_bytes)
{
	if (name_is(SERVICE, name, name_bytes))
		return &service_interface;
	for (const struct varlink_interface *const *i = service->interfaces; *i; i++)
		if (name_is((*i)->name, name, name_bytes))
			return *i;
	return NULL;
}

static const struct varlink_method *find_method(const struct varlink_interface *interface,
						const char *name)
{
	for (const struct varlink_method *m = interface ? interface->methods : NULL; m && m->name;
	     m++)
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

static int flag_get(const json_t *request, const char *name, bool *out)
{
	const json_t *value = json_object_get(request, name);

	*out = json_is_true(value);
	return value && !json_is_boolean(value) ? -EPROTO : 0;
}

static void call_free(struct varlink_call *call)
{
	varlink_message_clear(&call->message);
	free(call);
}

/* The request's own fields into a call; the message goes with it (stolen). */
static int call_new(struct varlink_server *server, struct varlink_message *message,
		    struct varlink_call **out)
{
	struct varlink_call *call = calloc(1, sizeof(*call));

	if (!call) {
		varlink_message_clear(message);
		return -ENOMEM;
	}
	call->server = server;
	call->message = *message;
	json_t *request = call->message.json;

	if (!json_object_get(request, "parameters"))
		json_object_set_new(request, "parameters", json_object());
	call->parameters = json_object_get(request, "parameters");
	if (!json_is_object(call->parameters) ||
	    !json_is_string(json_object_get(request, "method")) ||
	    flag_get(request, "more", &call->more) < 0 ||
	    flag_get(request, "oneway", &call->oneway) < 0) {
		call_free(call);
		return -EPROTO;
	}
	call->more = call->more && !call->oneway;
	*out = call;
	return 0;
}

static int begin(struct varlink_server *server, struct varlink_message *message)
{
	struct varlink_call *call;
	int r = call_new(server, message, &call);

	if (r < 0)
		return r;
	const char *name = json_string_value(json_object_get(call->message.json, "method"));
	const char *dot = strrchr(name, '.');
	size_t interface_bytes = dot ? (size_t)(dot - name) : 0;
	const struct varlink_interface *interface =
		find_interface(server->service, name, interface_bytes);
	const struct varlink_method *method = find_method(interface, dot ? dot + 1 : "");

	if (call->message.fd_count > (method ? method->fds_max : 0)) {
		call_free(call);
		return -EPROTO;
	}
	server->call = call;
	if (!interface)
		varlink_error(call, SERVICE ".InterfaceNotFound",
			      json_pack("{s:s%}", "interface", name, interface_bytes));
	else if (!method)
		varlink_error(call, SERVICE ".MethodNotFound", json_pack("{s:s}", "method", name));
	else if (!method->handle)
		varlink_error(call, SERVICE ".MethodNotImplemented",
			      json_pack("{s:s}", "method", name));
	else if (method->needs_more && !call->more)
		varlink_error(call, SERVICE ".ExpectedMore", NULL);
	else
		method->handle(call, call->parameters,
			       interface == &service_interface ? (void *)(uintptr_t)server->service
							       : server->service->context);
	return 0;
}

int varlink_server_process(struct varlink_server *server)
{
	/* A handler that answers at once comes here again: the loop below goes on. */
	if (server->processing)
		return 0;
	server->processing = true;
	while (!server->call && !server->error) {
		struct varlink_message message;
		int r = varlink_conn_next(server->conn, &message);

		if (!r)
			break;
		if (r > 0)
			r = begin(server, &message);
		if (r < 0)
			server->error = r;
	}
	server->processing = false;
	if (server->error) /* the owner sees a hang-up, even after a late answer */
		shutdown(varlink_conn_fd(server->conn), SHUT_RDWR);
	return server->error;
}

int varlink_server_new(const struct varlink_service *service, struct varlink_conn *conn,
		       struct varlink_server **out)
{
	struct varlink_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->service = service;
	server->conn = conn;
	*out = server;
	return 0;
}

void varlink_server_free(struct varlink_server *server)
{
	if (!server)
		return;
	assert(!server->processing);
	struct varlink_call *call = server->call;

	if (call) {
		if (call->cancel)
			call->cancel(call->cancel_data);
		call_free(call);
	}
	free(server);
}

/* ---- A call ------------------------------------------------------------ */

bool varlink_call_wants_more(const struct varlink_call *call)
{
	return call->more;
}

bool varlink_call_is_oneway(const struct varlink_call *call)
{
	return call->oneway;
}

struct varlink_conn *varlink_call_conn(const struct varlink_call *call)
{
	return call->server->conn;
}

json_t *varlink_call_parameters(const struct varlink_call *call)
{
	return call->parameters;
}

unsigned varlink_call_fd_count(const struct varlink_call *call)
{
	return call->message.fd_count;
}

int varlink_call_take_fd(struct varlink_call *call, unsigned index)
{
	if (index >= call->message.fd_count)
		return -1;
	int fd = call->message.fds[index];

	call->message.fds[index] = -1;
	return fd;
}

void varlink_call_on_cancel(struct varlink_call *call, void (*callback)(void *data), void *data)
{
	call->cancel = callback;
	call->cancel_data = data;
}

/* ---- Answers ----------------------------------------------------------- */

static int answer(struct varlink_call *call, const char *error, json_t *parameters, bool continues,
		  const int *fds, unsigned fd_count)
{
	struct varlink_server *server = call->server;

	if (call->oneway) {
		json_decref(parameters);
		return 0;
	}
	json_t *message = json_pack("{s:s*, s:o}", "error", error, "parameters",
				    parameters ? parameters : json_object());

	if (message && continues)
		json_object_set_new(message, "continues", json_true());
	/* Whoever reads the final answer finds nothing of the call left behind. */
	for (unsigned i = 0; !continues && i < call->message.fd_count; i++)
		fd_close(&call->message.fds[i]);
	int r = varlink_conn_send(server->conn, message, fds, fd_count);

	if (r < 0 && !server->error)
		server->error = r;
	return r;
}

/* After the final answer: the next request of the connection may begin. */
static void finish(struct varlink_call *call)
{
	struct varlink_server *server = call->server;

	assert(server->call == call);
	server->call = NULL;
	call_free(call);
	varlink_server_process(server); /* an error stays in server->error */
}

void varlink_reply_fds(struct varlink_call *call, json_t *parameters, const int *fds,
		       unsigned fd_count)
{
	answer(call, NULL, parameters, false, fds, fd_count);
	finish(call);
}

void varlink_reply(struct varlink_call *call, json_t *parameters)
{
	varlink_reply_fds(call, parameters, NULL, 0);
}

int varlink_reply_more(struct varlink_call *call, json_t *parameters)
{
	assert(call->more);
	return answer(call, NULL, parameters, true, NULL, 0);
}

void varlink_error(struct varlink_call *call, const char *error, json_t *parameters)
{
	answer(call, error, parameters, false, NULL, 0);
	finish(call);
}

bool varlink_call_unpack(struct varlink_call *call, json_t *parameters, const char *format, ...)
{
	json_error_t error;
	va_list out;

	va_start(out, format);
	bool unpacked = !json_vunpack_ex(parameters, &error, JSON_STRICT, format, out);
	va_end(out);
	if (!unpacked)
		varlink_error_parameter(call, error.text);
	return unpacked;
}

void varlink_error_parameter(struct varlink_call *call, const char *parameter)
{
	varlink_error(call, SERVICE ".InvalidParameter",
		      json_pack("{s:s}", "parameter", parameter));
}

void varlink_errorf(struct varlink_call *call, const char *error, const char *format, ...)
{
	char message[1024];
	va_list arguments;

	va_start(arguments, format);
	if (vsnprintf(message, sizeof(message), format, arguments) < 0)
		message[0] = '\0'; /* the error's name remains */
	va_end(arguments);
	/* A long text may end within a character, which JSON would refuse: at most 3 bytes go. */
	json_t *text = json_string(message);

	for (size_t end = strlen(message); !text && end && sizeof(message) - end <= 3;) {
		message[--end] = '\0';
		text = json_string(message);
	}
	varlink_error(
		call, error,
		json_pack("{s:o}", "message", text ? text : json_string("message is not UTF-8")));
}
