#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Adjuncts without a shim: see tests/e2e/adjunct/main.c.
cd "$(dirname "$0")/../.." || exit 1
export OTR_BUILD=${OTR_BUILD:-$PWD/build}
exec "$OTR_BUILD/tests/e2e/adjunct" "$@"
