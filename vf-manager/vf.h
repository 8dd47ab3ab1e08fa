/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VF manager: what adapters a machine has, which virtual functions (VFs) they
 * have, who drives those, and how that becomes what somebody wants. This header is
 * the manual; `outrigger vf` is the program.
 *
 *   discover   vf_discover(): physical functions (PFs) and VFs as plain structs
 *   configure  vf_plan(): the difference between a wish and what is there, as steps;
 *              vf_apply(): does them. A second run has no steps.
 *   own        vf_bind(), vf_release(): a VF changes hands with its original state
 *              saved, and comes back only to the owner whose token matches
 *   doctor     vf_doctor(): what is wrong, on what, and what to do
 *   export     vf_export(): the same VFs as other programs want to read them
 *
 * Everything is read below `root` ("" for the running machine), and everything that
 * changes the machine, or asks it by netlink, goes through a struct vf_kernel: tests
 * bring a made-up tree and a made-up kernel. Nothing here prints, exits, or keeps a
 * thread; one thread at a time may use a struct vf_host. Functions answer 0 or a count,
 * else -errno, and then vf_host.reason holds a sentence for the person: the object,
 * the cause, and the next step.
 *
 * Seed 000, FIG. 7 (705: discovery; 710, 715: a VF that keeps its native driver;
 * 725-745: one that an adjunct is to drive), and seed 001, paragraph 5.
 */
#ifndef VF_H
#define VF_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VF_NAME_BYTES 32    /* drivers, RDMA devices, pools */
#define VF_IFNAME_BYTES 16  /* the kernel's IFNAMSIZ */
#define VF_ADDRESS_BYTES 20 /* "10000:01:10.0", a domain of 32 bits too */
#define VF_TOKEN_BYTES 64
#define VF_REASON_BYTES 400
#define VF_PER_PF_MAX 512 /* above what any adapter offers today (256) */

/* ---- Addresses ------------------------------------------------------------- */

struct vf_address {
	uint32_t domain;
	uint8_t bus, slot, function;
};

/*
 * DDDD:BB:DD.F (a domain of up to 32 bits), BB:DD.F, pci/... (devlink) and
 * pci_DDDD_BB_DD_F (libvirt). 0 or -EINVAL, and *out is untouched.
 */
int vf_address_parse(const char *text, struct vf_address *out);
/* Lower-case DDDD:BB:DD.F. */
void vf_address_format(const struct vf_address *address, char text[VF_ADDRESS_BYTES]);
bool vf_address_same(const struct vf_address *a, const struct vf_address *b);
/* Where VF `index` of a PF is: its routing ID plus offset plus stride for each (SR-IOV 3.3.9). */
struct vf_address vf_address_of(const struct vf_address *pf, unsigned offset, unsigned stride,
				unsigned index);

/* ---- Settings of a VF that its PF holds ------------------------------------- */

/* iproute2's words, in its order. */
enum vf_key {
	VF_MAC, VF_VLAN, VF_QOS, VF_PROTO, VF_SPOOFCHK, VF_TRUST, VF_STATE, VF_MIN_TX_RATE,
	VF_MAX_TX_RATE, VF_NODE_GUID, VF_PORT_GUID, VF_KEYS,
};
#define VF_BIT(key) (1u << (key))

enum vf_proto { VF_PROTO_8021Q, VF_PROTO_8021AD };
enum vf_state { VF_STATE_AUTO, VF_STATE_ENABLE, VF_STATE_DISABLE };

/* Only the members whose bit is in `given` mean anything: wished for, or told by the driver. */
struct vf_settings {
	unsigned given;
	uint8_t mac[6];
	int64_t vlan, qos;
	int proto; /* enum vf_proto */
	bool spoofchk, trust;
	int state; /* enum vf_state */
	int64_t min_tx_rate, max_tx_rate; /* Mbit/s, 0: unlimited */
	uint64_t node_guid, port_guid;
};

extern const char *const vf_key_names[VF_KEYS];
extern const char *const vf_proto_names[], *const vf_state_names[]; /* ended by NULL */

