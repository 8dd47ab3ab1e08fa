/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other programs that change VFs behind one's back: NetworkManager, systemd's .link
 * files, netplan, driverctl. Each is asked by the files it keeps, which are people's
 * text: read as lines, never trusted to be well formed. Called by vf_doctor().
 */
#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

/* ---- NetworkManager: one file an interface, by its index ----------------------------------- */

static void check_network_manager(struct doctor *d, const struct vf_function *f)
{
	char *text = f->ifindex ? vf_read_text(d->host, "/run/NetworkManager/devices/%d",
					       f->ifindex) : NULL;

	/* false, or a number of ways to be unmanaged; "full" where it configures. */
	if (text && (strstr(text, "\nmanaged=full") || strstr(text, "\nmanaged=true")))
		doctor_find(d, VF_WARNING, "owner-networkmanager", f->name,
			    "`nmcli device set INTERFACE managed no`, and unmanaged-devices= in "
			    "/etc/NetworkManager/conf.d/ for good",
			    "NetworkManager configures %s, too", f->ifname);
	free(text);
}

/* ---- .link files ----------------------------------------------------------------------------- */

static bool has_ending(const char *name, const char *ending)
{
	size_t length = strlen(name), bytes = strlen(ending);

	return length > bytes && !strcmp(name + length - bytes, ending);
}

struct link_file {
	bool matches, has_match, sets_name, sets_mac, sets_sriov;
};

/* One value may be a list of patterns with blanks between, "!" turning it round. */
static bool value_matches(const char *list, const char *text)
{
	char word[128];
	bool not = *list == '!', found = false;

	for (list += not; *list;) {
		size_t length = strcspn(list, " \t");

		snprintf(word, sizeof(word), "%.*s", (int)length, list);
		found |= length && *text && !fnmatch(word, text, 0);
		list += length;
		list += strspn(list, " \t");
	}
	return found != not;
}

static void match_line(struct link_file *file, const struct vf_function *f, const char *key,
		       const char *value)
{
	char mac[24], path[40];

	vf_setting_format(&(struct vf_settings){.mac = {f->mac[0], f->mac[1], f->mac[2], f->mac[3],
							f->mac[4], f->mac[5]}},
			  VF_MAC, mac, sizeof(mac));
	snprintf(path, sizeof(path), "pci-%s", f->name);
	file->has_match = true;
	if (!strcmp(key, "Driver"))
		file->matches &= value_matches(value, f->driver);
	else if (!strcmp(key, "OriginalName"))
		file->matches &= value_matches(value, f->ifname);
	else if (!strcmp(key, "Path"))
		file->matches &= value_matches(value, path);
	else if (!strcmp(key, "MACAddress") || !strcmp(key, "PermanentMACAddress"))
		file->matches &= value_matches(value, mac);
	else
		file->matches = false; /* a condition not known here: nothing is claimed */
}

static void take_line(struct link_file *file, const struct vf_function *f, const char *section,
		      char *line)
{
	char *value = strchr(line, '=');

	if (!value || *line == '#' || *line == ';')
		return;
	*value++ = '\0';
	for (char *end = value - 2; end >= line && isspace((unsigned char)*end); end--)
		*end = '\0';
	value += strspn(value, " \t");
	if (!strcmp(section, "Match"))
		match_line(file, f, line, value);
	else if (!strcmp(section, "SR-IOV"))
		file->sets_sriov = true;
	else if (!strcmp(section, "Link") && (!strcmp(line, "Name") || !strcmp(line, "NamePolicy")))
		file->sets_name = true;
	else if (!strcmp(section, "Link") && !strncmp(line, "MACAddress", 10))
		file->sets_mac = strcmp(value, "none") != 0;
}

