# SPDX-License-Identifier: BSD-2-Clause
PROGRAMS += echo
echo_SRCS := adjunct-drivers/echo/echo.c
echo_USES := adjunct confine eventqueues base
echo_FP := no
echo_OUT := libexec/outrigger/outrigger-adjunct-echo

EXTRA_FILES += $(OUT)/libexec/outrigger/images/echo.yaml
$(OUT)/libexec/outrigger/images/%.yaml: adjunct-drivers/echo/%.yaml
	$(call quiet,COPY,$@)mkdir -p $(@D); cp $< $@
