/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `vf list` and `vf show`: the virtual functions of this machine's adapters, by the VF
 * manager (vf.h), in this process and without the daemon. With --root, those of a tree
 * that was recorded elsewhere. Called through the command table, on the program's one
 * thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd_vf.h"
#include "output.h"
#include "unix_socket.h"

/* ---- For all of `vf` ------------------------------------------------------------- */

/* Records of who holds what: in the daemon's state directory; none beside a recorded tree. */
static int find_state(struct cli *cli, struct vf_host *host)
{
	char state[PATH_MAX];
	int error;

	if (cli->root && !cli->state_dir)
		return CLI_DONE;
	error = state_dir_resolve(cli->state_dir, state, sizeof(state));
	if (!error && snprintf(host->state, sizeof(host->state), "%s/vf", state) >=
			      (int)sizeof(host->state))
		error = -ENAMETOOLONG;
	if (!error)
		return CLI_DONE;
	return cli_fail(cli, "the state directory: %s", strerror(-error));
}

int vf_open(struct cli *cli, struct vf_host *host, unsigned look)
{
	*host = (struct vf_host){.kernel = cli->root ? &vf_kernel_recorded : &vf_kernel_running};
	size_t length = cli->root ? strlen(cli->root) : 0;

	while (length && cli->root[length - 1] == '/')
		length--;
	if (length >= sizeof(host->root) / 2)
		return cli_fail(cli, "--root: the path is too long");
	memcpy(host->root, cli->root ? cli->root : "", length);
	if (find_state(cli, host) != CLI_DONE)
		return CLI_FAILED;
	return vf_discover(host, look) ? cli_fail(cli, "%s", host->reason) : CLI_DONE;
}

void vf_close(struct vf_host *host)
{
	vf_host_clear(host);
}

int vf_may_change(const struct cli *cli)
{
	if (cli->root)
		return cli_usage(cli, "--root is for looking; this would change the machine");
	if (geteuid())
		return cli_fail(cli, "changing virtual functions needs root: try it with sudo");
	return CLI_DONE;
}

int vf_document(const struct cli *cli, struct document *out)
{
	struct doc_error error;
	struct source source;
	int status = CLI_DONE;

	if (source_read(cli, cli->file, &source) != CLI_DONE)
		return CLI_FAILED;
	int result = document_load(source.text, source.bytes, out, &error);
	if (result == -ENOMEM)
		output_no_memory();
	if (result)
		status = source_refused(cli, &source, error.line, error.message);
	source_free(&source);
	return status;
}

struct vf_function *vf_named(const struct cli *cli, struct vf_host *host, const char *name)
{
	struct vf_function *function = vf_find(host, name);

	if (!function)
		cli_fail(cli, "%s", host->reason);
	return function;
}

/* ---- list --------------------------------------------------------------------------- */

static const char *link_of(const struct vf_function *f)
{
	return !f->ifname[0] ? "" : f->carrier ? "up" : f->up ? "no carrier" : "down";
}

static const char *user_of(const struct vf_function *f)
{
	return f->owner[0] ? f->owner : f->used_by;
}

static void add_row(struct libscols_table *table, const struct vf_function *f,
		    struct libscols_line **parent)
{
	struct libscols_line *row = output_row(table, f->is_vf ? *parent : NULL);
	const char *link = link_of(f);
	char mac[24] = "";

	if (f->is_vf && f->live.given & VF_BIT(VF_MAC))
		vf_setting_format(&f->live, VF_MAC, mac, sizeof(mac));
	else if (f->ifname[0])
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", f->mac[0], f->mac[1],
			 f->mac[2], f->mac[3], f->mac[4], f->mac[5]);
	output_cell(row, 0, f->is_vf ? PAINT_NONE : PAINT_BOLD, "%s", f->name);
	if (f->is_vf)
		output_cell(row, 1, PAINT_NONE, "vf %u", f->index);
	else
		output_cell(row, 1, PAINT_NONE, "%u of %u", f->num_vfs, f->total_vfs);
	output_cell(row, 2, f->driver[0] ? PAINT_NONE : PAINT_DIM, "%s",
		    f->driver[0] ? f->driver : "-");
	output_cell(row, 3, PAINT_NONE, "%s", f->ifname[0] ? f->ifname : f->rdma);
	output_cell(row, 4, output_state_paint(link), "%s", link);
	output_cell(row, 5, PAINT_NONE, "%s", mac);
	if (f->live.given & VF_BIT(VF_VLAN) && f->live.vlan)
		output_cell(row, 6, PAINT_NONE, "%d", (int)f->live.vlan);
	if (f->iommu_group >= 0)
		output_cell(row, 7, PAINT_NONE, "%d", f->iommu_group);
	if (f->numa_node >= 0)
		output_cell(row, 8, PAINT_NONE, "%d", f->numa_node);
	output_cell(row, 9, PAINT_NONE, "%s", user_of(f));
	if (!f->is_vf)
		*parent = row;
}

