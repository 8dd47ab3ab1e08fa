# SPDX-License-Identifier: BSD-2-Clause
# The switch, its settings and its arithmetic need no DPDK: tests link them alone.
LIBRARIES += softswitch
softswitch_SRCS := $(addprefix adjunct-drivers/soft-adapter/,switch.c rate.c faults.c vf.c vf_json.c)
softswitch_PKGS := jansson

# accept and recvmsg: vhost_guard.c looks at what drivers say before librte_vhost does.
PROGRAMS += soft_adapter
soft_adapter_SRCS := $(addprefix adjunct-drivers/soft-adapter/,main.c loop.c control.c methods.c \
	adapter.c events.c dataplane.c forward.c vhost_port.c vhost_guard.c watchdog.c eal.c confine.c) \
	adjunct-drivers/runtime/vhost_notice.c adjunct-drivers/runtime/confine_thread.c
soft_adapter_PKGS := jansson libseccomp
soft_adapter_USES := softswitch confine base
soft_adapter_DPDK := 1
soft_adapter_OUT := libexec/outrigger/outrigger-soft-adapter
soft_adapter_LDFLAGS := -Wl,--wrap=accept -Wl,--wrap=recvmsg -Wl,--wrap=pthread_create \
	-Wl,--wrap=rte_vfio_enable
soft_adapter_TEXTS := adjunct-drivers/soft-adapter/org.outrigger.Adapter.varlink
