/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Varlink's wire format, for every control socket of Outrigger: JSON objects,
 * each ended by a NUL byte, over a Unix stream socket; file descriptors travel
 * by SCM_RIGHTS with the message that mentions them.
 *
 * Three layers, none of which knows an event loop:
 *   varlink_conn    framing, buffering, descriptors; both directions
 *   varlink_server  dispatch by method name; answers org.varlink.service
 *   varlink_call    a blocking client with a deadline, for programs
 *
 * Thread: a connection belongs to one thread. Ownership: `json_t *` arguments
 * marked (stolen) are released by the callee in every case; descriptors passed
 * to send are duplicated, the caller keeps its own; descriptors in a received
 * message belong to the receiver until varlink_message_clear().
 *
 * Hostile peers (THREATS.md T04): a message over VARLINK_MESSAGE_MAX bytes, a
 * JSON error, a duplicate key, MSG_CTRUNC, more than VARLINK_FDS_MAX
 * descriptors, or descriptors nobody asked for end the connection, and every
 * descriptor received is closed.
 */
#ifndef VARLINK_H
#define VARLINK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VARLINK_MESSAGE_MAX (1u << 20) /* bytes, the NUL included */
#define VARLINK_QUEUE_MAX (8u << 20)   /* unsent bytes before a peer counts as stuck */
#define VARLINK_FDS_MAX 16

/* ---- Connection -------------------------------------------------------- */

struct varlink_conn;

struct varlink_message {
	json_t *json; /* an object */
	int fds[VARLINK_FDS_MAX];
	unsigned fd_count;
};

/* Releases the JSON and closes the descriptors that are not -1. */
void varlink_message_clear(struct varlink_message *message);

/*
 * Takes `fd` (a connected stream socket; made non-blocking) on success. -ENOMEM,
 * -errno. A peer must carry descriptors with a message of their own sendmsg().
 */
int varlink_conn_new(int fd, struct varlink_conn **out);
void varlink_conn_free(struct varlink_conn *conn); /* NULL is fine; closes the fd */

int varlink_conn_fd(const struct varlink_conn *conn);
/*
 * poll() events to wait for now: POLLIN unless a whole message waits to be taken
 * with varlink_conn_next() (so take them all), POLLOUT while output is queued.
 * They change with every call below, late answers included: ask again before
 * each wait (with sd-event, in the source's prepare callback).
 */
short varlink_conn_events(const struct varlink_conn *conn);
/* Credentials of the peer at connect time (SO_PEERCRED). */
int varlink_conn_peer(const struct varlink_conn *conn, pid_t *pid, uid_t *uid);

/*
 * Reads what is there; call it on POLLIN and on POLLHUP. 1: bytes came; 0: none
 * now, or a whole message waits to be taken first; -ECONNRESET: the peer closed
 * (what came whole before can still be taken); -EPROTO: it broke a rule named
 * above; other -errno from the socket.
 */
int varlink_conn_read(struct varlink_conn *conn);
/* Next whole message: 1 and *out filled, 0 none yet, -EPROTO malformed, or what read() failed with. */
int varlink_conn_next(struct varlink_conn *conn, struct varlink_message *out);

/*
 * Queues one message (stolen) and sends what the socket takes now.
 * -ENOBUFS: over VARLINK_QUEUE_MAX unsent; -EMSGSIZE: message too long; the
 * connection is of no further use after an error.
 */
int varlink_conn_send(struct varlink_conn *conn, json_t *message, const int *fds,
		      unsigned fd_count);
/*
 * Sends queued output: 1 all sent, 0 more remains (also when the kernel has no memory
 * for it, a few times in a row), -errno.
 */
int varlink_conn_flush(struct varlink_conn *conn);

/* ---- Server ------------------------------------------------------------ */

struct varlink_call; /* one request under way; lives until its final answer */

struct varlink_method {
	const char *name; /* "GetInfo" */
	/*
	 * `parameters` is an object, borrowed for the call's life. Answer now or
	 * keep `call` and answer later, exactly once with varlink_reply() or
	 * varlink_error(); who keeps it also sets varlink_call_on_cancel().
	 * Descriptors the caller sent: varlink_call_take_fd(); those not taken
	 * are closed with the call. NULL: MethodNotImplemented.
	 */
	void (*handle)(struct varlink_call *call, json_t *parameters, void *context);
	unsigned fds_max; /* descriptors a caller may send; more ends the connection */
	bool needs_more;  /* without `more`: org.varlink.service.ExpectedMore */
};

struct varlink_interface {
	const char *name;        /* "org.outrigger.Shim" */
	const char *description; /* its Varlink interface definition */
	const struct varlink_method *methods; /* ended by a NULL name */
};

