/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration document, as plain structs: what adapters there are, which
 * partitions, which devices each has and which adjunct drives them. Parsing
 * stops here; nothing below touches live state (design decision 9).
 * The section `pfs` says which virtual functions real adapters are to have; `outrigger
 * vf apply` works by it, in the VF manager's own structs (vf.h).
 *
 * One set of tables validates the file, the socket's CreatePartition and the
 * shim's own saved state. Single-threaded; nothing is shared.
 */
#ifndef DOCUMENT_H
#define DOCUMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "adj.h"
#include "vf.h"

#define DOC_VERSION 1
#define DOC_NAME_BYTES 32    /* a name with its NUL: [a-z0-9][a-z0-9_-]{0,30} */
#define DOC_IFNAME_BYTES 16  /* the kernel's IFNAMSIZ */
#define DOC_STRING_BYTES 128
#define DOC_ADDRESSES_MAX 8
#define DOC_ADAPTERS_MAX 16
#define DOC_PARTITIONS_MAX 256
#define DOC_PFS_MAX 64
#define DOC_DEVICES_MAX 16 /* per partition */
#define DOC_VFS_MAX 256 /* what cards have */
#define DOC_EMBEDDED_VFS_MAX 64
#define DOC_REGIONS_MAX 8 /* per partition */
/* A share of processors, in thousandths of one: what the kernel can tell apart. */
#define DOC_CPUS_MIN 10
#define DOC_CPUS_MAX 1024000
#define DOC_MTU_MIN 68
#define DOC_MTU_MAX 2016

enum doc_adapter_kind {
	DOC_ADAPTER_EMBEDDED, /* a soft adapter's process */
	DOC_ADAPTER_DPDK,     /* one port that DPDK knows by a device string */
	DOC_ADAPTER_ECHO,     /* none: what is sent comes back; for measuring and tests */
	DOC_ADAPTER_SRIOV,    /* a physical function's virtual ones, by the VF manager (vf.h) */
};

struct doc_adapter {
	char name[DOC_NAME_BYTES];
	int kind; /* enum doc_adapter_kind */
	int64_t vfs;
	char device[DOC_STRING_BYTES]; /* DPDK: the device string; SRIOV: as vf_pf_parse() takes */
	bool any_link; /* SRIOV: functions are made though it has no link */
};

enum doc_link_state { DOC_LINK_AUTO, DOC_LINK_ENABLE, DOC_LINK_DISABLE };
enum doc_vlan_proto { DOC_PROTO_8021Q, DOC_PROTO_8021AD };

/* iproute2's words; what the document leaves out has iproute2's default. */
struct doc_vf {
	char adapter[DOC_NAME_BYTES];
	int64_t index; /* -1: the first free one */
	int64_t vlan, qos;
	int proto; /* enum doc_vlan_proto */
	bool spoofchk, trust, promisc;
	int state; /* enum doc_link_state */
	int64_t min_tx_rate, max_tx_rate; /* Mbit/s, 0: unlimited */
};

/* How programs reach a device: by an adjunct, as adj.h has it, or by themselves. */
enum doc_device_kind {
	DOC_DEVICE_NETDEV = ADJ_PORT_NATIVE + 1, /* the kernel's driver, in the namespace */
	DOC_DEVICE_VFIO, /* VFIO, for a virtual machine or a DPDK program */
};

enum doc_cpu { DOC_CPU_SHARED, DOC_CPU_DEDICATED, DOC_CPU_DONATED };

/* Whom an adjunct serves (000, FIG. 4A and 4B): its own partition, or others as well. */
enum doc_scope { DOC_SCOPE_LOCAL, DOC_SCOPE_GLOBAL };

struct doc_adjunct {
	bool none; /* the native-driver branch (000, FIG. 7, step 715) */
	char image[DOC_NAME_BYTES]; /* empty: the one that fits the device */
	int cpu; /* enum doc_cpu */
	int scope; /* enum doc_scope */
	int64_t memory_bytes; /* 0: what the image asks for, or the region's size */
	char donate[DOC_NAME_BYTES]; /* the region of the partition it is made of; or empty */
	bool standby; /* a second process waits, ready to take over, with as much memory */
};

