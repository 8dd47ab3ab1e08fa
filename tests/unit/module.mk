# SPDX-License-Identifier: BSD-2-Clause
# One Criterion program per area, build/tests/unit/AREA. It must also pass under
# FLAVOR=asan, where tests/unit/gated.sh runs it: Criterion calls a test that
# leaks a pass, the sanitizers' log does not.
# Calls that tests can make fail: tests/unit/fault.c.
FAULT_CALLS := malloc calloc realloc reallocarray aligned_alloc strdup getcwd newlocale socket \
	connect bind listen accept4 getsockopt sendmsg send recv recvmsg ppoll lstat fstat chmod \
	fchmod lchown unlink memfd_create ftruncate eventfd write pread pthread_attr_init \
	pthread_attr_setdetachstate pthread_create fcntl geteuid
FAULT_LDFLAGS := $(foreach call,$(FAULT_CALLS),-Wl,--wrap=$(call))
FAULT_EVENT_LDFLAGS := $(foreach call,add_io add_defer add_time_relative source_set_time_relative \
	source_set_priority,-Wl,--wrap=sd_event_$(call))

PROGRAMS += unit_base
unit_base_SRCS := tests/unit/fault.c $(addprefix tests/unit/base/,support.c faults.c log.c \
	net_layout.c unix_socket.c varlink_client.c varlink_conn.c varlink_fds.c varlink_server.c yaml_tree.c)
unit_base_PKGS := criterion
unit_base_USES := base eventqueues
unit_base_LDFLAGS := $(FAULT_LDFLAGS) -Wl,--wrap=yaml_parser_initialize \
	-Wl,--wrap=yaml_parser_parse
unit_base_OUT := tests/unit/base
unit_base_TEST := 1

# Leaks on purpose: shows that the gate sees it (tests/unit/gated.sh --check).
ifeq ($(FLAVOR),asan)
PROGRAMS += unit_leaky
unit_leaky_SRCS := tests/unit/leaky.c
unit_leaky_PKGS := criterion
unit_leaky_OUT := tests/gate/leaky
unit_leaky_TEST := 1
endif

PROGRAMS += unit_ring
unit_ring_SRCS := tests/unit/ring.c
unit_ring_PKGS := criterion
unit_ring_USES := eventqueues
unit_ring_OUT := tests/unit/ring
unit_ring_TEST := 1

PROGRAMS += unit_soft_adapter
unit_soft_adapter_SRCS := $(addprefix tests/unit/soft_adapter/,support.c forwarding.c vlan.c rate.c \
	settings.c)
unit_soft_adapter_PKGS := criterion jansson
unit_soft_adapter_USES := softswitch
unit_soft_adapter_OUT := tests/unit/soft_adapter
unit_soft_adapter_TEST := 1

PROGRAMS += unit_cli
unit_cli_SRCS := tests/unit/cli.c
unit_cli_PKGS := criterion jansson smartcols
unit_cli_USES := cli document vfmanager base
unit_cli_LDFLAGS := -lm
unit_cli_OUT := tests/unit/cli
unit_cli_TEST := 1

PROGRAMS += unit_cli_vf
unit_cli_vf_SRCS := tests/unit/fault.c tests/unit/vf_manager/support.c \
	$(addprefix tests/unit/cli_vf/,machine.c commands.c)
unit_cli_vf_PKGS := criterion jansson smartcols libsystemd
unit_cli_vf_USES := cli document vfmanager base
unit_cli_vf_LDFLAGS := -lm $(FAULT_LDFLAGS) -Wl,--wrap=vf_discover
unit_cli_vf_OUT := tests/unit/cli_vf
unit_cli_vf_TEST := 1

# With stand-ins of its own: none of these may be made for real.
PROGRAMS += unit_confine
unit_confine_SRCS := tests/unit/confine.c
unit_confine_PKGS := criterion
unit_confine_USES := confine base
unit_confine_LDFLAGS := $(foreach call,mount umount2 mkdir chdir chmod unlink setrlimit getrlimit prctl \
	open syscall memfd_create fstat pread malloc seccomp_init seccomp_attr_set seccomp_export_bpf \
	seccomp_rule_add,-Wl,--wrap=$(call))
unit_confine_OUT := tests/unit/confine
unit_confine_TEST := 1