/* Which of the wished keys are not as wished. A key that `live` lacks counts as different. */
unsigned vf_settings_differ(const struct vf_settings *live, const struct vf_settings *wished);
/* "02:00:00:00:00:01", "7", "yes", "auto": one member as the document has it. */
void vf_setting_format(const struct vf_settings *settings, enum vf_key key, char *out,
		       size_t bytes);
/* NULL: no memory. */
json_t *vf_settings_to_json(const struct vf_settings *settings);
/* The way back, for saved state: 0 or -EINVAL. */
int vf_settings_from_json(const json_t *object, struct vf_settings *out);
/* "00:11:22:33:44:55:66:77": 0 or -EINVAL. */
int vf_guid_parse(const char *text, uint64_t *out);

/* ---- What is there ---------------------------------------------------------- */

enum vf_eswitch { VF_ESWITCH_NONE, VF_ESWITCH_LEGACY, VF_ESWITCH_SWITCHDEV };
extern const char *const vf_eswitch_names[]; /* "none", "legacy", "switchdev", NULL */

struct vf_function {
	struct vf_address address;
	char name[VF_ADDRESS_BYTES]; /* the address as text */
	bool is_vf;
	uint16_t vendor, device;
	uint32_t class;
	char driver[VF_NAME_BYTES], driver_override[VF_NAME_BYTES]; /* empty: none */
	char ifname[VF_IFNAME_BYTES]; /* empty: none here; it may be in another namespace */
	int ifindex;                  /* its number, which a new name leaves; 0: not known */
	uint8_t mac[6];
	bool mac_permanent; /* the card's own, not one that somebody set */
	bool up, carrier;   /* administratively; LOWER_UP */
	int64_t speed_mbits; /* 0: not known */
	char rdma[VF_NAME_BYTES];
	int numa_node;   /* -1: none */
	int iommu_group; /* -1: none */

	/* A PF's */
	unsigned total_vfs, num_vfs, offset, stride;
	uint16_t vf_device;
	bool autoprobe;       /* new VFs are given to a driver at once */
	unsigned msix_total;  /* vectors its VFs may share out; 0: fixed */
	char serial[24];      /* Device Serial Number, "b4-96-91-ff-ff-00-00-01" */
	char product[96];     /* by the PCI ID database */
	char firmware[64];    /* by devlink */
	enum vf_eswitch eswitch;
	struct vf_function *pf; /* a VF's; belongs to the host */
	struct vf_function *vfs; /* a PF's: vfs[0..vf_count), in the order of their indexes */
	unsigned vf_count;

	/* A VF's */
	unsigned index;
	char representor[VF_IFNAME_BYTES]; /* switchdev: its other end, on the PF's side */
	unsigned msix_vectors;
	struct vf_settings live;
	char owner[VF_TOKEN_BYTES]; /* the token it is held by; empty: nobody's */
	char used_by[96];           /* why it must not be taken away; empty: nobody sees a use */
	bool only_up;               /* and that is no more than an interface that is up here */
};

/* What a look takes with it; each costs time. */
enum {
	VF_LOOK_SETTINGS = 1, /* live settings, by rtnetlink */
	VF_LOOK_DEVLINK = 2,  /* firmware and switch mode */
	VF_LOOK_NAMES = 4,    /* product names, serial numbers: PCI database and config space */
	VF_LOOK_USERS = 8,    /* who holds a VFIO group: every process's descriptors */
	VF_LOOK_ALL = 15,
};

struct vf_devlink {
	char firmware[64];
	enum vf_eswitch eswitch;
};

/* What a PF's driver counts of a VF, as the VF sees it. A driver that counts nothing, such
 * as igb's, leaves all of them 0: the kernel does not tell the difference. */
struct vf_counters {
	uint64_t rx_frames, tx_frames, rx_bytes, tx_bytes, rx_broadcast, rx_multicast, rx_dropped,
		tx_dropped;
};

/*
 * The running machine's side. Each answers 0 or -errno; -EOPNOTSUPP where the machine,
 * or the kernel stand-in, has no such thing (which is no failure of a look); -ENODEV where
 * no interface has that number.
 */