static void print_list(const struct vf_host *host)
{
	static const struct output_column columns[] = {
		{"FUNCTION", SCOLS_FL_TREE}, {"VFS", 0}, {"DRIVER", 0}, {"INTERFACE", 0},
		{"LINK", 0}, {"MAC", 0}, {"VLAN", SCOLS_FL_RIGHT}, {"GROUP", SCOLS_FL_RIGHT},
		{"NUMA", SCOLS_FL_RIGHT}, {"HELD BY", 0}, {NULL, 0},
	};
	struct libscols_table *table = output_table(columns);
	struct libscols_line *parent = NULL;

	for (unsigned i = 0; i < host->pf_count; i++) {
		add_row(table, host->pfs[i], &parent);
		for (unsigned v = 0; v < host->pfs[i]->vf_count; v++)
			add_row(table, &host->pfs[i]->vfs[v], &parent);
	}
	output_table_print(table, "no PCI function here has SR-IOV");
}

int cmd_vf_list(struct cli *cli)
{
	struct vf_host host;
	int status = vf_open(cli, &host, VF_LOOK_SETTINGS | VF_LOOK_USERS);

	if (status == CLI_DONE && cli->json) {
		json_t *json = output_json_new(), *pfs = json_array();

		for (unsigned i = 0; i < host.pf_count; i++)
			output_add(pfs, vf_function_to_json(host.pfs[i]));
		output_put(json, "pfs", pfs);
		output_json(stdout, json, false);
	} else if (status == CLI_DONE) {
		print_list(&host);
	}
	vf_close(&host);
	return status;
}

/* ---- show --------------------------------------------------------------------------- */

static int add_member(void *data, const char *address, const char *driver)
{
	json_t *members = data;

	output_add(members, json_pack("{s:s, s:s?}", "address", address, "driver",
				      *driver ? driver : NULL));
	return 0;
}

/* The rows that PFs and VFs have for themselves. */
static void add_facts(struct libscols_table *facts, const struct vf_function *f)
{
	char value[32];

	if (!f->is_vf) {
		output_fact(facts, "product", PAINT_NONE, "%s", f->product[0] ? f->product : "-");
		output_fact(facts, "serial", PAINT_NONE, "%s", f->serial[0] ? f->serial : "-");
		output_fact(facts, "firmware", PAINT_NONE, "%s",
			    f->firmware[0] ? f->firmware : "-");
		output_fact(facts, "VFs", PAINT_NONE, "%u of %u", f->num_vfs, f->total_vfs);
		output_fact(facts, "switch mode", PAINT_NONE, "%s", vf_eswitch_names[f->eswitch]);
		if (f->msix_total)
			output_fact(facts, "MSI-X to share", PAINT_NONE, "%u", f->msix_total);
		return;
	}
	output_fact(facts, "PF", PAINT_NONE, "%s, VF %u", f->pf->name, f->index);
	if (f->representor[0])
		output_fact(facts, "representor", PAINT_NONE, "%s", f->representor);
	for (unsigned key = 0; key < VF_KEYS; key++) {
		if (!(f->live.given & VF_BIT(key)))
			continue;
		vf_setting_format(&f->live, key, value, sizeof(value));
		output_fact(facts, vf_key_names[key], PAINT_NONE, "%s", value);
	}
	output_fact(facts, "held by", PAINT_NONE, "%s", f->owner[0] ? f->owner : "nobody");
	if (f->used_by[0])
		output_fact(facts, "in use", PAINT_BUSY, "%s", f->used_by);
}

static void print_facts(const struct vf_function *f, const json_t *members)
{
	struct libscols_table *facts = output_facts();
	const json_t *member;
	size_t i;

	output_fact(facts, f->is_vf ? "VF" : "PF", PAINT_BOLD, "%s", f->name);
	output_fact(facts, "device", PAINT_NONE, "%04x:%04x", f->vendor, f->device);
	output_fact(facts, "driver", PAINT_NONE, "%s", f->driver[0] ? f->driver : "none");
	if (f->ifname[0])
		output_fact(facts, "interface", output_state_paint(link_of(f)), "%s, %s", f->ifname,
			    link_of(f));
	if (f->rdma[0])
		output_fact(facts, "RDMA device", PAINT_NONE, "%s", f->rdma);
	if (f->numa_node >= 0)
		output_fact(facts, "NUMA node", PAINT_NONE, "%d", f->numa_node);
	add_facts(facts, f);
	if (f->iommu_group >= 0)
		output_fact(facts, "IOMMU group", PAINT_NONE, "%d", f->iommu_group);
	json_array_foreach((json_t *)members, i, member)
		if (strcmp(value_text(member, "address"), f->name) != 0)
			output_fact(facts, "also in the group", PAINT_NONE, "%s, %s",
				    value_text(member, "address"),
				    value_is_set(member, "driver") ? value_text(member, "driver")
								   : "no driver");
	output_table_print(facts, "");
}

int cmd_vf_show(struct cli *cli)
{
	struct vf_host host;
	int status = vf_open(cli, &host, VF_LOOK_ALL);
	const struct vf_function *function = NULL;
	json_t *members = json_array();

	if (status == CLI_DONE) {
		function = vf_named(cli, &host, cli->arguments[0]);
		status = function ? CLI_DONE : CLI_FAILED;
	}
	if (function)
		vf_group_members(&host, function->iommu_group, add_member, members);
	if (function && cli->json) {
		json_t *json = output_json_new(), *object = vf_function_to_json(function);

		output_put(object, "group_members", json_incref(members));
		output_put(json, "function", object);
		output_json(stdout, json, false);
	} else if (function) {
		print_facts(function, members);
	}
	json_decref(members);
	vf_close(&host);
	return status;
}