struct varlink_service {
	const char *vendor, *product, *version, *url;
	const struct varlink_interface *const *interfaces; /* ended by NULL */
	void *context;
};

/*
 * A connection served by `service`. `conn` and `service` are owned by the caller
 * and must outlive the server object.
 */
struct varlink_server;
int varlink_server_new(const struct varlink_service *service, struct varlink_conn *conn,
		       struct varlink_server **out);
/*
 * Drops the call under way: its varlink_call_on_cancel callback runs first (and
 * must not answer). NULL is fine. Not from within a handler.
 */
void varlink_server_free(struct varlink_server *server);
/*
 * Handles every whole message in the connection's buffer. 0, or -EPROTO (or
 * what sending failed with): close the connection. Requests are answered in
 * order: a request waits while an earlier one of the same connection has not
 * had its final answer, and begins within the call that gives it. If that
 * fails, or an answer cannot be sent, the socket is shut down, so that its
 * owner sees POLLHUP, reads, and closes.
 */
int varlink_server_process(struct varlink_server *server);

bool varlink_call_wants_more(const struct varlink_call *call);
bool varlink_call_is_oneway(const struct varlink_call *call);
struct varlink_conn *varlink_call_conn(const struct varlink_call *call);
json_t *varlink_call_parameters(const struct varlink_call *call);
/* Takes descriptor `index` away from the call: the caller owns it; -1 if absent. */
int varlink_call_take_fd(struct varlink_call *call, unsigned index);
unsigned varlink_call_fd_count(const struct varlink_call *call);
/* Runs once if the connection goes before the final answer. */
void varlink_call_on_cancel(struct varlink_call *call, void (*callback)(void *data), void *data);

/* Final answer; `parameters` (stolen) may be NULL for {}. The call is gone afterwards. */
void varlink_reply(struct varlink_call *call, json_t *parameters);
void varlink_reply_fds(struct varlink_call *call, json_t *parameters, const int *fds,
		       unsigned fd_count);
/* One of several answers; only after varlink_call_wants_more(). -ENOBUFS when the peer is stuck. */
int varlink_reply_more(struct varlink_call *call, json_t *parameters);
/* Final answer: error "org.outrigger.Shim.NotFound" with parameters (stolen, may be NULL). */
void varlink_error(struct varlink_call *call, const char *error, json_t *parameters);
/*
 * What json_unpack() takes out of the parameters, which must have nothing else: true; or
 * the call is answered with what is wrong with them.
 */
bool varlink_call_unpack(struct varlink_call *call, json_t *parameters, const char *format, ...);
/* org.varlink.service.InvalidParameter, naming the parameter. */
void varlink_error_parameter(struct varlink_call *call, const char *parameter);
/*
 * Final error with a sentence for the person: parameters {"message": ...}.
 * Every error of our interfaces carries one.
 */
void varlink_errorf(struct varlink_call *call, const char *error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- Client ------------------------------------------------------------ */

/*
 * Connects to the socket at `path`, without waiting. -errno of socket() or
 * connect(); -EAGAIN: more clients wait there than it accepts, try again.
 */
int varlink_connect(const char *path, struct varlink_conn **out);

enum varlink_call_flags { VARLINK_MORE = 1, VARLINK_ONEWAY = 2 };

/* Queues a request: parameters (stolen, may be NULL). As varlink_conn_send(). */
int varlink_request(struct varlink_conn *conn, const char *method, json_t *parameters,
		    unsigned flags, const int *fds, unsigned fd_count);

struct varlink_answer {
	json_t *parameters; /* an object, never NULL after success */
	char *error;        /* NULL, or the error's name */
	bool continues;     /* more answers follow */
	int fds[VARLINK_FDS_MAX];
	unsigned fd_count;
};
void varlink_answer_clear(struct varlink_answer *answer);
/* Splits a received message into an answer: 0 or -EPROTO. The message is emptied. */
int varlink_answer_from(struct varlink_message *message, struct varlink_answer *out);

/*
 * Waits for the next answer until `deadline_ns` (CLOCK_MONOTONIC; 0: for
 * ever). 0, -ETIMEDOUT, -ECONNRESET, -EPROTO. An error answer is a 0 with
 * out->error set.
 */
int varlink_wait(struct varlink_conn *conn, uint64_t deadline_ns, struct varlink_answer *out);
/* varlink_request() and varlink_wait() for methods with one answer. */
int varlink_call_method(struct varlink_conn *conn, const char *method, json_t *parameters,
			const int *fds, unsigned fd_count, uint64_t deadline_ns,
			struct varlink_answer *out);

#endif