struct vf_kernel {
	void *data;
	/* One write() of `text` to an attribute file. */
	int (*write)(void *data, const char *path, const char *text);
	int (*link_up)(void *data, int ifindex);
	/* settings[i] of every VF i < max that the driver tells of; others stay untouched. */
	int (*settings_get)(void *data, int ifindex, struct vf_settings *settings,
			    unsigned max);
	/* Sets the `keys` of one VF in one request; vlan, qos, proto go together, and rates. */
	int (*settings_set)(void *data, int ifindex, unsigned index, unsigned keys,
			    const struct vf_settings *settings);
	int (*devlink_get)(void *data, const char *address, struct vf_devlink *out);
	int (*eswitch_set)(void *data, const char *address, enum vf_eswitch mode);
	/* Moves an interface to the network namespace `netns_fd`, under the name `name`. */
	int (*link_move)(void *data, int ifindex, int netns_fd, const char *name);
	/* Whether a program has a VFIO group open: -EBUSY; 0: none has. */
	int (*group_free)(void *data, int group);
	/* Gives a VFIO group's device file to a user. */
	int (*group_give)(void *data, int group, uid_t uid);
	/* counters[i] of every VF i < max that the kernel tells of; others stay untouched. Its
	 * list is full with some 220 of them: then it tells of the first ones, or of none. Some
	 * drivers ask the card for each, which takes its time. */
	int (*counters_get)(void *data, int ifindex, struct vf_counters *counters,
			    unsigned max);
};
/* The running machine. */
extern const struct vf_kernel vf_kernel_running;
/* Knows nothing by netlink and refuses every change (-EROFS): for recorded trees. */
extern const struct vf_kernel vf_kernel_recorded;

struct vf_host {
	/* Whose changes vf_plan() and vf_apply() are: the token; NULL: VF_OWNER_APPLY. */
	const char *owner;
	char root[PATH_MAX];  /* without a slash at the end; "" is the running machine */
	char state[PATH_MAX]; /* folder of ownership records; "" keeps none */
	const struct vf_kernel *kernel;
	uint64_t wait_ns; /* how long a step may take to show; 0: 10 s */
	struct vf_function **pfs; /* in the order of their addresses */
	unsigned pf_count;
	char reason[VF_REASON_BYTES];
};

/* Drops what was known and looks anew. 0; -ENOENT: no PCI bus below root; -errno. */
int vf_discover(struct vf_host *host, unsigned look);
/*
 * The network interface of `function`, of which name and is_vf must be there, as it is now:
 * its name, number, MAC, up and carrier. It asks nothing that waits for the card's lock.
 */
void vf_look_interface(const struct vf_host *host, struct vf_function *function);
/* Forgets the functions; the rest stays. */
void vf_host_clear(struct vf_host *host);
/*
 * A PF or VF by any form of address, or "NETDEV/INDEX" for a VF, "NETDEV" for a function
 * whose interface it is. NULL: there is none, and host->reason says so.
 */
struct vf_function *vf_find(struct vf_host *host, const char *text);
/* Other functions of its IOMMU group, bridges left out: calls `each`, until it is not 0. */
int vf_group_members(struct vf_host *host, int group,
		     int (*each)(void *data, const char *address, const char *driver), void *data);
/* With a PF its VFs, too. NULL: no memory. */
json_t *vf_function_to_json(const struct vf_function *function);

/* ---- What is wanted, and the way there ------------------------------------- */

struct vf_wish {
	struct vf_settings settings;
	/* A name, "dpdk" (what DPDK drives it through), or "default"; empty: leave. */
	char driver[VF_NAME_BYTES];
	int64_t msix;               /* -1: leave */
	char pool[VF_NAME_BYTES];   /* of exports; empty: the PF's address */
};

/* One PF, by exactly one of address, mac and serial. */
struct vf_pf_wish {
	bool by_address;
	struct vf_address address;
	bool by_mac;
	uint8_t mac[6];
	char serial[24];
	unsigned vf_count;
	enum vf_eswitch eswitch; /* VF_ESWITCH_NONE: leave */
	bool any_link;           /* make VFs though the PF has no link */
	bool keep_new;           /* new VFs are offered to no driver of the kernel's */
	struct vf_wish *vfs;     /* vf_count of them */
};

