/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outriggerd, the hypervisor shim: options, folders, the event loop. A SIGTERM
 * ends the daemon and leaves everything it started running; the next one takes
 * it up again. One thread; the forwarder of events has one of its own (events/).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "processes/cgroup.h"
#include "clock.h"
#include "events/events.h"
#include "log.h"
#include "processes/privileges.h"
#include "processes/spawn.h"
#include "shim.h"
#include "unix_socket.h"

int shim_path(const struct shim *shim, const char *kind, const char *name, const char *suffix,
	      char out[SHIM_PATH_BYTES])
{
	int length = snprintf(out, SHIM_PATH_BYTES, "%s/%s%s%s%s", shim->state_dir, kind ? kind : "",
			      kind ? "/" : "", name, suffix);

	return length < SHIM_PATH_BYTES ? 0 : -ENAMETOOLONG;
}

static void print_help(void)
{
	printf("Usage: outriggerd [OPTION]...\n"
	       "The hypervisor shim of Outrigger: makes partitions and their adjuncts.\n"
	       "\n"
	       "  --state-dir DIR  sockets and saved state (default: $OUTRIGGER_STATE_DIR, else\n"
	       "                   /run/outrigger for root, else $XDG_RUNTIME_DIR/outrigger)\n"
	       "  --libexec DIR    the programs it starts (default: libexec/outrigger beside bin/)\n"
	       "  --images DIR     manifests of adjunct images (default: images in the libexec folder)\n"
	       "  --start-timeout SECONDS  how long an adapter or adjunct may take to start, 1 to\n"
	       "                   600 (default: 30)\n"
	       "  -v, --verbose    log every step\n"
	       "  --version        print the version\n"
	       "  --help           print this\n"
	       "\n"
	       "SIGTERM and SIGINT end the daemon; partitions and adjuncts keep running, and the\n"
	       "next outriggerd takes them up. `outrigger down` takes them down.\n");
}

/* "libexec/outrigger" beside the folder this program is in. */
static int default_libexec(char *out, size_t out_bytes)
{
	char self[256];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length < 0)
		return -errno;
	self[length] = '\0';
	for (int levels = 0; levels < 2; levels++) {
		char *slash = strrchr(self, '/');
		if (!slash)
			return -ENOENT;
		*slash = '\0';
	}
	return snprintf(out, out_bytes, "%s/libexec/outrigger", self) < (int)out_bytes ? 0
										      : -ENAMETOOLONG;
}

enum {
	OPTION_STATE_DIR = 1000,
	OPTION_LIBEXEC,
	OPTION_IMAGES,
	OPTION_START_TIMEOUT,
	OPTION_VERSION,
	OPTION_HELP
};

static int parse_start_timeout(const char *text, uint64_t *out_ms)
{
	char *end;
	unsigned long seconds = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || !seconds || seconds > 600) {
		fprintf(stderr, "outriggerd: --start-timeout: '%s' is not from 1 to 600\n", text);
		return -EINVAL;
	}
	*out_ms = seconds * 1000;
	return 0;
}

