/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Child processes: started, taken up, watched, forgotten. What is asked of them is in
 * peer_link.c. Event-loop thread.
 */
#include "peer_link.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../close_later.h"
#include "clock.h"
#include "log.h"
#include "spawn.h"
#include "unix_socket.h"

#define END_WAIT_MS 20

/* ---- The end of a peer ----------------------------------------------------- */

static int on_forgotten_exit(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	siginfo_t info;

	(void)revents;
	(void)data;
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) < 0 && errno != ECHILD)
		log_error("a child's status cannot be collected: %m");
	sd_event_source_disable_unref(source); /* closes the pidfd */
	return 0;
}

/* A child that outlives its peer still needs its status collected when it ends. */
static void reap_later(sd_event *event, int pidfd)
{
	sd_event_source *source;

	if (sd_event_get_state(event) == SD_EVENT_FINISHED) {
		close(pidfd); /* we end too, and init collects it */
		return;
	}
	if (sd_event_add_io(event, &source, pidfd, EPOLLIN, on_forgotten_exit, NULL) < 0) {
		log_error("a child's end cannot be watched: out of memory");
		close(pidfd);
		return;
	}
	sd_event_source_set_io_fd_own(source, true);
}

static void peer_destroy(struct peer *peer)
{
	link_free(peer->calls);
	while (peer->monitors) {
		struct link *link = peer->monitors;
		peer->monitors = link->next;
		link_free(link);
	}
	sd_event_source_disable_unref(peer->exit_source);
	sd_event_source_disable_unref(peer->death_source);
	/* At once: where the kernel had no memory to take it off the loop's list, this does. */
	fd_close(&peer->kept[SPAWN_DEATH]);
	if (peer->pidfd >= 0 && peer->ended)
		close(peer->pidfd);
	else if (peer->pidfd >= 0)
		reap_later(peer->event, peer->pidfd);
	for (int i = 0; i < SPAWN_KEPT; i++)
		close_later(peer->event, &peer->kept[i]);
	free(peer->name);
	free(peer->socket_path);
	free(peer);
}

void peer_hold(struct peer *peer)
{
	peer->held++;
}

void peer_release(struct peer *peer)
{
	if (--peer->held == 0 && peer->freed)
		peer_destroy(peer);
}

void peer_free(struct peer *peer)
{
	if (!peer)
		return;
	peer->freed = true;
	if (!peer->held)
		peer_destroy(peer);
}

/*
 * How the process ended; false while it still runs. Its sockets close a moment
 * before it has ended, and that moment is waited for.
 */
bool peer_describe_end(const struct peer *peer, int flags, char how[END_BYTES])
{
	struct pollfd process = {.fd = peer->pidfd, .events = POLLIN};
	siginfo_t info = {0};

	snprintf(how, END_BYTES, "ended");
	if (poll(&process, 1, END_WAIT_MS) != 1)
		return false;
	/* ECHILD: an adopted process, whose status only init learns. */
	if (waitid(P_PIDFD, (id_t)peer->pidfd, &info, WEXITED | WNOHANG | flags) || !info.si_pid)
		return true;
	if (info.si_code == CLD_EXITED)
		snprintf(how, END_BYTES, "exited with status %d", info.si_status);
	else
		snprintf(how, END_BYTES, "was killed by signal %d (%s)", info.si_status,
			 strsignal(info.si_status));
	return true;
}

/* ---- Processes -------------------------------------------------------------- */

static void break_links(struct peer *peer, const char *problem)
{
	if (!peer->calls->broken)
		link_break(peer->calls, problem);
	for (struct link *link = peer->monitors; link && !peer->freed; link = link->next)
		if (!link->broken)
			link_break(link, problem);
}