enum vf_action {
	VF_ACTION_LINK_UP,  /* the PF's interface, and wait for its carrier */
	VF_ACTION_DESTROY,  /* all VFs: 0 must come between two numbers */
	VF_ACTION_ESWITCH,
	VF_ACTION_CREATE,   /* number VFs */
	VF_ACTION_MSIX,
	VF_ACTION_SET,      /* keys of settings */
	VF_ACTION_BIND,     /* driver */
	VF_ACTION_RELEASE,  /* what an earlier apply left, back to how it was */
};

struct vf_step {
	enum vf_action action;
	struct vf_address pf, function; /* function: the VF, or the PF itself */
	unsigned index, number, keys;
	enum vf_eswitch eswitch;
	struct vf_settings settings;
	char driver[VF_NAME_BYTES];
	bool fresh; /* a VF that no driver has been offered yet */
	bool failed;
	char object[40]; /* "pf 0000:01:00.0", "vf 0000:01:10.0" */
	char detail[160]; /* "vlan 0 -> 7", or why it failed */
};

struct vf_plan {
	struct vf_step *steps;
	unsigned count, room;
};

enum {
	VF_PRUNE = 1,            /* also take back what an earlier apply did and the wish lacks */
	VF_ALLOW_DISRUPTIVE = 2, /* destroy VFs to make more or fewer, take them from a driver */
};

/* The token of what `apply` holds, unless vf_host.owner says otherwise. */
#define VF_OWNER_APPLY "apply"

/*
 * What a wish needs. 0; -ENODEV: a PF is not there; -ERANGE: more VFs than it has;
 * -EBUSY: a VF is in use, or it needs VF_ALLOW_DISRUPTIVE; -EOPNOTSUPP; -ENOMEM. The
 * host must have been discovered with settings, devlink, names and users.
 */
int vf_plan(struct vf_host *host, const struct vf_pf_wish *wishes, unsigned count, unsigned flags,
	    struct vf_plan *out);
void vf_plan_free(struct vf_plan *plan);
/*
 * Plans and does it: first PFs, then a second look, then VFs, so that no setting is
 * written that a new VF has already. `told` gets each step when it is done or failed; a
 * VF's failure does not keep others from their turn, a PF's does. 0: all done; -EIO: a
 * step failed; or as vf_plan().
 */
int vf_apply(struct vf_host *host, const struct vf_pf_wish *wishes, unsigned count, unsigned flags,
	     void (*told)(void *data, const struct vf_step *step), void *data);

/* ---- Own ---------------------------------------------------------------------- */

/*
 * Gives a VF to `driver` ("dpdk", "default" or a name) for the owner `token`; its state
 * before is saved first. The same owner may bind again. 0: done, 1: it was so already;
 * -EPERM: held by another owner; -EBUSY: in use; -ENOENT: no such driver.
 */
int vf_bind(struct vf_host *host, struct vf_function *vf, const char *driver, const char *token);
/*
 * Takes a VF from its driver, resets it, puts settings and driver back to what was saved,
 * and forgets. 0; -ENOENT: nobody holds it; -EPERM: another owner does; -EBUSY.
 */
int vf_release(struct vf_host *host, struct vf_function *vf, const char *token);
/*
 * For a VF that is not there any more: forgets that `token` held it. 0; -EINVAL: no
 * address; -EEXIST: it is there; -ENOENT, -EPERM as vf_release().
 */
int vf_forget(struct vf_host *host, const char *address, const char *token);

/* ---- Handing out ---------------------------------------------------------------- */

/* What a VF's next owner does with it. */
enum vf_use {
	VF_USE_ADJUNCT, /* drives it by DPDK: vfio-pci, or the driver that DPDK works beside */
	VF_USE_NETDEV,  /* the kernel's driver, its interface in a network namespace */
	VF_USE_VFIO,    /* vfio-pci, by a program of its own, such as a virtual machine's */
};
extern const char *const vf_use_names[]; /* "adjunct", "netdev", "vfio", NULL */

struct vf_taking {
	enum vf_use use;
	struct vf_settings settings;
	int netns_fd;       /* VF_USE_NETDEV: where its interface goes, */
	const char *ifname; /* and what it is called there */
	uid_t uid;          /* VF_USE_VFIO: whose the group's device file becomes */
};

