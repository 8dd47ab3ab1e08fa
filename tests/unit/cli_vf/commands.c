/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `outrigger vf` prints and answers on the machine that it runs on: the commands that
 * change it, those that look at it, and what each says when it cannot. The manager's own
 * work is tests/unit/vf_manager's business, recorded trees are tests/e2e/vf.sh's.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "../../../hv-shim/cli/cli.h"
#include "../fault.h"
#include "machine.h"

static struct fake_pf *pf;

static void set_up(void)
{
	pf = machine_open(2);
}
static void tear_down(void)
{
	machine_close();
}
TestSuite(cli_vf, .init = set_up, .fini = tear_down);

/* However wide the columns are: each run of blanks counts as one. */
static void says(const char *text)
{
	static char squeezed[TEXT_BYTES];
	char *to = squeezed;

	for (const char *from = said; *from; from++)
		if (*from != ' ' || from[1] != ' ')
			*to++ = *from;
	*to = '\0';
	cr_expect(strstr(squeezed, text), "no '%s' in:\n%s%s", text, said, complained);
}

static void complains(const char *text)
{
	cr_expect(strstr(complained, text), "no '%s' in:\n%s%s", text, said, complained);
}

/* The answer as JSON, which every command with -j gives, its failures on the other stream. */
static json_t *answer(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	cr_assert(json, "no JSON:\n%s", text);
	cr_expect_eq(json_integer_value(json_object_get(json, "version")), CLI_JSON_VERSION);
	return json;
}

static const char *words(const char *format, const char *path)
{
	static char line[PATH_MAX + 100];

	snprintf(line, sizeof(line), "%s %s", format, path);
	return line;
}

#define PF "version: 1\npfs:\n  - pf: pci/0000:01:00.0\n"

/* ---- Looking ------------------------------------------------------------------------------ */

Test(cli_vf, a_list_of_all_kinds)
{
	struct fake_pf shape = fake_cx6;

	pf->settings[0].vlan = 7;
	memset(pf->settings[0].mac, 2, 6);
	fake_put(&machine, "0x1003\n", "/sys/bus/pci/devices/0000:01:10.0/net/enp1s16f0/flags");
	fake_remove(&machine, "/sys/bus/pci/devices/0000:01:10.2/driver");
	fake_remove(&machine, "/sys/bus/pci/devices/0000:01:10.2/net");
	fake_remove(&machine, "/sys/bus/pci/devices/0000:01:10.2/iommu_group");
	shape.ifname = "ib0";
	fake_add(&machine, &shape);
	fake_remove(&machine, "/sys/bus/pci/devices/0000:5e:00.0/net");
	fake_put(&machine, "", "/sys/bus/pci/devices/0000:5e:00.0/infiniband/mlx5_0/x");
	fake_put(&machine, "1\n", "/sys/bus/pci/devices/0000:5e:00.0/numa_node");
	runs(CLI_DONE, "list");
	says("no carrier");
	says("02:02:02:02:02:02");
	says("mlx5_0");
	says("its interface enp1s16f0 is up");
	says("0000:01:10.2 vf 1 - 00:00:00:00:00:00 1"); /* no driver, no interface, no group */
	runs(CLI_DONE, "list -j");
	json_t *json = answer(said);
	cr_expect_eq(json_array_size(json_object_get(json, "pfs")), 2u);
	json_decref(json);
}

Test(cli_vf, nothing_to_list)
{
	fake_remove(&machine, "/sys/bus/pci/devices/0000:01:00.0");
	runs(CLI_DONE, "list");
	says("no PCI function here has SR-IOV");
	/* Not even a bus: every command says so, and what it would need. */
	fake_remove(&machine, "/sys/bus/pci");
	static const char *const commands[] = {
		"list", "list -j", "show 01:10.0", "doctor", "export --format cdi", "watch -n 1",
		"bind 01:10.0", "release 01:10.0",
	};
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		runs(CLI_FAILED, commands[i]);
		complains("this machine has no PCI bus");
		cr_expect_str_eq(said, "", "vf %s", commands[i]);
	}
	runs(CLI_FAILED, words("apply -f", machine_file(PF "    vfs: 1\n")));
	complains("this machine has no PCI bus");
}

