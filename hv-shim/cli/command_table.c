/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of commands, see command_table.h, and the look-up in it. A new
 * command is one row here and one function in a cmd_*.c; everything else that
 * must know of it is derived.
 */
#include "command_table.h"

#include <string.h>

#include "cli.h"

const struct command_option command_global_options[] = {
	{OPTION_JSON, 'j', "json", NULL, "print JSON, for programs"},
	{OPTION_SOCKET, 's', "socket", "PATH", "control socket of outriggerd", COMPLETES_FILE},
	{OPTION_STATE_DIR, 0, "state-dir", "DIR",
	 "state directory of outriggerd, where its control.sock is", COMPLETES_DIRECTORY},
	{OPTION_QUIET, 'q', "quiet", NULL, "print errors and what was asked for, nothing else"},
	{OPTION_NO_COLOR, 0, "no-color", NULL, "no colours, as with NO_COLOR in the environment"},
	{OPTION_HELP, 'h', "help", NULL, "show help, for a command too"},
	{OPTION_VERSION, 'V', "version", NULL, "show the version"},
	{OPTION_END},
};

static const struct command_option up_options[] = {
	{OPTION_FILE, 'f', "file", "FILE", "the document, YAML or JSON; - reads standard input",
	 COMPLETES_FILE},
	{OPTION_DRY_RUN, 'n', "dry-run", NULL, "show what would change, and change nothing"},
	{OPTION_PRUNE, 0, "prune", NULL, "also remove what the document does not name"},
	{OPTION_DETAILED_EXITCODE, 0, "detailed-exitcode", NULL,
	 "exit with 10 if there are changes, 0 only if there are none"},
	{OPTION_END},
};

static const struct command_option create_options[] = {
	{OPTION_FILE, 'f', "file", "FILE",
	 "a partition in YAML or JSON, as in the document; - reads standard input",
	 COMPLETES_FILE},
	{OPTION_DEVICE, 'd', "device", "KEY=VALUE,...",
	 "a device, such as name=net0,kind=tap,adapter=soft0; may be given more than once"},
	{OPTION_END},
};

static const struct command_option stats_options[] = {
	{OPTION_WATCH, 'w', "watch", NULL, "show rates, again and again, until interrupted"},
	{OPTION_INTERVAL, 'i', "interval", "SECONDS", "time between two rates, 0.1 to 60 (1)"},
	{OPTION_END},
};

static const struct command_option top_options[] = {
	{OPTION_INTERVAL, 'i', "interval", "SECONDS", "time between two rates, 0.1 to 60 (1)"},
	{OPTION_COUNT, 'n', "count", "N", "end after N rates, 1 to 1000000"},
	{OPTION_END},
};

static const struct command_option usage_options[] = {
	{OPTION_INTERVAL, 'i', "interval", "SECONDS", "time between two tables, 0.1 to 60 (1)"},
	{OPTION_COUNT, 'n', "count", "N", "again and again anywhere, and end after N tables"},
	{OPTION_END},
};

static const struct command_option list_options[] = {
	{OPTION_ALL, 'a', "all", NULL, "their adjuncts, too"},
	{OPTION_END},
};

static const struct command_option log_options[] = {
	{OPTION_FOLLOW, 'f', "follow", NULL, "go on with every later line, until interrupted"},
	{OPTION_LINES, 'n', "lines", "N", "begin with the last N lines, 0 to 1000 (100)"},
	{OPTION_END},
};

static const struct command_option help_options[] = {
	{OPTION_FORMAT, 0, "format", "FORMAT", "text, bash, fish, man or markdown"},
	{OPTION_END},
};

#define VF_ROOT                                                                             \
	{OPTION_ROOT, 0, "root", "DIR", "look below DIR, at a recorded sys, proc and etc",  \
	 COMPLETES_DIRECTORY}

static const struct command_option vf_look_options[] = {VF_ROOT, {OPTION_END}};