/* -1: go on; else the exit status. */
static int parse_options(struct shim *shim, int argc, char **argv, enum log_level *level)
{
	static const struct option options[] = {
		{"state-dir", required_argument, NULL, OPTION_STATE_DIR},
		{"libexec", required_argument, NULL, OPTION_LIBEXEC},
		{"images", required_argument, NULL, OPTION_IMAGES},
		{"start-timeout", required_argument, NULL, OPTION_START_TIMEOUT},
		{"verbose", no_argument, NULL, 'v'},
		{"version", no_argument, NULL, OPTION_VERSION},
		{"help", no_argument, NULL, OPTION_HELP},
		{0},
	};
	const char *state_dir = NULL;
	int option, error = 0;

	while ((option = getopt_long(argc, argv, "v", options, NULL)) >= 0) {
		switch (option) {
		case OPTION_STATE_DIR: state_dir = optarg; break;
		case OPTION_LIBEXEC:
			snprintf(shim->libexec_dir, sizeof(shim->libexec_dir), "%s", optarg);
			break;
		case OPTION_IMAGES:
			snprintf(shim->images_dir, sizeof(shim->images_dir), "%s", optarg);
			break;
		case OPTION_START_TIMEOUT:
			if (parse_start_timeout(optarg, &shim->start_ms))
				return 2;
			break;
		case 'v': *level = LOG_LEVEL_DEBUG; break;
		case OPTION_VERSION: printf("outriggerd %s\n", OTR_VERSION); return 0;
		case OPTION_HELP: print_help(); return 0;
		default: return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "outriggerd: unexpected argument '%s'; see outriggerd --help\n",
			argv[optind]);
		return 2;
	}
	error = state_dir_resolve(state_dir, shim->state_dir, sizeof(shim->state_dir));
	if (!error && !*shim->libexec_dir)
		error = default_libexec(shim->libexec_dir, sizeof(shim->libexec_dir));
	if (error) {
		fprintf(stderr, "outriggerd: its folders cannot be found: %s\n", strerror(-error));
		return 1;
	}
	if (!*shim->images_dir)
		snprintf(shim->images_dir, sizeof(shim->images_dir), "%.240s/images",
			 shim->libexec_dir);
	return -1;
}

/*
 * The state folder and those below it. Partitions' own users must be able to
 * pass through to their sockets, and to nothing else.
 */
static int make_folders(const struct shim *shim)
{
	static const struct {
		const char *name;
		mode_t mode;
	} folders[] = {{"", 0711},	  {"/partition", 0711}, {"/vhost", 0711},
		       {"/keeper", 0700}, {"/adapter", 0700},	{"/adjunct", 0700}};

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		char path[SHIM_PATH_BYTES + 16];
		struct stat status;

		snprintf(path, sizeof(path), "%s%s", shim->state_dir, folders[i].name);
		bool made = !mkdir(path, folders[i].mode);
		if ((!made && errno != EEXIST) || (made && chmod(path, folders[i].mode))) {
			log_error("%s cannot be made: %m; choose another --state-dir", path);
			return -errno;
		}
		if (lstat(path, &status) || !S_ISDIR(status.st_mode) || status.st_uid != geteuid() ||
		    (status.st_mode & 022)) {
			log_error("%s must be a folder of this user that nobody else may write to",
				  path);
			return -EPERM;
		}
	}
	return 0;
}

#define LOCK_NS NS_PER_S
#define LOCK_LEFT_NS (20 * NS_PER_S)

/* The daemon that wrote its number into the lock runs, and is not only about to be gone. */
static bool holder_lives(int fd)
{
	char text[16] = "";
	uint64_t start_time;

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return false;
	pid_t pid = (pid_t)strtol(text, NULL, 10);
	return !spawn_start_time(pid, &start_time) && !spawn_check_alive(pid, start_time);
}

/*
 * A daemon that was killed holds it until its last thread is gone, and a child on its way
 * to its program as well: on a busy machine that takes a while.
 */