Test(cli_vf, everything_about_a_pf_and_about_a_vf)
{
	struct fake_pf *ice = fake_add(&machine, &fake_e810);

	fake_make_vfs(&machine, ice, 1);
	fake_put(&machine, "x\n", "/sys/class/net/ens2f0/phys_switch_id");
	fake_put(&machine, "x\n", "/sys/class/net/rep0/phys_switch_id");
	fake_put(&machine, "pf0vf0\n", "/sys/class/net/rep0/phys_port_name");
	fake_put(&machine, "", "/sys/bus/pci/devices/0000:17:01.0/infiniband/irdma0/x");
	runs(CLI_DONE, "show ens2f0");
	says("serial b4-96-91-ff-ff-a5-12-34");
	says("firmware 4.40");
	says("switch mode legacy");
	says("MSI-X to share");
	runs(CLI_DONE, "show ens2f0/0");
	says("representor");
	says("irdma0");
	says("held by nobody");
	says("spoofchk yes");
	runs(CLI_DONE, "show enp1s0f0");
	says("serial -");
	says("firmware -");
	/* Neighbours in its group, one that nobody drives. */
	fake_put(&machine, "", "/sys/kernel/iommu_groups/11/devices/0000:01:10.2");
	fake_put(&machine, "", "/sys/kernel/iommu_groups/11/devices/0000:09:00.0");
	runs(CLI_DONE, "show 01:10.0");
	says("0000:01:10.2, igbvf");
	says("0000:09:00.0, no driver");
	runs(CLI_DONE, "bind 01:10.0");
	runs(CLI_DONE, "show 01:10.0 -j");
	json_t *json = answer(said), *function = json_object_get(json, "function");
	cr_expect_eq(json_array_size(json_object_get(function, "group_members")), 3u);
	cr_expect_str_eq(json_string_value(json_object_get(function, "owner")), "operator");
	json_decref(json);
	fake_remove(&machine, "/sys/bus/pci/devices/0000:01:10.2/driver");
	fake_remove(&machine, "/sys/bus/pci/devices/0000:01:10.2/net");
	fake_remove(&machine, "/sys/bus/pci/devices/0000:01:10.2/iommu_group");
	runs(CLI_DONE, "show 01:10.2");
	says("driver none");
	runs(CLI_FAILED, "show eth9 -j");
	cr_expect(strstr(complained, "outrigger vf list"), "%s", complained);
	json_decref(answer(complained));
}

Test(cli_vf, doctor)
{
	memset(pf->settings[0].mac, 2, 6);
	memset(pf->settings[1].mac, 2, 6);
	runs(CLI_DONE, "doctor");
	cr_expect_str_eq(said, "nothing found\n");
	/* Another program's file with any bytes in it. */
	fake_put(&machine, "vfio\xff\n", "/etc/driverctl.d/0000:01:10.0");
	fake_put(&machine, "[Match]\nOriginalName=enp1s16*\n[Link]\nName=a\n",
		 "/etc/systemd/network/10-\xff.link");
	runs(CLI_DONE, "doctor");
	says("warning owner-driverctl 0000:01:10.0");
	runs(CLI_DONE, "doctor -j");
	json_t *json = answer(said);
	cr_expect_eq(json_array_size(json_object_get(json, "findings")), 3u);
	json_decref(json);
	fake_remove(&machine, "/sys/class/iommu/dmar0");
	runs(CLI_FAILED, "doctor");
	says("error iommu-missing machine");
}

