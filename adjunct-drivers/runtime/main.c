/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * adj_main(): the main program of every adjunct image. Opens the control socket
 * the shim left as descriptor 3 and serves until told to stop.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "runtime.h"

static void print_help(const struct adj_ops *ops, const char *program)
{
	printf("Usage: %s [--log-level error|warning|info|debug] [NAME]\n"
	       "Adjunct image \"%s\", driver interface %u. Started by outriggerd, which passes\n"
	       "the listening control socket (org.outrigger.Adjunct) as descriptor %d.\n"
	       "NAME only shows in lists of processes; Start names the adjunct.\n",
	       program, ops->name, ops->interface_version, CONTROL_LISTEN_FD);
}

#ifdef ADJ_GENERAL_REGISTERS
static const char general_only[] = ", general registers only";
#else
static const char general_only[] = "";
#endif

int adj_main(const struct adj_ops *ops, int argc, char **argv)
{
	static const struct option options[] = {
		{"log-level", required_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	enum log_level level = LOG_LEVEL_INFO;
	int option;

	while ((option = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
		if (option == 'l' && !log_level_parse(optarg, &level))
			continue;
		if (option == 'h') {
			print_help(ops, argv[0]);
			return 0;
		}
		if (option == 'V') {
			printf("%s %s (driver interface %u%s)\n", ops->name, OTR_VERSION,
			       ops->interface_version, general_only);
			return 0;
		}
		fprintf(stderr, "%s: see --help\n", argv[0]);
		return 2;
	}
	/* The adjunct's name is for whoever looks at the process list or the log. */
	log_open(optind < argc ? argv[optind] : ops->name, level);
	if (ops->interface_version != ADJ_INTERFACE_VERSION) {
		log_error("%s: made for driver interface %u, this runtime has %u", ops->name,
			  ops->interface_version, ADJ_INTERFACE_VERSION);
		return 1;
	}
	if (adjunct_confine_begin())
		return 1;
	struct runtime *rt = calloc(1, sizeof(*rt));

	if (!rt) {
		log_error("%s: out of memory", ops->name);
		return 1;
	}
	rt->ops = ops;
	runtime_env_init(rt);
	int status = control_open(rt) ? 1 : serve(rt);

	control_close(rt);
	free(rt);
	return status;
}
