/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors by name. A few dozen names at most are kept, so a list is
 * searched from the front; nothing here is on a data path. Called by methods.c
 * on the keeper's only thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keeper.h"

bool store_name_valid(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > KEEPER_NAME_MAX)
		return false;
	for (const char *c = name; *c; c++) {
		if (*c <= ' ' || *c > '~')
			return false;
	}
	return true;
}

static int index_of(const struct store *store, const char *name)
{
	for (unsigned i = 0; i < store->count; i++) {
		if (!strcmp(store->items[i]->name, name))
			return (int)i;
	}
	return -1;
}

const struct store_item *store_find(const struct store *store, const char *name)
{
	int at = index_of(store, name);

	return at < 0 ? NULL : store->items[at];
}

bool store_has_room(const struct store *store, const char *name, unsigned fd_count)
{
	const struct store_item *old = store_find(store, name);
	unsigned freed = old ? old->fd_count : 0;

	return (old || store->count < KEEPER_NAMES_MAX) &&
	       store->fd_count - freed + fd_count <= KEEPER_FDS_MAX;
}

int store_put(struct store *store, const char *name, const int *fds, unsigned fd_count)
{
	if (fd_count > VARLINK_FDS_MAX || !store_has_room(store, name, fd_count))
		return -ENOSPC;
	struct store_item *item = calloc(1, sizeof(*item));
	if (!item)
		return -ENOMEM;
	store_remove(store, name); /* -ENOENT only says that nothing is replaced */
	memcpy(item->name, name, strlen(name)); /* checked by store_name_valid() */
	memcpy(item->fds, fds, fd_count * sizeof(*fds));
	item->fd_count = fd_count;
	store->items[store->count++] = item;
	store->fd_count += fd_count;
	return 0;
}

int store_remove(struct store *store, const char *name)
{
	int at = index_of(store, name);

	if (at < 0)
		return -ENOENT;
	struct store_item *item = store->items[at];
	for (unsigned i = 0; i < item->fd_count; i++)
		close(item->fds[i]);
	store->fd_count -= item->fd_count;
	store->count--;
	memmove(&store->items[at], &store->items[at + 1],
		(store->count - (unsigned)at) * sizeof(store->items[0]));
	free(item);
	return 0;
}