Test(cli_vf, export)
{
	char folder[PATH_MAX], line[PATH_MAX + 200];

	fake_put(&machine, "", "/out/x");
	cr_assert_eq(vf_path(&machine.host, folder, "/out"), 0);
	snprintf(line, sizeof(line), "export --format pcidp -j -o %s -f %s", folder,
		 machine_file(PF "    vfs: 2\n    vf:\n      - {index: 1, pool: fast}\n"));
	runs(CLI_DONE, line);
	json_t *json = answer(said);
	cr_expect_eq(json_array_size(json_object_get(json, "files")), 2u);
	cr_expect(strstr(said, "pcidp-fast.json"), "%s", said);
	json_decref(json);
	snprintf(line, sizeof(line), "export --format cdi -o %s -f %s", folder,
		 machine_file(PF "    vfs: x\n"));
	runs(CLI_FAILED, line);
	complains("document.yaml:4: pfs[0].vfs");
	runs(CLI_FAILED, "export --format cdi -f /nowhere.yaml");
	complains("/nowhere.yaml: cannot read: No such file");
	runs(CLI_USAGE, "export --format csv");
	complains("cdi, pcidp, gres or nova");
	fake_put(&machine, "0\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs");
	runs(CLI_DONE, "export --format cdi");
	cr_expect_str_eq(said, "there are no VFs to export\n");
	runs(CLI_DONE, "export --format cdi -q");
	cr_expect_str_eq(said, "");
}

/* ---- Changing --------------------------------------------------------------------------- */

Test(cli_vf, apply_shows_each_change_as_it_is_made)
{
	const char *document = machine_file(
		PF "    vfs: 3\n    vf:\n      - {index: 0, vlan: 9, driver: dpdk}\n");
	char line[PATH_MAX + 100];

	runs(CLI_FAILED, words("apply -f", document));
	complains("has 2 VFs, 3 wanted: all of them must go first");
	runs(CLI_DONE, words("apply --allow-disruptive -f", document));
	says("- pf 0000:01:00.0: vfs 2 -> 0");
	says("+ pf 0000:01:00.0: vfs 0 -> 3");
	says("~ vf 0000:01:10.0: vlan 0 -> 9");
	says("6 done");
	runs(CLI_DONE, words("apply --detailed-exitcode -f", document));
	says("nothing to do");
	pf->settings[0].vlan = 1;
	runs(CLI_CHANGES, words("apply --detailed-exitcode -q -f", document));
	cr_expect_str_eq(said, "");
	/* What is no longer in the document goes back to how it was. */
	document = machine_file(PF "    vfs: 3\n");
	runs(CLI_DONE, words("apply --prune -n -f", document));
	says("- vf 0000:01:10.0: back to how it was");
	snprintf(line, sizeof(line), "apply --prune -j -f %s", document);
	runs(CLI_DONE, line);
	json_t *json = answer(said);
	cr_expect(json_is_false(json_object_get(json, "dry_run")));
	/* The other two were offered to the kernel's drivers, and are nobody's. */
	cr_expect_eq(json_integer_value(json_object_get(json, "changed")), 1, "%s", said);
	cr_expect_eq(json_integer_value(json_object_get(json, "failed")), 0);
	json_decref(json);
}

Test(cli_vf, apply_that_fails_in_part)
{
	const char *document =
		machine_file(PF "    vfs: 2\n    vf:\n      - {index: 0, vlan: 9}\n"
				"      - {index: 1, vlan: 8}\n");

	machine.refuse = "vf 1 keys";
	machine.refuse_error = -EOPNOTSUPP;
	runs(CLI_FAILED, words("apply -f", document));
	says("~ vf 0000:01:10.0: vlan 0 -> 9");
	says("! vf 0000:01:10.2: the driver igb cannot set this");
	says("1 done, 1 failed");
	complains("1 of 2 changes failed");
	runs(CLI_FAILED, words("apply -j -f", document));
	json_t *json = answer(said);
	cr_expect_eq(json_integer_value(json_object_get(json, "failed")), 1);
	json_decref(json);
	json_decref(answer(complained));
	runs(CLI_FAILED, words("apply -q -f", document));
	cr_expect_str_eq(said, "");
	runs(CLI_FAILED, words("apply -f", machine_file("version: 9\n")));
	complains("document.yaml:1: version");
	runs(CLI_FAILED, "apply -f /nowhere.yaml");
	complains("No such file");
}