PROGRAMS += unit_cgroup
unit_cgroup_SRCS := tests/unit/cgroup.c hv-shim/processes/cgroup.c
unit_cgroup_PKGS := criterion libsystemd
unit_cgroup_USES := base
unit_cgroup_LDFLAGS := $(foreach call,fopen statfs getxattr rmdir,-Wl,--wrap=$(call))
unit_cgroup_OUT := tests/unit/cgroup
unit_cgroup_TEST := 1

PROGRAMS += unit_spawn
unit_spawn_SRCS := tests/unit/spawn.c hv-shim/processes/spawn.c hv-shim/processes/clone_into.c
unit_spawn_PKGS := criterion
unit_spawn_USES := base
unit_spawn_OUT := tests/unit/spawn
unit_spawn_TEST := 1

PROGRAMS += unit_peers
unit_peers_SRCS := tests/unit/fault.c $(addprefix tests/unit/peers/,child.c calls.c heartbeat.c) \
	hv-shim/memory.c hv-shim/close_later.c \
	$(addprefix hv-shim/processes/,peer.c peer_link.c heartbeat.c spawn.c clone_into.c)
unit_peers_PKGS := criterion jansson libsystemd
unit_peers_USES := document vfmanager base eventqueues
unit_peers_LDFLAGS := $(FAULT_LDFLAGS) $(foreach call,add_time_relative source_set_time_relative,-Wl,--wrap=sd_event_$(call))
unit_peers_OUT := tests/unit/peers
unit_peers_TEST := 1

PROGRAMS += unit_hv_shim
unit_hv_shim_SRCS := tests/unit/fault.c $(addprefix tests/unit/hv_shim/,document.c document_pf.c plan.c shared.c \
	plan_changes.c image.c state.c) hv-shim/state.c hv-shim/usage_state.c
unit_hv_shim_PKGS := criterion jansson libsystemd
unit_hv_shim_USES := shimplan document vfmanager base eventqueues
unit_hv_shim_LDFLAGS := $(FAULT_LDFLAGS)
unit_hv_shim_OUT := tests/unit/hv_shim
unit_hv_shim_TEST := 1

PROGRAMS += unit_partition
unit_partition_SRCS := tests/unit/fault.c $(addprefix tests/unit/partition/,fake_shim.c open.c frames.c \
	guest.c faults.c)
unit_partition_PKGS := criterion jansson
unit_partition_USES := liboutrigger base eventqueues
unit_partition_LDFLAGS := $(FAULT_LDFLAGS) $(foreach call,epoll_create1 epoll_ctl timerfd_create \
	mmap,-Wl,--wrap=$(call))
unit_partition_OUT := tests/unit/partition
unit_partition_TEST := 1

PROGRAMS += unit_ethdev
unit_ethdev_SRCS := tests/unit/fault.c tests/unit/port_support.c \
	$(addprefix tests/unit/ethdev/,native.c tap.c vhost_support.c vhost.c vhost_frames.c \
	vhost_successor.c played_vhost.c vhost_ring.c guest.c base64.c) \
	$(addprefix adjunct-drivers/ethdev/,port_native.c port_tap.c port_vhost.c vhost_session.c vhost_ring.c) \
	adjunct-drivers/runtime/base64.c
unit_ethdev_PKGS := criterion jansson
unit_ethdev_USES := base eventqueues
unit_ethdev_DPDK := 1
unit_ethdev_LDFLAGS := $(FAULT_LDFLAGS) $(foreach call,driver_register driver_disable_features \
	driver_callback_register driver_start driver_unregister get_vhost_vring get_mem_table \
	get_negotiated_features get_vring_base set_vring_base get_vhost_ring_inflight \
	extern_callback_register,-Wl,--wrap=rte_vhost_$(call)) \
	-Wl,--wrap=nanosleep
unit_ethdev_OUT := tests/unit/ethdev
unit_ethdev_TEST := 1

PROGRAMS += unit_requests
unit_requests_SRCS := tests/unit/port_support.c tests/unit/ethdev/requests.c \
	$(addprefix adjunct-drivers/ethdev/,requests.c share.c port_native.c \
	device_queues.c igbvf.c device_watch.c)