struct doc_device {
	char name[DOC_NAME_BYTES];
	int kind; /* enum adj_port_kind, or doc_device_kind */
	uint8_t mac[6]; /* all zero: assigned from the names */
	int64_t mtu;
	char addresses[DOC_ADDRESSES_MAX][DOC_STRING_BYTES]; /* CIDR; empty string ends */
	char ifname[DOC_IFNAME_BYTES]; /* TAP, NETDEV; empty: the device's name */
	int64_t ring_entries; /* NATIVE */
	/* "vios/uplink": the device whose global adjunct serves it; its function is `vf` then.
	 * Empty: it has a function to itself. */
	char shared[2 * DOC_NAME_BYTES];
	struct doc_vf vf;
	struct doc_adjunct adjunct;
};

/* Memory that the partition's programs may map, and may give away. */
struct doc_region {
	char name[DOC_NAME_BYTES];
	int64_t size_bytes;
};

struct doc_partition {
	char name[DOC_NAME_BYTES];
	char owner[DOC_NAME_BYTES]; /* user name or uid; empty: the shim's user */
	int64_t memory_bytes; /* all that its adjuncts and keeper take; 0: no limit */
	int64_t cpus_milli; /* of processor time, all that is its; 0: no limit */
	unsigned cpus_line; /* where the document says so; 0: not known */
	struct doc_region regions[DOC_REGIONS_MAX];
	size_t region_count;
	struct doc_device *devices;
	size_t device_count;
};

struct document {
	struct doc_adapter *adapters;
	size_t adapter_count;
	struct doc_partition *partitions;
	size_t partition_count;
	struct vf_pf_wish *pfs;
	size_t pf_count;
};

struct doc_error {
	unsigned line; /* 0: not known */
	char message[300]; /* "partitions[0].devices[1].mtu: 9000 is not from 68 to 2016" */
};

/* YAML or JSON text. 0; -EINVAL with *error filled; -ENOMEM. */
int document_load(const char *text, size_t text_bytes, struct document *out,
		  struct doc_error *error);
/* One element of `partitions`, from the socket. As document_load(). */
int document_load_partition(json_t *object, struct doc_partition *out, struct doc_error *error);
void document_free(struct document *document);
/* By name; NULL: it says nothing of it. */
const struct doc_adapter *document_adapter(const struct document *document, const char *name);
const struct doc_partition *document_partition(const struct document *document, const char *name);
const struct doc_device *document_device(const struct document *document, const char *partition,
					 const char *name);
void doc_partition_free(struct doc_partition *partition);

/* The way back, for saved state: loads again to equal structs. NULL: no memory. */
json_t *doc_adapter_to_json(const struct doc_adapter *adapter);
json_t *doc_partition_to_json(const struct doc_partition *partition);
json_t *doc_device_to_json(const struct doc_device *device);

/* Words for enums, as in the document. */
extern const char *const doc_adapter_kinds[], *const doc_port_kinds[], *const doc_link_states[],
	*const doc_vlan_protos[], *const doc_cpus[], *const doc_scopes[];

/* It is an interface in the partition's network namespace. */
static inline bool doc_is_interface(const struct doc_device *device)
{
	return device->kind == ADJ_PORT_TAP || device->kind == DOC_DEVICE_NETDEV;
}
/* It is served by the global adjunct of another device, and has none of its own. */
static inline bool doc_is_client(const struct doc_device *device)
{
	return device->shared[0] != '\0';
}
/* Whose: of "vios/uplink" both names. False: it is not of that form. */
bool doc_shared_names(const char *shared, char partition[DOC_NAME_BYTES],
		      char device[DOC_NAME_BYTES]);
/* The partition has the function itself, and no adjunct. */
static inline bool doc_is_native_function(const struct doc_device *device)
{
	return device->kind == DOC_DEVICE_NETDEV || device->kind == DOC_DEVICE_VFIO;
}

bool doc_name_valid(const char *name);
/* 0 or -EINVAL. */
int doc_mac_parse(const char *text, uint8_t mac[6]);
#define DOC_MAC_TEXT_BYTES 18
/* "50%": of one processor. */
#define DOC_CPUS_TEXT_BYTES 24
void doc_cpus_format(int64_t cpus_milli, char text[DOC_CPUS_TEXT_BYTES]);
void doc_mac_format(const uint8_t mac[6], char text[DOC_MAC_TEXT_BYTES]);
/* Locally administered and unicast, the same for the same names. */
void doc_mac_from_names(const char *partition, const char *device, uint8_t mac[6]);

#endif