static int lock_within_deadline(int fd)
{
	const struct timespec pause = {.tv_nsec = 10 * NS_PER_MS};
	uint64_t begun_ns = clock_now_ns();

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		int error = -errno;
		uint64_t patience_ns = holder_lives(fd) ? LOCK_NS : LOCK_LEFT_NS;

		if (error != -EWOULDBLOCK || clock_now_ns() - begun_ns >= patience_ns)
			return error;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* One shim per state folder. */
static int take_lock(struct shim *shim)
{
	char path[SHIM_PATH_BYTES];
	int error = shim_path(shim, NULL, "lock", "", path);

	if (error)
		return error;
	shim->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	error = shim->lock_fd < 0 ? -errno : lock_within_deadline(shim->lock_fd);
	if (error) {
		if (error == -EWOULDBLOCK)
			log_error("another outriggerd runs with %s", shim->state_dir);
		else
			log_error("%s: %s", path, strerror(-error));
		return error;
	}
	/* For holder_lives(); without it a newcomer only waits longer. */
	if (ftruncate(shim->lock_fd, 0) || dprintf(shim->lock_fd, "%d\n", (int)getpid()) < 0)
		log_warning("%s: %m", path);
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	(void)data;
	log_info("signal %u: ending; what runs keeps running", info->ssi_signo);
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int open_loop(struct shim *shim)
{
	sigset_t signals;
	int error = sd_event_default(&shim->event);

	if (error < 0)
		return error;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	error = sd_event_add_signal(shim->event, NULL, SIGTERM, on_signal, NULL);
	if (error >= 0)
		error = sd_event_add_signal(shim->event, NULL, SIGINT, on_signal, NULL);
	if (error >= 0)
		error = sd_event_set_watchdog(shim->event, true);
	return error < 0 ? error : 0;
}

static void shim_close(struct shim *shim)
{
	state_save(shim);
	shim->closing = true;
	server_free(shim->control);
	while (shim->partitions)
		partition_free(shim->partitions);
	while (shim->adapters)
		adapter_free(shim->adapters);
	adapter_faults_close(shim);
	forwarder_stop(shim->forwarder);
	cgroup_close();
	sd_event_source_disable_unref(shim->save_source);
	sd_event_unref(shim->event);
	log_buffer_free(shim->log);
	if (shim->lock_fd >= 0)
		close(shim->lock_fd);
}

/*
 * What is installed is looked up while root may still pass every folder: the
 * manifests, and the programs by making theirs the working folder (spawn.c). They
 * may lie in the home of somebody who lets nobody else in.
 */
static int open_installation(struct shim *shim)
{
	int error = image_list_load(shim->images_dir, &shim->images);

	if (error)
		log_error("%s: %s; say where the manifests are with --images", shim->images_dir,
			  strerror(-error));
	else if (chdir(shim->libexec_dir)) {
		error = -errno;
		log_error("%s: %s; say where the programs are with --libexec", shim->libexec_dir,
			  strerror(-error));
	}
	return error;
}

static int shim_open(struct shim *shim)
{
	int error = open_installation(shim);

	/* While root may still do what nobody may: write at the hierarchy's top, and read the
	 * kernel's log. */
	cgroup_open(shim->state_dir, shim->rootless);
	adapter_faults_open(shim);
	if (!error)
		error = privileges_drop(shim->rootless);
	if (!error)
		error = make_folders(shim);
	if (!error)
		error = take_lock(shim);
	if (error)
		return error;
	error = privileges_enforce_list();
	if (error)
		return error;
	error = open_loop(shim);
	if (error) {
		log_error("no event loop: %s", strerror(-error));
		return error;
	}
	error = forwarder_start(shim);
	if (error) {
		log_error("the forwarder cannot be started: %s", strerror(-error));
		return error;
	}
	error = state_load(shim);
	if (error) {
		log_error("the saved state cannot be taken up; remove %s/state.json, and start again: "
			  "what still runs is ended then", shim->state_dir);
		return error;
	}
	error = heartbeat_start(shim);
	if (!error)
		error = control_listen(shim);
	if (error)
		log_error("%s/control.sock: %s", shim->state_dir, strerror(-error));
	return error;
}

int main(int argc, char **argv)
{
	struct shim shim = {.lock_fd = -1, .kmsg_fd = -EBADF, .start_ms = SHIM_START_MS, .rootless = geteuid() != 0,
			    .started_ns = clock_now_ns()};
	enum log_level level = LOG_LEVEL_INFO;
	int status = parse_options(&shim, argc, argv, &level);

	if (status >= 0)
		return status;
	umask(077);
	memory_begin();
	log_open("outriggerd", level);
	shim.log = log_buffer_new();
	if (!shim.log)
		memory_end();
	if (shim_open(&shim))
		return 1;
	log_info("outriggerd %s: %s, %zu images, listening on %s/control.sock", OTR_VERSION,
		 shim.rootless ? "rootless" : "root", shim.images.count, shim.state_dir);
	sd_notifyf(0, "READY=1\nSTATUS=%zu images", shim.images.count);
	status = sd_event_loop(shim.event);
	sd_notify(0, "STOPPING=1");
	if (status < 0)
		log_error("the event loop failed: %s", strerror(-status));
	shim_close(&shim);
	return status < 0 ? 1 : 0;
}
