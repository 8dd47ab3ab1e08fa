/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the shim does when it has no memory. Where a call of its own gets none it
 * answers whoever asked with an error and goes on. But a JSON object that misses a
 * part says something else than was meant: a saved state without a process, an
 * answer without its failures. And a child whose answer we cannot take seems to hang,
 * and would be ended (processes/peer_link.c). So where jansson gets none, or a call to a
 * child, the shim ends, with a line that says so; whatever it was at, the next shim
 * takes up what is there, as after any other end. Called by main() and where nobody
 * could be told any more.
 */
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "shim.h"

void memory_end(void)
{
	/* Not through the log, which may be what has no memory. */
	static const char line[] = "outriggerd: error: out of memory: ending; what runs keeps running, "
				   "and the next outriggerd takes it up\n";
	ssize_t written = write(STDERR_FILENO, line, sizeof(line) - 1);

	(void)written; /* there is nobody else to tell */
	_exit(1);
}

static void *allocate(size_t bytes)
{
	void *memory = malloc(bytes);

	if (!memory)
		memory_end();
	return memory;
}

void memory_begin(void)
{
	json_set_alloc_funcs(allocate, free);
}
