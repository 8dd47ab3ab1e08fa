# SPDX-License-Identifier: BSD-2-Clause
#
# The rows about virtual functions; sourced by run.sh.
#
# shellcheck shell=bash disable=SC2034 # the row's variables belong to lib.sh

# vf_tree ROOT PFS VFS: what sysfs has of so many cards, as `vf list` reads it.
vf_tree() {
	perl -e '
		use strict; use warnings; use File::Path qw(make_path);
		my ($root, $pfs, $vfs) = @ARGV;
		my $bus = "$root/sys/bus/pci";
		sub put { my ($path, $text) = @_; open(my $f, ">", $path) or die "$path: $!"; print $f $text; close $f }
		sub function_of {
			my ($name, $driver, $group, $net) = @_;
			make_path("$bus/devices/$name/net/$net", "$root/sys/kernel/iommu_groups/$group");
			symlink "../../drivers/$driver", "$bus/devices/$name/driver" or die;
			symlink "../../../../kernel/iommu_groups/$group", "$bus/devices/$name/iommu_group" or die;
			put("$bus/devices/$name/driver_override", "(null)\n");
			put("$bus/devices/$name/net/$net/$_->[0]", "$_->[1]\n")
				for ["address", "02:00:00:00:00:01"], ["flags", "0x1003"], ["carrier", "1"],
				["addr_assign_type", "0"], ["speed", "100000"], ["ifindex", "7"];
		}
		make_path("$bus/drivers/ice", "$bus/drivers/iavf", "$root/proc");
		for my $pf (0 .. $pfs - 1) {
			my $name = sprintf "%04x:17:00.0", $pf;
			function_of($name, "ice", 1000 * $pf, "ens$pf");
			put("$bus/devices/$name/$_->[0]", "$_->[1]\n")
				for ["vendor", "0x8086"], ["device", "0x1592"], ["class", "0x020000"], ["numa_node", "0"],
				["sriov_totalvfs", "256"], ["sriov_numvfs", $vfs], ["sriov_offset", "8"],
				["sriov_stride", "1"], ["sriov_vf_device", "1889"], ["sriov_drivers_autoprobe", "1"];
			for my $vf (0 .. $vfs - 1) {
				my $at = 8 + $vf;
				my $vf_name = sprintf "%04x:%02x:%02x.%x", $pf, 0x17 + ($at >> 8), $at >> 3 & 31, $at & 7;
				function_of($vf_name, "iavf", 1000 * $pf + 1 + $vf, "ens${pf}v$vf");
				symlink "../$vf_name", "$bus/devices/$name/virtfn$vf" or die;
			}
		}' "$@"
}

vf_list_ours() {
	local TIMEFORMAT='%U %S' count=20 i
	{
		time for ((i = 0; i < count; i++)); do
			"$bin/outrigger" -j vf list --root "$work/cards" >"$work/vfs.json" || return 1
		done
	} 2>"$work/time" || { fail 'vf list failed'; return 1; }
	[[ $(jq '[.pfs[].vfs[]] | length' "$work/vfs.json") == 1024 ]] || { fail 'not 1024 VFs'; return 1; }
	figure=$(awk -v count=$count '{ printf "%.2f", 1000 * ($1 + $2) / count }' "$work/time")
}
vf_list_goal() { figure=50; }
# 8 cards of 128 functions each: user and system time of one `vf list`.
vf_list() {
	crosses_cpus=0
	peer_name='the goal itself' peer_version='-' peer_command='50 ms of processor time'
	[[ -d $work/cards ]] || vf_tree "$work/cards" 8 128 || { fail 'no tree of cards'; return 1; }
	in_turn vf_list_ours vf_list_goal
}

# Why the rig gave no figures: what was said there, else how it ended, else why it never began.
rig_reason() { # LOG
	local said
	said=$(sed -n 's/^  cannot measure: //p' "$1" | tail -n 1)
	[[ -n $said ]] || said=$(sed -n 's/^not ok - //p' "$1" | tail -n 1)
	printf '%s' "${said:-$(tail -n 1 "$1")}"
}

# The rig (tests/rig) is booted, and vf_rig_guest.sh measures there: all runs of both sides
# in one boot. Its figures are those of a machine that is emulated, processor and card.
vf_rig() {
	local log=$work/rig.log runs
	peer_name='dpdk-testpmd on both functions'
	BENCH_RUNS=$RUNS BENCH_SECONDS=$SECONDS_PER_RUN tests/rig/run.sh tests/bench/vf_rig_guest.sh >"$log" 2>&1
	grep -E '^  (run|cannot|    \|)' "$log" >&2
	if ! runs=$(grep '^{' "$log"); then
		# What the guest wrote; the console's end, which follows, is the kernel's.
		sed '/^# the end of the console/,$d' "$log" >"$log.guest"
		show_log "$log.guest"
		fail "the rig gives no figures: $(rig_reason "$log")"
		return 1
	fi
	runs_of() { jq -r "$1 | if type == \"array\" then .[] else . end" <<<"$runs"; }
	mapfile -t ours_runs < <(runs_of .ours)
	mapfile -t peer_runs < <(runs_of .peer)
	mapfile -t spins_before < <(runs_of .before)
	mapfile -t spins_after < <(runs_of .after)
	mapfile -t contentions < <(runs_of .contention)
	peer_version=$(runs_of .version)
	peer_command=$(runs_of .command)
}