unit_requests_PKGS := criterion
unit_requests_USES := base eventqueues
unit_requests_DPDK := 1
unit_requests_DPDK_DRIVERS := net_e1000 # igbvf.c calls it
unit_requests_LDFLAGS := -Wl,--wrap=rte_eth_dev_default_mac_addr_set \
	-Wl,--wrap=e1000_update_mc_addr_list
unit_requests_OUT := tests/unit/requests
unit_requests_TEST := 1

PROGRAMS += unit_service
unit_service_SRCS := tests/unit/service.c adjunct-drivers/runtime/service.c
unit_service_PKGS := criterion jansson
unit_service_USES := base eventqueues
unit_service_OUT := tests/unit/service
unit_service_TEST := 1

PROGRAMS += unit_keeper
unit_keeper_SRCS := tests/unit/keeper.c $(addprefix hv-shim/keeper/,methods.c store.c namespace.c tap.c)
unit_keeper_PKGS := criterion jansson libnl-3.0 libnl-route-3.0
unit_keeper_USES := base
unit_keeper_TEXTS := hv-shim/org.outrigger.Keeper.varlink
unit_keeper_OUT := tests/unit/keeper
unit_keeper_TEST := 1

PROGRAMS += unit_vhost
unit_vhost_SRCS := $(addprefix tests/unit/,fault.c fault_event.c) \
	$(addprefix tests/unit/vhost/,support.c harness.c message.c state.c session.c)
unit_vhost_PKGS := criterion jansson libsystemd
unit_vhost_USES := shimvhost base
unit_vhost_LDFLAGS := $(FAULT_LDFLAGS) $(FAULT_EVENT_LDFLAGS)
unit_vhost_OUT := tests/unit/vhost
unit_vhost_TEST := 1

PROGRAMS += unit_flipper
unit_flipper_SRCS := $(addprefix tests/unit/flipper/,flipper.c adjunct.c partition.c guest.c) \
	tests/unit/port_support.c $(addprefix adjunct-drivers/ethdev/,port_native.c vhost_ring.c)
unit_flipper_PKGS := criterion jansson
unit_flipper_USES := liboutrigger base eventqueues
unit_flipper_DPDK := 1
unit_flipper_OUT := tests/unit/flipper
unit_flipper_TEST := 1

PROGRAMS += unit_event_queues
unit_event_queues_SRCS := tests/unit/fault.c $(addprefix tests/unit/event_queues/,support.c level1.c \
	associations.c level2.c flow.c recovery.c hostile.c reference.c random.c flipper.c \
	refusals.c)
unit_event_queues_PKGS := criterion jansson
unit_event_queues_USES := eventqueues
unit_event_queues_LDFLAGS := $(FAULT_LDFLAGS)
unit_event_queues_OUT := tests/unit/event_queues
unit_event_queues_TEST := 1

# Apart from unit/vhost: with one long test among many short ones, Criterion's own
# runner leaks, which the gate sees.
PROGRAMS += unit_vhost_faults
unit_vhost_faults_SRCS := $(addprefix tests/unit/,fault.c fault_event.c) \
	$(addprefix tests/unit/vhost/,support.c harness.c faults.c)
unit_vhost_faults_PKGS := criterion jansson libsystemd
unit_vhost_faults_USES := shimvhost base
unit_vhost_faults_LDFLAGS := $(FAULT_LDFLAGS) $(FAULT_EVENT_LDFLAGS)
unit_vhost_faults_OUT := tests/unit/vhost_faults
unit_vhost_faults_TEST := 1

PROGRAMS += unit_sessions
unit_sessions_SRCS := $(addprefix tests/unit/,fault.c fault_event.c $(addprefix sessions/,world.c \
	attachment.c device_vhost.c)) \
	hv-shim/objects.c $(addprefix hv-shim/devices/,attachment.c device_vhost.c)
unit_sessions_PKGS := criterion jansson libsystemd
unit_sessions_USES := document vfmanager base eventqueues
unit_sessions_LDFLAGS := $(FAULT_LDFLAGS) $(FAULT_EVENT_LDFLAGS)
unit_sessions_OUT := tests/unit/sessions
unit_sessions_TEST := 1

PROGRAMS += unit_usage
unit_usage_SRCS := tests/unit/usage.c hv-shim/usage.c hv-shim/usage_state.c
unit_usage_PKGS := criterion jansson libsystemd
unit_usage_USES := document vfmanager base eventqueues
unit_usage_OUT := tests/unit/usage
unit_usage_TEST := 1

