/* SPDX-License-Identifier: BSD-2-Clause */
/* The program of the `ethdev` adjunct image: the runtime with this one driver. */
#include "ethdev.h"

int main(int argc, char **argv)
{
	return adj_main(&ethdev_ops, argc, argv);
}
