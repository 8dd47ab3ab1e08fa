# SPDX-License-Identifier: BSD-2-Clause
#
# What `llvm-cov export` says about branches, a line for each: file, line, column,
# end line, end column, function, times taken, times not taken. tests/coverage/report.sh
# adds the instances of one place up. A condition inside of a macro belongs to the
# place where the macro is used: a function's file numbers are expansions, too.
#
# A region is [line, column, end line, end column, count, file, expanded file,
# kind]; kind 1 is an expansion. A branch has two counts instead of one.
def name: sub("^[^:]*:"; "");
.data[0].functions[]
| .filenames as $files
| (.name | name) as $function
| (reduce (.regions[] | select(.[7] == 1)) as $r ({}; .["\($r[6])"] = $r)) as $used
| def place($region; $file):
	if $used["\($file)"] then place($used["\($file)"]; $used["\($file)"][5])
	else [$files[$file]] + $region[0:4] end;
.branches[]
| . as $branch
| (place($branch; $branch[6]) + [
	# Two conditions of one macro must not be taken for one.
	(if $used["\($branch[6])"] then "\($branch[0]).\($branch[1])" else "" end),
	$function, $branch[4], $branch[5]])
| @tsv
