/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saved state (hv-shim/state.c): all of it or none. What a file does not name is ended
 * when the next shim starts, so a file that was written without memory for all of it
 * would be worse than the older one. The live objects are made here by hand, and who
 * would take them up from a file is not called.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../hv-shim/shim.h"
#include "../fault.h"

static struct shim shim;
static struct adapter soft0;
static struct partition red;
static struct device net0, net1;
static char processes[5]; /* only their addresses are used */
static char folder[] = "/tmp/otr-unit-state.XXXXXX";

/* ---- The rest of the shim --------------------------------------------------- */

struct peer_identity peer_identity(const struct peer *peer)
{
	return (struct peer_identity){.pid = (pid_t)((const char *)peer - processes + 100),
				      .start_time = 7};
}

struct peer_identity attachment_identity(const struct attachment *attachment)
{
	return peer_identity((const void *)attachment);
}

int shim_path(const struct shim *of, const char *kind, const char *name, const char *suffix,
	      char out[SHIM_PATH_BYTES])
{
	(void)of;
	cr_assert_null(kind);
	snprintf(out, SHIM_PATH_BYTES, "%s/%s%s", folder, name, suffix);
	return 0;
}

/* What only a shim that starts calls. */
struct adapter *adapter_new(struct shim *, const struct doc_adapter *) { abort(); }
bool adapter_adopt(struct adapter *, struct peer_identity) { abort(); }
bool adapter_claim(struct adapter *, struct device *) { abort(); }
struct partition *partition_new(struct shim *, const char *, const char *) { abort(); }
bool partition_adopt(struct partition *, struct peer_identity) { abort(); }
struct device *device_new(struct partition *, struct adapter *, const struct doc_device *) { abort(); }
void device_adopt(struct device *, struct peer_identity, bool) { abort(); }
int attachment_adopt(struct device *, struct peer_identity) { abort(); }
void region_list_set(struct partition *, const struct doc_region *, size_t) { abort(); }
void attachment_revoke(struct device *) { abort(); }
void orphans_end(const struct shim *, json_t *) { abort(); }
void memory_end(void) { abort(); }
const struct step device_stop_steps[] = {{NULL}};

/* ---- Objects ------------------------------------------------------------------ */

static struct doc_device device_spec(const char *name, int64_t index)
{
	struct doc_device spec = {.kind = ADJ_PORT_TAP, .mtu = 1500, .mac = {2, 0, 0, 0, 0, 1},
				  .addresses = {"10.0.0.1/24", "fd00::1/64"},
				  .vf = {.adapter = "soft0", .index = index, .vlan = 9},
				  .adjunct = {.image = "ethdev", .memory_bytes = 32 << 20}};

	strcpy(spec.name, name);
	strcpy(spec.ifname, name);
	return spec;
}

static void set_up(void)
{
	cr_assert(mkdtemp(folder));
	fault_json();
	soft0 = (struct adapter){.shim = &shim, .peer = (void *)processes,
				 .spec = {.name = "soft0", .vfs = 4}};
	red = (struct partition){.shim = &shim, .name = "red", .owner = "1000",
				 .memory_bytes = 96 << 20,
				 .keeper = (void *)(processes + 1), .devices = &net0,
				 .region_count = 1};
	red.regions[0].spec = (struct doc_region){.name = "heap", .size_bytes = 1 << 20};
	net0 = (struct device){.partition = &red, .adapter = &soft0, .next = &net1, .slot = 1,
			       .adjunct = (void *)(processes + 2), .spec = device_spec("net0", 1)};
	net1 = (struct device){.partition = &red, .adapter = &soft0,
			       .attachment = (void *)(processes + 3),
			       .adjunct = (void *)(processes + 4), .spec = device_spec("net1", 2)};
	shim.adapters = &soft0;
	shim.partitions = &red;
}

static void path_of(const char *name, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s", folder, name);
}

static void tear_down(void)
{
	char path[PATH_MAX];

	path_of("state.json", path);
	unlink(path);
	path_of("state.new", path);
	unlink(path);
	rmdir(folder);
}

TestSuite(state, .init = set_up, .fini = tear_down, .timeout = 60);

static json_t *saved(void)
{
	char path[PATH_MAX];
	json_error_t error;

	path_of("state.json", path);
	json_t *state = json_load_file(path, 0, &error);
	cr_assert(state, "%s: %s", path, error.text);
	return state;
}

/* ---- Tests -------------------------------------------------------------------- */

Test(state, names_everything)
{
	static const char *const processes_of_it[] = {"adapter:soft0", "keeper:red",
						      "adjunct:red.net0" SLOT_SUFFIX, "program:red.net1",
						      "adjunct:red.net1"};

	cr_assert_eq(state_save(&shim), 0);
	json_t *state = saved(), *list = json_object_get(state, "processes");

	cr_expect_eq(json_object_size(list), 5u);
	for (int i = 0; i < 5; i++)
		cr_expect(json_object_get(list, processes_of_it[i]), "%s", processes_of_it[i]);
	char *text = json_dumps(json_object_get(state, "document"), 0);
	struct document document;
	struct doc_error error;

	cr_assert_eq(document_load(text, strlen(text), &document, &error), 0, "%s", error.message);
	cr_assert_eq(document.partition_count, 1u);
	cr_assert_eq(document.partitions[0].device_count, 2u);
	cr_expect_eq(document.partitions[0].region_count, 1u);
	cr_expect_str_eq(document.partitions[0].devices[1].addresses[1], "fd00::1/64");
	document_free(&document);
	free(text);
	json_decref(state);
}

Test(state, is_saved_wholly_or_not_at_all)
{
	cr_assert_eq(state_save(&shim), 0);
	json_t *before = saved();

	net1.spec.mtu = 1400; /* so that what is saved now differs */
	for (unsigned n = 1; fault_round(n); n++) {
		fault_start(n, ENOMEM);
		int result = state_save(&shim);
		bool failed = fault_end();
		json_t *now = saved();

		cr_assert_eq(result, failed ? -ENOMEM : 0, "call %u: %d", n, result);
		cr_assert_eq(!shim.save_problem[0], !failed);
		cr_assert_eq(json_equal(now, before), failed, "call %u", n);
		json_decref(now);
	}
	json_decref(before);
}