Test(cli_vf, bind_and_release)
{
	runs(CLI_DONE, "bind 01:10.0 --owner red");
	cr_expect_str_eq(said, "bound 0000:01:10.0: driver vfio-pci\n");
	runs(CLI_DONE, "bind 01:10.0 --owner red --driver igbvf -j");
	json_t *json = answer(said);
	cr_expect_str_eq(json_string_value(json_object_get(json, "bound")), "0000:01:10.0");
	cr_expect_str_eq(json_string_value(json_object_get(json, "driver")), "igbvf");
	json_decref(json);
	runs(CLI_DONE, "bind 01:10.0 --owner red --driver igbvf");
	cr_expect_str_eq(said, "nothing to do\n");
	runs(CLI_DONE, "bind 01:10.0 --owner red --driver igbvf -q");
	cr_expect_str_eq(said, "");
	runs(CLI_FAILED, "bind 01:11.0");
	complains("no function with VFs");
	runs(CLI_FAILED, "bind enp1s0f0");
	complains("only VFs change hands");
	runs(CLI_FAILED, "release 01:10.0");
	complains("held by \"red\", not by \"operator\"");
	runs(CLI_DONE, "release 01:10.0 --owner red -q");
	cr_expect_str_eq(said, "");
	/* One that nobody drove goes back to nobody; one that went away is forgotten. */
	fake_remove(&machine, "/sys/bus/pci/devices/0000:01:10.2/driver");
	runs(CLI_DONE, "bind 01:10.2");
	runs(CLI_DONE, "release 01:10.2");
	cr_expect_str_eq(said, "released 0000:01:10.2: driver none\n");
	runs(CLI_DONE, "bind 01:10.2");
	fake_remove(&machine, "/sys/bus/pci/devices/0000:01:00.0/virtfn1");
	runs(CLI_DONE, "release 01:10.2");
	cr_expect_str_eq(said, "released 0000:01:10.2: driver none\n");
}

Test(cli_vf, who_may_not)
{
	const char *document = machine_file(PF "    vfs: 2\n");
	char name[PATH_MAX];

	fault_euid(1000);
	runs(CLI_FAILED, "bind 01:10.0");
	complains("needs root: try it with sudo");
	runs(CLI_FAILED, "release 01:10.0");
	complains("needs root");
	runs(CLI_FAILED, words("apply -f", document));
	complains("needs root");
	runs(CLI_DONE, words("apply -n -f", document));
	says("nothing to do");
	fault_euid(0);
	runs(CLI_USAGE, words("apply --root / -f", document));
	complains("--root is for looking");
	runs(CLI_USAGE, "apply");
	complains("-f FILE is missing");
	memset(name, 'r', sizeof(name));
	name[PATH_MAX - 3] = '\0';
	runs(CLI_FAILED, words("list --root", name));
	complains("--root: the path is too long");
	name[0] = '/';
	runs(CLI_FAILED, words("list --state-dir", name));
	complains("the state directory: File name too long");
	snprintf(name, sizeof(name), "%.1000s/", machine.host.root);
	runs(CLI_DONE, words("list -j --root", name));
	says("igbvf");
}

/* ---- Watching ----------------------------------------------------------------------------- */

