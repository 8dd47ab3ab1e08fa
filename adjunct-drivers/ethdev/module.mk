# SPDX-License-Identifier: BSD-2-Clause
PROGRAMS += ethdev
ethdev_SRCS := $(addprefix adjunct-drivers/ethdev/,main.c ethdev.c requests.c share.c device.c device_watch.c device_queues.c igbvf.c \
	port_tap.c port_native.c port_vhost.c vhost_session.c vhost_ring.c) \
	$(addprefix adjunct-drivers/runtime/,confine_thread.c eal.c eal_calls.c eal_vfio.c vhost_notice.c)
ethdev_USES := adjunct confine eventqueues base
ethdev_DPDK := 1
# Virtual functions of adapters, by VFIO.
ethdev_DPDK_DRIVERS := net_e1000 net_ixgbe net_iavf common_iavf security
ethdev_LDFLAGS := -Wl,--wrap=memfd_create -Wl,--wrap=mmap64 -Wl,--wrap=mkdir -Wl,--wrap=access \
	-Wl,--wrap=get_tsc_freq -Wl,--wrap=rte_vfio_enable -Wl,--wrap=open64 -Wl,--wrap=ioctl -Wl,--wrap=pthread_create \
	-Wl,--wrap=e1000_update_mc_addr_list
ethdev_OUT := libexec/outrigger/outrigger-adjunct-ethdev

EXTRA_FILES += $(OUT)/libexec/outrigger/images/ethdev.yaml
$(OUT)/libexec/outrigger/images/%.yaml: adjunct-drivers/ethdev/%.yaml
	$(call quiet,COPY,$@)mkdir -p $(@D); cp $< $@