static const struct command_option vf_apply_options[] = {
	{OPTION_FILE, 'f', "file", "FILE", "the document, YAML or JSON; - reads standard input",
	 COMPLETES_FILE},
	{OPTION_DRY_RUN, 'n', "dry-run", NULL, "show what would change, and change nothing"},
	{OPTION_PRUNE, 0, "prune", NULL,
	 "also take back what an earlier apply did and the document does not name"},
	{OPTION_ALLOW_DISRUPTIVE, 0, "allow-disruptive", NULL,
	 "may destroy virtual functions to make more or fewer, and take them from a driver whose "
	 "interface is up"},
	{OPTION_DETAILED_EXITCODE, 0, "detailed-exitcode", NULL,
	 "exit with 10 if there are changes, 0 only if there are none"},
	VF_ROOT,
	{OPTION_END},
};

static const struct command_option vf_bind_options[] = {
	{OPTION_DRIVER, 0, "driver", "NAME",
	 "a kernel driver; default: the kernel's choice; dpdk: what DPDK drives it through (dpdk)"},
	{OPTION_OWNER, 0, "owner", "TOKEN", "who holds it from now on (operator)"},
	{OPTION_END},
};

static const struct command_option vf_release_options[] = {
	{OPTION_OWNER, 0, "owner", "TOKEN", "who held it (operator)"},
	{OPTION_END},
};

static const struct command_option vf_export_options[] = {
	{OPTION_FORMAT, 0, "format", "FORMAT", "cdi, pcidp, gres or nova"},
	{OPTION_OUTPUT, 'o', "output", "DIR", "where the files go (the working directory)",
	 COMPLETES_DIRECTORY},
	{OPTION_FILE, 'f', "file", "FILE", "the document that names the pools", COMPLETES_FILE},
	VF_ROOT,
	{OPTION_END},
};

static const struct command_option vf_watch_options[] = {
	{OPTION_INTERVAL, 'i', "interval", "SECONDS",
	 "look at least so often, 0.1 to 60 (1); what the kernel announces is told at once"},
	{OPTION_COUNT, 'n', "count", "N", "end after N looks, 1 to 1000000"},
	VF_ROOT,
	{OPTION_END},
};

#define SYSTEM "The whole system"
#define PARTITIONS "Partitions"
#define DEVICES "Devices and their adjuncts"
#define VFS "Virtual functions of this machine's adapters (no daemon needed)"
#define OTHER "Other"

