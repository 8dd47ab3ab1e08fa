# SPDX-License-Identifier: BSD-2-Clause
# The configuration document: a library of its own, for tests and fuzzers.
LIBRARIES += document
document_SRCS := $(addprefix hv-shim/document/document,.c _fields.c _find.c _json.c _pf.c _schema.c)
document_PKGS := jansson
