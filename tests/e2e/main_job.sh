#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The main job, from the document to nothing left: two partitions exchange real
# traffic, each through an adjunct of its own; settings change while it runs; an
# idle system is calm. Only when started by root (rootless.sh does the rest).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/main_job.inc"

need "the daemon starts" daemon_start
main_job
finish
