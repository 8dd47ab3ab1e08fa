# SPDX-License-Identifier: BSD-2-Clause
# Programs of a native partition, to be read and to be run.
PROGRAMS += otr-echo otr-send otr-watch otr-yield
otr-echo_SRCS := hv-shim/examples/otr-echo.c
otr-echo_USES := liboutrigger
otr-echo_OUT := examples/otr-echo

otr-send_SRCS := hv-shim/examples/otr-send.c
otr-send_USES := liboutrigger
otr-send_OUT := examples/otr-send

otr-watch_SRCS := hv-shim/examples/otr-watch.c
otr-watch_USES := liboutrigger
otr-watch_OUT := examples/otr-watch

otr-yield_SRCS := hv-shim/examples/otr-yield.c
otr-yield_USES := liboutrigger
otr-yield_OUT := examples/otr-yield