/* What somebody does to the machine between two looks. */
static void happens(unsigned look)
{
	static const char flags[] = "/sys/bus/pci/devices/0000:01:00.0/net/enp1s0f0/carrier";

	switch (look) {
	case 2:
		pf->settings[0].vlan = 12;
		fake_put(&machine, "0\n", flags);
		fake_remove(&machine, "/sys/bus/pci/devices/0000:01:10.2/driver");
		break;
	case 3:
		fake_put(&machine, "1\n", flags);
		fake_link(&machine, "../../../../bus/pci/drivers/vfio-pci",
			  "/sys/bus/pci/devices/0000:01:10.2/driver");
		fake_look(&machine, VF_LOOK_ALL);
		cr_assert_eq(vf_bind(&machine.host, &machine.host.pfs[0]->vfs[0], "dpdk", "red"), 0);
		break;
	case 4:
		fake_look(&machine, VF_LOOK_ALL);
		cr_assert_eq(vf_release(&machine.host, &machine.host.pfs[0]->vfs[0], "red"), 0);
		fake_put(&machine, "1\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs");
		break;
	case 5:
		fake_put(&machine, "2\n", "/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs");
		break;
	}
}

Test(cli_vf, watch)
{
	before_look = happens;
	runs(CLI_DONE, "watch -n 4 -i 0.1");
	cr_expect_str_eq(said,
			 "pf 0000:01:00.0: link-down, enp1s0f0\n"
			 "vf 0000:01:10.0: setting, vlan 0 -> 12\n"
			 "vf 0000:01:10.2: driver, igbvf -> none\n"
			 "pf 0000:01:00.0: link-up, enp1s0f0\n"
			 "vf 0000:01:10.0: driver, igbvf -> vfio-pci\n"
			 "vf 0000:01:10.0: held, red\n"
			 "vf 0000:01:10.2: driver, none -> vfio-pci\n"
			 "vf 0000:01:10.2: vanished\n"
			 "pf 0000:01:00.0: vfs, 2 -> 1\n"
			 "vf 0000:01:10.0: driver, vfio-pci -> igbvf\n"
			 "vf 0000:01:10.0: released, red\n"
			 "pf 0000:01:00.0: vfs, 1 -> 2\n"
			 "vf 0000:01:10.2: appeared\n");
}

static void bus_goes(unsigned look)
{
	if (look == 2)
		fake_remove(&machine, "/sys/bus/pci");
}

Test(cli_vf, watch_ends_when_it_cannot_look)
{
	before_look = bus_goes;
	runs(CLI_FAILED, "watch -i 0.1");
	complains("this machine has no PCI bus");
}

/* ---- Without memory -------------------------------------------------------------------------- */

/*
 * Each command with each of its allocations failing: it says so and fails, or it says the
 * whole of what it always says; half an answer that looks like a whole one is neither.
 */
Test(cli_vf, without_memory)
{
	static char whole[TEXT_BYTES];
	static const char *const commands[] = {"list -j", "list", "show 01:10.0 -j", "show 01:10.0",
					       "apply -n -j -f", "bind 01:10.0 -j"};
	const char *document =
		machine_file(PF "    vfs: 2\n    vf:\n      - {index: 1, vlan: 9}\n");
	unsigned failed = 0;

	/* So that there is something to do each time, and bind has nothing to do. */
	runs(CLI_DONE, "bind 01:10.0");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const char *line = strstr(commands[i], "-f") ? words(commands[i], document)
							      : commands[i];
		bool hit = true;

		runs(CLI_DONE, line);
		strcpy(whole, said);
		for (unsigned n = 1; hit; n++) {
			int status = run_without(n, line, &hit);

			cr_expect(status == CLI_DONE || status == CLI_FAILED, "vf %s, %u: %d", line,
				  n, status);
			if (status == CLI_DONE)
				cr_expect_str_eq(said, whole, "vf %s, %u:\n%s", line, n, said);
			else
				cr_expect(hit && *complained, "vf %s, %u: fails without a word",
					  line, n);
			failed += status == CLI_FAILED;
		}
	}
	cr_expect_gt(failed, 20u, "%u", failed);
}