const struct command command_table[] = {
	{SYSTEM, "up", NULL, "-f FILE", 0, 0, COMPLETES_NOTHING, up_options,
	 "bring the system to what a document describes",
	 "Works by difference against what is there: equal settings are not touched, and a "
	 "second run changes nothing and says so. What the document does not name stays, "
	 "unless --prune is given.",
	 cmd_up},
	{SYSTEM, "down", NULL, "", 0, 0, COMPLETES_NOTHING, NULL,
	 "take everything down: devices, partitions, adapters", NULL, cmd_down},
	{SYSTEM, "status", NULL, "", 0, 0, COMPLETES_NOTHING, NULL,
	 "show the daemon, adapters, partitions, devices and adjuncts", NULL, cmd_status},
	{SYSTEM, "top", NULL, "[PARTITION]", 0, 1, COMPLETES_PARTITION, usage_options,
	 "show who uses the processors: partitions, and what they lend their adjuncts",
	 "On a terminal again and again, until interrupted, with what was used meanwhile; "
	 "elsewhere once, with all that was used so far. TIME is what the kernel counted: of a "
	 "partition's programs and adjuncts, or of a device's adjuncts. DONATED, YIELDS, EXPIRED "
	 "(quanta that ended before the work did), REQUESTS and the rest are what the adjunct says. "
	 "PA_BUSY: it asks for the processor. QUEUED: requests not done. P50, P99, P99.9: so long "
	 "50, 99 and 99.9 % of the requests took at most, from when the adjunct took them until "
	 "they were complete.",
	 cmd_top},
	{SYSTEM, "log", NULL, "", 0, 0, COMPLETES_NOTHING, log_options,
	 "show the daemon's log", NULL, cmd_log},

	{PARTITIONS, "partition", "list", "", 0, 0, COMPLETES_NOTHING, list_options,
	 "list the partitions", NULL, cmd_partition_list},
	{PARTITIONS, "partition", "show", "NAME", 1, 1, COMPLETES_PARTITION, NULL,
	 "show one partition and its devices", NULL, cmd_partition_show},
	{PARTITIONS, "partition", "create", "NAME", 1, 1, COMPLETES_NOTHING, create_options,
	 "create one partition",
	 "The partition comes from a file, from --device options, or from both. The keys of "
	 "--device are those of a device, of its vf and of its adjunct in outrigger.yaml(5), "
	 "without nesting; adjunct=none, too. address may be given more than once.",
	 cmd_partition_create},
	{PARTITIONS, "partition", "destroy", "NAME...", 1, ARGUMENTS_ANY, COMPLETES_PARTITION, NULL,
	 "remove partitions with their devices and adjuncts", NULL, cmd_partition_destroy},
	{PARTITIONS, "exec", NULL, "NAME [-- PROGRAM [ARGUMENT...]]", 1, ARGUMENTS_ANY,
	 COMPLETES_COMMAND, NULL, "run a program in a partition's network namespace",
	 "Without a program, your shell. The working directory, the terminal and the files "
	 "stay as they are; OUTRIGGER_PARTITION in the environment holds the name. The exit "
	 "status is the program's; 127 if it was not found, 126 if it could not be run.",
	 cmd_exec, .program_follows = true},

	{DEVICES, "device", "list", "[PARTITION]", 0, 1, COMPLETES_PARTITION, NULL,
	 "list the devices, all or those of one partition", NULL, cmd_device_list},
	{DEVICES, "device", "show", "PARTITION/DEVICE", 1, 1, COMPLETES_DEVICE, NULL,
	 "show one device", NULL, cmd_device_show},
	{DEVICES, "device", "stats", "[PARTITION[/DEVICE]]", 0, 1, COMPLETES_DEVICE, stats_options,
	 "show counters, or live rates with -w",
	 "tx is what leaves the partition. Dropped are the frames that the adjunct or the "
	 "virtual function lost. For one device, all counters are shown: the adjunct's, and "
	 "beside them the virtual function's where the adapter can tell.",
	 cmd_device_stats},
	{DEVICES, "events", "show", "[PARTITION]", 0, 1, COMPLETES_PARTITION, NULL,
	 "show event queues and guests",
	 "A guest is a program that waits for many native devices at once. Forwarded are the "
	 "events put into guests' queues; coalesced, those whose guest had not yet taken the "
	 "last; interrupts, the times a sleeping guest was woken; held, events that found a "
	 "queue full and wait; stale, events of resources that are gone.",
	 cmd_events_show},
	{DEVICES, "events", "top", "[PARTITION]", 0, 1, COMPLETES_PARTITION, top_options,
	 "show event rates, again and again, until interrupted", NULL, cmd_events_top},
	{DEVICES, "adjunct", "list", "", 0, 0, COMPLETES_NOTHING, NULL,
	 "list the adjuncts", NULL, cmd_adjunct_list},
	{DEVICES, "adjunct", "show", "NAME", 1, 1, COMPLETES_ADJUNCT, NULL,
	 "show one adjunct", NULL, cmd_adjunct_show},
	{DEVICES, "adjunct", "restart", "NAME", 1, 1, COMPLETES_ADJUNCT, NULL,
	 "replace an adjunct by a new one",
	 "The partition keeps its interface, its window or its socket, and is not told of a "
	 "link change. Prints how long nobody served.",
	 cmd_adjunct_restart},

	{VFS, "vf", "list", "", 0, 0, COMPLETES_NOTHING, vf_look_options,
	 "list physical functions and their virtual functions", NULL, cmd_vf_list},
	{VFS, "vf", "show", "FUNCTION", 1, 1, COMPLETES_FUNCTION, vf_look_options,
	 "show one function, all there is to know",
	 "A function is named by its PCI address, long or short, as pci/0000:01:00.0 or "
	 "pci_0000_01_00_0, by its interface, or by the interface of its PF and a number: "
	 "eth0/3.",
	 cmd_vf_show},
	{VFS, "vf", "apply", "-f FILE", 0, 0, COMPLETES_NOTHING, vf_apply_options,
	 "bring virtual functions to what a document describes (as root)",
	 "Works by difference against the live state, not against what was applied last. The "
	 "number of virtual functions can only change through none: that is refused without "
	 "--allow-disruptive, and always while one of them is in use by a program, by another "
	 "network namespace or by another owner.",
	 cmd_vf_apply},
	{VFS, "vf", "bind", "FUNCTION", 1, 1, COMPLETES_FUNCTION, vf_bind_options,
	 "give a virtual function to a driver and hold it (as root)",
	 "What it was before is saved, and comes back with vf release.", cmd_vf_bind},
	{VFS, "vf", "release", "FUNCTION", 1, 1, COMPLETES_FUNCTION, vf_release_options,
	 "reset a virtual function and put it back to how it was (as root)", NULL,
	 cmd_vf_release},
	{VFS, "vf", "doctor", "", 0, 0, COMPLETES_NOTHING, vf_look_options,
	 "look for what is wrong, and say what to do",
	 "The exit status is 1 if an error was found; warnings and notes leave it 0.",
	 cmd_vf_doctor},
	{VFS, "vf", "export", "--format FORMAT", 0, 0, COMPLETES_NOTHING, vf_export_options,
	 "write the virtual functions for other programs, one file a pool",
	 "cdi: the Container Device Interface, version 0.5.0. pcidp: resources of the SR-IOV "
	 "network device plugin. gres: gres.conf of Slurm. nova: the section pci of nova.conf. "
	 "A function's pool is that of the document, or its PF.",
	 cmd_vf_export},
	{VFS, "vf", "watch", "", 0, 0, COMPLETES_NOTHING, vf_watch_options,
	 "tell what happens to virtual functions, until interrupted", NULL, cmd_vf_watch},

	{OTHER, "version", NULL, "", 0, 0, COMPLETES_NOTHING, NULL,
	 "show the version of this program and of the daemon", NULL, cmd_version},
	{OTHER, "completion", NULL, "bash|fish", 1, 1, COMPLETES_SHELL, NULL,
	 "print a script that completes commands in a shell",
	 "For bash: source <(outrigger completion bash). For fish: outrigger completion fish | "
	 "source.",
	 cmd_completion},
	{OTHER, "help", NULL, "[COMMAND]", 0, 2, COMPLETES_NOTHING, help_options,
	 "show help", NULL, cmd_help, .hidden = true},
	{OTHER, "names", NULL, "partition|device|adjunct|function", 1, 1, COMPLETES_NOTHING, NULL,
	 "print the names there are, for completion", NULL, cmd_names, .hidden = true},
	{NULL},
};

bool command_is_noun(const char *word)
{
	for (const struct command *c = command_table; c->noun; c++)
		if (c->verb && strcmp(c->noun, word) == 0)
			return true;
	return false;
}

const struct command *command_find(char *const *words, size_t count, size_t *used)
{
	bool verb_given = count > 1 && words[1][0] != '-';

	for (const struct command *c = command_table; count > 0 && c->noun; c++) {
		if (strcmp(c->noun, words[0]) != 0)
			continue;
		/* Without a verb, the first: "list" where there is one. */
		if (c->verb && verb_given && strcmp(c->verb, words[1]) != 0)
			continue;
		*used = c->verb && verb_given ? 2 : 1;
		return c;
	}
	return NULL;
}