static void check_link_text(struct doctor *d, const struct vf_function *f, const char *path,
			    char *text)
{
	struct link_file file = {.matches = true};
	char section[32] = "", *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		if (*line == '[')
			snprintf(section, sizeof(section), "%.*s", (int)strcspn(line + 1, "]"),
				 line + 1);
		else
			take_line(&file, f, section, line);
	}
	if (!file.has_match || !file.matches || (!file.sets_mac && !file.sets_sriov &&
						 !(file.sets_name && f->is_vf)))
		return;
	doctor_find(d, VF_WARNING, "owner-link-file", f->name,
		    "remove it, or make its [Match] leave this function out",
		    "systemd's %s sets %s of %s", path,
		    file.sets_sriov ? "SR-IOV" : file.sets_mac ? "the MAC" : "the name", f->ifname);
}

static void check_link_files(struct doctor *d, const struct vf_function *f)
{
	static const char *const folders[] = {"/etc/systemd/network", "/run/systemd/network"};

	for (unsigned i = 0; i < 2 && f->ifname[0]; i++) {
		DIR *folder = vf_open_folder(d->host, "%s", folders[i]);
		const char *entry;

		while ((entry = vf_next_entry(folder))) {
			char path[PATH_MAX];

			if (!has_ending(entry, ".link"))
				continue;
			snprintf(path, sizeof(path), "%s/%s", folders[i], entry);
			char *text = vf_read_text(d->host, "%s", path);
			if (text)
				check_link_text(d, f, path, text);
			free(text);
		}
	}
}

/* ---- netplan --------------------------------------------------------------------------------- */

/* The interface as a word of the file: "eth0:" and not "eth01". */
static bool has_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += length) {
		bool begins = at == text || !(isalnum((unsigned char)at[-1]) || at[-1] == '_');
		bool ends = !(isalnum((unsigned char)at[length]) || at[length] == '_');

		if (begins && ends)
			return true;
	}
	return false;
}

static void check_netplan(struct doctor *d, const struct vf_function *f)
{
	DIR *folder = f->ifname[0] ? vf_open_folder(d->host, "/etc/netplan") : NULL;
	const char *entry;

	while ((entry = vf_next_entry(folder))) {
		if (!has_ending(entry, ".yaml"))
			continue;
		char *text = vf_read_text(d->host, "/etc/netplan/%s", entry);
		/* A PF's interface may well be the host's own; making its VFs is another matter. */
		bool makes_vfs = text && strstr(text, "virtual-function-count");
		if (text && has_word(text, f->ifname) && (f->is_vf || makes_vfs))
			doctor_find(
				d, VF_WARNING, "owner-netplan", f->name,
				"take the interface, virtual-function-count and link: out of it",
				"netplan's %s%s configures %s, too", entry,
				makes_vfs ? ", which makes VFs," : "", f->ifname);
		free(text);
	}
}

/* ---- driverctl ------------------------------------------------------------------------------ */

static void check_driverctl(struct doctor *d, const struct vf_function *f)
{
	static const char *const prefixes[] = {"", "pci-"}; /* older versions; newer ones */
	char driver[VF_NAME_BYTES];

	for (unsigned i = 0; i < 2; i++) {
		if (vf_read(d->host, driver, sizeof(driver), "/etc/driverctl.d/%s%s", prefixes[i],
			    f->name))
			continue;
		doctor_find(d, VF_WARNING, "owner-driverctl", f->name,
			    "`driverctl unset-override ADDRESS`",
			    "driverctl gives it to %s whenever it appears", driver);
		return;
	}
}

static void check_function(struct doctor *d, const struct vf_function *f)
{
	check_network_manager(d, f);
	check_link_files(d, f);
	check_netplan(d, f);
	check_driverctl(d, f);
}

void doctor_owners(struct doctor *d)
{
	for (unsigned i = 0; i < d->host->pf_count; i++) {
		const struct vf_function *pf = d->host->pfs[i];

		check_link_files(d, pf);
		check_netplan(d, pf);
		for (unsigned v = 0; v < pf->vf_count; v++)
			check_function(d, &pf->vfs[v]);
	}
}