uint64_t peer_cpu_ns(struct peer *peer)
{
	struct timespec time;
	clockid_t clock;

	if (peer->ended || clock_getcpuclockid(peer->identity.pid, &clock) ||
	    clock_gettime(clock, &time))
		return peer->cpu_ns;
	uint64_t cpu_ns = (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;

	/* Less: init has collected it, and its number is another's by now. */
	if (cpu_ns > peer->cpu_ns)
		peer->cpu_ns = cpu_ns;
	return peer->cpu_ns;
}

static int on_process_exit(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct peer *peer = data;
	char how[END_BYTES];

	(void)fd;
	(void)revents;
	/* Once its status is collected it has no clock any more. */
	peer_cpu_ns(peer);
	peer_describe_end(peer, 0, how);
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	peer->ended = true;
	/* Every call gets its answer before the owner hears of the end. */
	peer_hold(peer);
	break_links(peer, how);
	if (!peer->freed)
		peer->on_exit(peer->data, how);
	peer_release(peer);
	return 0;
}

/* It comes once, and stays: the source is for nothing else. */
static int on_process_death(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct peer *peer = data;

	(void)fd;
	(void)revents;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	/* Again: without memory the kernel leaves it on the loop's list. */
	if (peer->dead)
		return 0;
	peer->dead = true;
	if (peer->on_death && !peer->ended)
		peer->on_death(peer->data);
	return 0;
}

void peer_disconnect(struct peer *peer)
{
	peer_hold(peer);
	break_links(peer, "ended");
	peer_release(peer);
}

static struct peer *peer_new(sd_event *event, const char *name, const char *socket_path,
			     peer_exit_fn on_exit, void *data)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	*peer = (struct peer){.event = event, .pidfd = -1, .kept = {-1, -1, -1},
			      .on_exit = on_exit, .data = data};
	peer->name = strdup(name);
	peer->socket_path = strdup(socket_path);
	if (!peer->name || !peer->socket_path) {
		peer_free(peer);
		return NULL;
	}
	return peer;
}

static int peer_watch(struct peer *peer)
{
	int error = sd_event_add_io(peer->event, &peer->exit_source, peer->pidfd, EPOLLIN,
				    on_process_exit, peer);
	if (error >= 0)
		/* Answers that a dying process still sent are handled before its death. */
		error = sd_event_source_set_priority(peer->exit_source, SD_EVENT_PRIORITY_IDLE);
	if (error >= 0 && peer->kept[SPAWN_DEATH] >= 0)
		error = sd_event_add_io(peer->event, &peer->death_source, peer->kept[SPAWN_DEATH],
					EPOLLHUP, on_process_death, peer);
	if (error >= 0 && peer->death_source)
		error = sd_event_source_set_priority(peer->death_source, SD_EVENT_PRIORITY_IDLE);
	return error < 0 ? error : 0;
}

int peer_spawn(sd_event *event, const struct program *program, const char *socket_path,
	       peer_exit_fn on_exit, void *data, struct peer **out)
{
	struct peer *peer = peer_new(event, program->name, socket_path, on_exit, data);
	int listen_fd = -1, error = -ENOMEM;

	if (!peer)
		return error;
	error = listen_fd = unix_listen(socket_path, 0600);
	if (listen_fd < 0)
		goto fail;
	error = spawn(program, listen_fd, &peer->identity.pid, &peer->pidfd, peer->kept);
	if (error)
		goto fail;
	error = peer_watch(peer);
	if (!error)
		error = peer_identity_of(&peer->identity);
	/* While we still hold the listening socket: a child that ends at once is then
	 * seen by its end, not as a refused connection. */
	if (!error)
		error = link_open(peer, &peer->calls);
	if (!error) {
		close(listen_fd);
		*out = peer;
		return 0;
	}
	kill(peer->identity.pid, SIGKILL);
	waitpid(peer->identity.pid, NULL, 0);
fail:
	if (listen_fd >= 0)
		unlink(socket_path); /* else it is another's, or none */
	fd_close(&listen_fd);
	peer_free(peer);
	return error;
}

int peer_adopt(sd_event *event, struct peer_identity identity, const char *socket_path,
	       peer_exit_fn on_exit, void *data, struct peer **out)
{
	struct peer *peer = peer_new(event, socket_path, socket_path, on_exit, data);

	if (!peer)
		return -ENOMEM;
	peer->identity = identity;
	/* The pidfd first: it pins the process whose start time is then compared. */
	peer->pidfd = pidfd_open(identity.pid, 0);
	int error = peer->pidfd < 0 ? -errno : peer_watch(peer);
	if (!error)
		error = spawn_check_alive(identity.pid, identity.start_time);
	if (!error)
		error = link_open(peer, &peer->calls);
	if (error) {
		peer_free(peer);
		return error;
	}
	*out = peer;
	return 0;
}

struct peer_identity peer_identity(const struct peer *peer)
{
	return peer->identity;
}

void peer_set_exit(struct peer *peer, peer_exit_fn on_exit, peer_death_fn on_death)
{
	peer->on_exit = on_exit;
	peer->on_death = on_death;
}

bool peer_has_ended(const struct peer *peer)
{
	struct pollfd process = {.fd = peer->pidfd, .events = POLLIN};

	return peer->dead || poll(&process, 1, 0) == 1;
}

void peer_kill(struct peer *peer)
{
	if (peer->pidfd >= 0 && pidfd_send_signal(peer->pidfd, SIGKILL, NULL, 0) < 0 &&
	    errno != ESRCH)
		log_error("%s: cannot be killed: %m", peer->name);
}

