#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# What vf-manager/README.md tells a person to type, from a card that nobody has touched to
# two partitions that talk, and then the same functions for other programs: every command
# of both lists, as it stands there, and what the remarks behind them promise.
. "$(dirname "$0")/../../e2e/lib.sh"
. "$(dirname "$0")/vf.inc"

# Where the daemon's folder is, is not in what is typed; programs go by their names, and
# root's rights by name only.
export OUTRIGGER_STATE_DIR=$state
PATH=$bin:$PATH
unset -f outrigger
sudo() { "$@"; }
systemctl() { # start outriggerd
	[ "$*" = "start outriggerd" ] && daemon_start
}

# commands HEADING: those of the first list below it, each up to its NUL.
commands() {
	awk -v heading="## $1" '
		$0 == heading { below = 1; next }
		below && /^```/ { if (inside) exit; inside = 1; next }
		!inside { next }
		{ command = command $0 "\n" }
		/<<END/ { document = 1; next }
		document && $0 != "END" { next }
		{ document = 0; printf "%s%c", command, 0; command = "" }' "$readme"
}
# What a remark says is in the output, or on the machine, after that command.
promised() { # COMMAND
	case $1 in
	*'# is the card there'*) said "  it is there" "$pf" ;;
	*'# HELD BY outrigger:nic0'*) said "  held by it" 'outrigger:nic0' ;;
	*'# nothing to do'*) said "  nothing is to do" 'nothing to do' ;;
	*'# the card is as it was'*) check "  there are no functions" [ "$(vf_count)" = 0 ] ;;
	*'ping '*) said "  each is answered" ' 0% packet loss' ;;
	esac
}
walk() { # HEADING
	local command count=0
	while IFS= read -r -d '' command; do
		need "${command%%$'\n'*}" eval "$command"
		promised "$command"
		count=$((count + 1))
	done < <(commands "$1")
	check "those were all $2 commands" [ "$count" = "$2" ]
}

cd "$work" || exit 1
ulimit -l unlimited
readme=$OLDPWD/vf-manager/README.md
# A test before this one may have had it.
need "a card that nobody has" vfs 0
ip link set "$(pf_interface)" down
walk "From a fresh card to two partitions talking" 9
daemon_stop
walk "The same without partitions" 6
check "nothing is left running" no_marked
finish
