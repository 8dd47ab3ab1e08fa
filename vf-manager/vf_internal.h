/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the VF manager share; one thread. See vf.h. */
#ifndef VF_INTERNAL_H
#define VF_INTERNAL_H

#include <dirent.h>

#include "vf.h"

#define PRINTF(text, first) __attribute__((format(printf, text, first)))

/* ---- tree.c: files below host->root ------------------------------------------ */

/* The path below root; -ENAMETOOLONG. */
int vf_path(const struct vf_host *host, char out[PATH_MAX], const char *format, ...) PRINTF(3, 4);
/* First line, without its end, or -errno. Cut text is -EOVERFLOW. */
int vf_read(const struct vf_host *host, char *out, size_t bytes, const char *format, ...)
	PRINTF(4, 5);
/* A number, decimal or 0x; `fallback` where there is none. */
int64_t vf_read_number(const struct vf_host *host, int64_t fallback, const char *format, ...)
	PRINTF(3, 4);
/* The last part of what a link points to; out is empty if there is no link. */
void vf_read_link(const struct vf_host *host, char *out, size_t bytes, const char *format, ...)
	PRINTF(4, 5);
bool vf_exists(const struct vf_host *host, const char *format, ...) PRINTF(2, 3);
/* NULL if there is none. */
DIR *vf_open_folder(const struct vf_host *host, const char *format, ...) PRINTF(2, 3);
/* The next name in it, hidden ones too; NULL after the last, and closes it. A folder that
 * there is not has none. */
const char *vf_next_entry(DIR *folder);
/* The first entry (by name) of a folder that is not hidden; out is empty if there is none. */
void vf_first_entry(const struct vf_host *host, char *out, size_t bytes, const char *format, ...)
	PRINTF(4, 5);
/* A whole text file of at most 64 KiB, to be freed; NULL: it cannot be read. */
char *vf_read_text(const struct vf_host *host, const char *format, ...) PRINTF(2, 3);
/* Writes `text` by the kernel stand-in; a failure fills host->reason. */
int vf_write(struct vf_host *host, const char *text, const char *format, ...) PRINTF(3, 4);
/* "12", "0x1f"; nothing before or after. */
bool vf_number_parse(const char *text, int64_t *out);
/* A driver, interface or pool name as the kernel has them: no slash, no blank, not "." */
bool vf_word_valid(const char *text);

/* host->reason, and -error back. */
int vf_refuse(struct vf_host *host, int error, const char *format, ...) PRINTF(3, 4);

/* Waits until `ready` answers other than -EAGAIN, at most host->wait_ns: that, or -ETIMEDOUT. */
int vf_wait(struct vf_host *host, int (*ready)(struct vf_host *host, const void *data),
	    const void *data);

/* ---- discover.c, interface.c, pci.c, users.c ------------------------------------------------ */

#define VF_DEVICE "/sys/bus/pci/devices/%s"

/* Driver, interface, group, NUMA node: what every function has. */
void vf_look_common(const struct vf_host *host, struct vf_function *function);
/* Whether that interface is the other end of a VF, by its port's name: of which. */
bool vf_is_representor(const struct vf_host *host, const char *ifname, unsigned *pf, unsigned *vf);
/* Config space and names of all PFs. 0 or -errno; a PF whose config is closed stays without. */
int vf_look_pci(struct vf_host *host);
/* MSI-X table size of one function, by its config space; 0: not known. */
unsigned vf_look_msix(struct vf_host *host, const struct vf_function *function);
int vf_look_users(struct vf_host *host);

/* ---- bind.c ------------------------------------------------------------------------ */

/* The driver that `word` means for this VF; "" is: whichever the kernel picks. */
const char *vf_driver_meant(const struct vf_function *vf, const char *word);
int vf_unbind(struct vf_host *host, struct vf_function *vf);
/* Overrides, takes it from its driver and has the kernel probe; "" for `driver`: any, or none. */
int vf_move(struct vf_host *host, struct vf_function *vf, const char *override,
	    const char *driver);
