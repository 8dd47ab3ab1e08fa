/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes librte_vhost serve a new socket at once, not within a second. */
#ifndef VHOST_NOTICE_H
#define VHOST_NOTICE_H

/*
 * Call after rte_vhost_driver_start(path): any number of starts, then one
 * notice. `path` is the last of these sockets; its directory is where a socket
 * of our own lives for a moment. 0 or -errno: drivers that connect within the
 * next second may have to wait it out, nothing else is lost.
 */
int vhost_notice(const char *path);

#endif