/*
 * Takes a VF for the owner `token`: its state before is saved, it is reset while no driver
 * has it (T10), set up as wished, then given to what is to drive it. vf_release() is the
 * way back. Once it is so, the same again changes settings alone, by difference. The host
 * must have been discovered with settings and users. 0; -EPERM: held by another; -EBUSY:
 * in use, or its IOMMU group is not free of others' drivers; -EOPNOTSUPP; -errno.
 */
int vf_take(struct vf_host *host, struct vf_function *vf, const struct vf_taking *taking,
	    const char *token);
/* Settings alone, of a VF that `token` holds. 0; -ENOENT: nobody does; as vf_take(). */
int vf_set(struct vf_host *host, struct vf_function *vf, const struct vf_settings *settings,
	   const char *token);
/* "0000:01:00.0", or a permanent MAC address: names a PF in *out. 0 or -EINVAL. */
int vf_pf_parse(const char *text, struct vf_pf_wish *out);
/* The PF a wish is about; NULL: it is not there. */
struct vf_function *vf_pf_find(struct vf_host *host, const struct vf_pf_wish *wish);

/* ---- Faults --------------------------------------------------------------------- */

/* A function reached for memory that it was not given, and the IOMMU stopped it. */
struct vf_fault {
	bool domain_known; /* else the address has 0 for its domain */
	struct vf_address address;
	bool write;
	uint64_t iova;
};
/* One record of /dev/kmsg, if that is what it says: 0, or -EINVAL, and *out is untouched. */
int vf_fault_parse(const char *record, size_t bytes, struct vf_fault *out);
/* It is that function's, as far as the log tells. */
bool vf_fault_is_of(const struct vf_fault *fault, const struct vf_address *address);

/* The kernel's log, at its end: a descriptor for poll(), the caller's; -errno: it is closed to
 * us. CAP_SYSLOG opens it where it is not everybody's, and is not needed later. */
int vf_fault_log_open(void);
/* What is in it by now is not of interest. 0 or -errno. */
int vf_fault_log_skip(int fd);
/* Each fault that it has to tell; of much some, and it stays readable. 0, or -errno: it cannot
 * be read any more. */
typedef void (*vf_fault_fn)(void *data, const struct vf_fault *fault);
int vf_fault_log_read(int fd, vf_fault_fn take, void *data);

/* Of one function, since it has its user; all zero at first. */
struct vf_faults {
	uint64_t count, told, told_ns;
	struct vf_fault last;
};
#define VF_FAULT_MESSAGE_BYTES 160
void vf_fault_count(struct vf_faults *faults, const struct vf_fault *fault);
/* There is something new to tell, and the last time was a second ago: true, with a sentence,
 * and it counts as told. */
bool vf_fault_tell(struct vf_faults *faults, const struct vf_address *address, uint64_t now_ns,
		   char message[VF_FAULT_MESSAGE_BYTES]);

/* ---- Doctor -------------------------------------------------------------------- */

enum vf_severity { VF_NOTE, VF_WARNING, VF_ERROR };
extern const char *const vf_severity_names[];

struct vf_finding {
	enum vf_severity severity;
	const char *name;    /* "iommu-missing": stays, for programs */
	const char *object;  /* "0000:01:00.0", or "machine" */
	const char *message; /* what is so */
	const char *fix;     /* what to do */
};
/* Calls `each` for all that is found; texts live for the call. The number, or -errno. */
int vf_doctor(struct vf_host *host, void (*each)(void *data, const struct vf_finding *finding),
	      void *data);

/* ---- Export -------------------------------------------------------------------- */

enum vf_format { VF_FORMAT_CDI, VF_FORMAT_PCIDP, VF_FORMAT_GRES, VF_FORMAT_NOVA };
extern const char *const vf_format_names[]; /* ended by NULL */

/*
 * All VFs by pools: one file for each in `folder`, renamed into place. `wishes` (or NULL)
 * name the pools. `told` gets each file's path. 0 or -errno.
 */
int vf_export(struct vf_host *host, enum vf_format format, const struct vf_pf_wish *wishes,
	      unsigned count, const char *folder, void (*told)(void *data, const char *path),
	      void *data);

#endif