/* Keys that one request sets together, in the order in which they are set; ended by 0. */
extern const unsigned vf_key_groups[];
/* Moves it, by driver_override; 0, 1: was so already, -errno with a reason. */
int vf_driver_set(struct vf_host *host, struct vf_function *vf, const char *word);

/* Sets `keys` by the kernel stand-in, again and again while it answers -EAGAIN. */
int vf_settings_put(struct vf_host *host, const struct vf_function *vf, unsigned keys,
		    const struct vf_settings *settings);
/* Six pairs of digits with colons between, or not. */
bool vf_mac_parse(const char *text, uint8_t mac[6]);
/* Those of `wanted` that differ from what is live, a request for each group of keys. */
int vf_settings_bring(struct vf_host *host, const struct vf_function *vf,
		      const struct vf_settings *wanted);
/* A function-level reset; its memory's owner is the kernel's affair. */
int vf_reset(struct vf_host *host, const struct vf_function *vf);
/* Taking a VF from vfio-pci while a program has it waits for that program, in the kernel:
 * 0, -EBUSY with a reason. A program that this process may not look into is seen, too. */
int vf_check_free(struct vf_host *host, const struct vf_function *vf);
/* vf_lock(), if `token` may hold this function: the lock, or -EINVAL with a reason. */
int vf_lock_for(struct vf_host *host, const struct vf_function *vf, const char *token);
/* vf_release(), with the lock held. */
int vf_release_locked(struct vf_host *host, struct vf_function *vf, const char *token);

/* ---- record.c: who holds what, on disk ---------------------------------------------- */

struct vf_record {
	char token[VF_TOKEN_BYTES];
	char driver[VF_NAME_BYTES], driver_override[VF_NAME_BYTES];
	struct vf_settings settings; /* as they were */
	bool is_pf;
	unsigned num_vfs;
	enum vf_eswitch eswitch;
};
/* A descriptor whose closing ends the lock; -ENOENT: no folder is named; -ETIMEDOUT. */
int vf_lock(struct vf_host *host);
/* Whether a file of the state directory is a record, and of which function. */
bool vf_record_names(const char *file, char name[VF_ADDRESS_BYTES]);
/* 0; -ENOENT: there is none; -EINVAL: it is damaged. */
int vf_record_load(struct vf_host *host, const char *name, struct vf_record *out);
/* On disk when it returns; 0 or -errno with a reason. */
int vf_record_save(struct vf_host *host, const char *name, const struct vf_record *record);
int vf_record_remove(struct vf_host *host, const char *name);
/* The state of a function now, for `token`. */
void vf_record_of(const struct vf_function *function, const char *token, struct vf_record *out);
/*
 * Saves that, unless it is held: by the same token 0, by another -EPERM. A `fresh` VF has
 * no driver only because probing is held back: what it had is the kernel's choice.
 */
int vf_record_claim(struct vf_host *host, const struct vf_function *function, const char *token,
		    bool fresh);
/* Indented, to be freed; NULL: no memory, or no `root`. */
char *vf_json_text(const json_t *root);
/* Puts `text` at folder/name: temporary file, fsync, rename, fsync of the folder. */
int vf_file_replace(const char *folder, const char *name, const char *text, unsigned mode);

/* ---- netlink.c, for tests too ----------------------------------------------------- */

/* What an RTM_NEWLINK message tells of VFs: 0 or -EBADMSG. `bytes` from its header on. */
int vf_netlink_parse(const void *message, size_t bytes, struct vf_settings *settings, unsigned max);
int vf_netlink_counters(const void *message, size_t bytes, struct vf_counters *counters,
			unsigned max);
struct nl_msg;
/* The request that sets `keys`; NULL: no memory. */
struct nl_msg *vf_netlink_request(int ifindex, unsigned index, unsigned keys,
				  const struct vf_settings *settings);

#endif