PROGRAMS += unit_vf_manager
# Of libnl, those that can fail, and those that carry messages to and from the kernel.
FAULT_NL_CALLS := nl_socket_alloc nl_connect nlmsg_alloc_size nlmsg_put nlmsg_append genlmsg_put \
	nla_put nla_put_u16 nla_put_u32 nla_put_string nla_nest_start genl_ctrl_resolve nl_send_auto \
	nl_recv setsockopt
unit_vf_manager_SRCS := tests/unit/fault.c $(addprefix tests/unit/vf_manager/,support.c address.c \
	discover.c interface.c apply.c own.c hand.c crash.c netlink.c netlink_peer.c devlink.c doctor.c \
	export.c fault.c files.c refused.c)
unit_vf_manager_PKGS := criterion libnl-3.0 libnl-genl-3.0
unit_vf_manager_USES := vfmanager
unit_vf_manager_LDFLAGS := $(FAULT_LDFLAGS) $(foreach call,fsync openat renameat unlinkat \
	open read mkdir flock close closedir \
	$(FAULT_NL_CALLS),-Wl,--wrap=$(call))
unit_vf_manager_OUT := tests/unit/vf_manager
unit_vf_manager_TEST := 1

# Apart: it counts the calls that unit/vf_manager makes fail.
PROGRAMS += unit_vf_work
unit_vf_work_SRCS := $(addprefix tests/unit/vf_manager/,support.c work.c)
unit_vf_work_PKGS := criterion libnl-3.0 libnl-genl-3.0
unit_vf_work_USES := vfmanager
unit_vf_work_LDFLAGS := $(foreach call,open opendir readlink access read,-Wl,--wrap=$(call))
unit_vf_work_OUT := tests/unit/vf_work
unit_vf_work_TEST := 1

PROGRAMS += unit_events
unit_events_SRCS := $(addprefix tests/unit/,fault.c fault_event.c $(addprefix events/,world.c guests.c \
	forwarder.c history.c)) hv-shim/objects.c \
	$(addprefix hv-shim/events/,device_events.c events_status.c forwarder.c guests.c history.c)
unit_events_PKGS := criterion jansson libsystemd
unit_events_USES := document vfmanager base eventqueues
unit_events_LDFLAGS := $(FAULT_LDFLAGS) $(FAULT_EVENT_LDFLAGS) $(foreach call,epoll_create1 epoll_ctl \
	mmap,-Wl,--wrap=$(call))
unit_events_OUT := tests/unit/events
unit_events_TEST := 1

PROGRAMS += unit_region
unit_region_SRCS := $(addprefix tests/unit/,fault.c region.c) $(addprefix hv-shim/,region.c objects.c)
unit_region_PKGS := criterion jansson libsystemd
unit_region_USES := document vfmanager base eventqueues
unit_region_LDFLAGS := $(FAULT_LDFLAGS)
unit_region_OUT := tests/unit/region
unit_region_TEST := 1

PROGRAMS += unit_adjunct
unit_adjunct_SRCS := $(addprefix tests/unit/,fault.c adjunct.c general_memory.c) \
	$(addprefix adjunct-drivers/runtime/,start_request.c descriptors.c)
unit_adjunct_PKGS := criterion jansson
unit_adjunct_USES := base eventqueues
unit_adjunct_LDFLAGS := $(FAULT_LDFLAGS)
unit_adjunct_OUT := tests/unit/adjunct
unit_adjunct_TEST := 1

PROGRAMS += unit_vf_adapter
unit_vf_adapter_SRCS := tests/unit/vf_adapter.c vf-manager/adapter/methods.c
unit_vf_adapter_PKGS := criterion jansson
unit_vf_adapter_USES := vfmanager base
unit_vf_adapter_TEXTS := adjunct-drivers/soft-adapter/org.outrigger.Adapter.varlink
unit_vf_adapter_OUT := tests/unit/vf_adapter
unit_vf_adapter_TEST := 1

PROGRAMS += unit_vf_faults
unit_vf_faults_SRCS := tests/unit/vf_faults.c vf-manager/adapter/faults.c
unit_vf_faults_PKGS := criterion jansson
unit_vf_faults_USES := vfmanager base
unit_vf_faults_OUT := tests/unit/vf_faults
unit_vf_faults_TEST := 1
