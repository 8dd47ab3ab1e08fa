/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A test that passes and leaks. `tests/unit/gated.sh --check` runs it under
 * AddressSanitizer and demands to be told; it is no part of any suite.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

Test(leaky, forgets_its_memory)
{
	void *volatile forgotten = malloc(100);

	cr_assert_not_null(forgotten);
	forgotten = NULL;
}
