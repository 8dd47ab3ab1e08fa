/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory regions of the partition, org.outrigger.Partition.OpenRegion. Any thread. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "otr_internal.h"

int otr_region_map(struct otr *otr, const char *region, void **memory, size_t *size_bytes)
{
	struct varlink_answer answer;
	struct varlink_conn *conn = NULL;
	struct stat status;
	int error = otr_connect(otr->path, &conn);

	if (!error)
		error = otr_call(conn, "org.outrigger.Partition.OpenRegion",
				 json_pack("{s:s}", "region", region), &answer);
	if (error) {
		varlink_conn_free(conn);
		return error;
	}
	json_int_t size = json_integer_value(json_object_get(answer.parameters, "size_bytes"));

	/* The size that the file has, not the one that is claimed (T06). None at all: it was
	 * donated, which cuts it, while the answer was on its way. */
	if (answer.fd_count != 1 || fstat(answer.fds[0], &status) || size <= 0 ||
	    (status.st_size && status.st_size != size)) {
		error = otr_fail(-EPROTO, "the shim sent no region of the size it says");
	} else if (!status.st_size) {
		error = otr_fail(-EBUSY, "region %s has just been donated", region);
	} else {
		void *mapped = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, answer.fds[0],
				    0);
		if (mapped == MAP_FAILED) {
			error = otr_fail(-errno, "region %s cannot be mapped: %s", region,
					 strerror(errno));
		} else {
			*memory = mapped;
			*size_bytes = (size_t)size;
		}
	}
	varlink_answer_clear(&answer);
	varlink_conn_free(conn);
	return error;
}
