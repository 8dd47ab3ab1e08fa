# SPDX-License-Identifier: BSD-2-Clause
# `make install` and `make uninstall`. The programs find each other by their
# place relative to bin/, so that PREFIX needs no mention when they are built.
#
#   make install PREFIX=/usr DESTDIR=/tmp/package
BINDIR ?= $(PREFIX)/bin
LIBEXECDIR ?= $(dir $(BINDIR))libexec/outrigger
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
UDEVDIR ?= $(PREFIX)/lib/udev/rules.d
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
FISHCOMPDIR ?= $(PREFIX)/share/fish/vendor_completions.d
DOCDIR ?= $(PREFIX)/share/doc/outrigger

install_bins := bin/outrigger bin/outriggerd
install_libexecs = $(filter libexec/outrigger/%,$(foreach p,$(RUNTIME_PROGRAMS),$($(p)_OUT)))
install_images = $(filter $(OUT)/libexec/outrigger/images/%,$(EXTRA_FILES))
fill_in = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@BINDIR@|$(BINDIR)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' \
	-e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' -e 's|@VERSION@|$(VERSION)|g'
installed = $(addprefix $(BINDIR)/,$(notdir $(install_bins))) \
	$(addprefix $(LIBEXECDIR)/,$(notdir $(install_libexecs))) \
	$(addprefix $(LIBEXECDIR)/images/,$(notdir $(install_images))) \
	$(addprefix $(LIBDIR)/,liboutrigger.a liboutrigger.so liboutrigger.so.0 \
		pkgconfig/liboutrigger.pc) \
	$(INCLUDEDIR)/outrigger.h \
	$(addprefix $(MANDIR)/,man1/outrigger.1 man5/outrigger.yaml.5 man8/outriggerd.8) \
	$(addprefix $(UNITDIR)/,outriggerd.service outrigger.service outrigger-vf.service) \
	$(UDEVDIR)/80-outrigger.rules \
	$(BASHCOMPDIR)/outrigger $(FISHCOMPDIR)/outrigger.fish $(DOCDIR)/embedded.yaml

# Programs that link the static library see outrigger.h's functions and no other
# name of ours.
$(OUT)/lib/install/liboutrigger.a: $(OUT)/lib/liboutrigger.a
	$(call quiet,AR,$@)mkdir -p $(@D); rm -f $@; \
	ld -r -o $(@D)/liboutrigger.o --whole-archive $<; \
	objcopy --localize-hidden $(@D)/liboutrigger.o; ar rcs $@ $(@D)/liboutrigger.o

.PHONY: install
install: D = $(DESTDIR)
install: all $(OUT)/lib/install/liboutrigger.a ## Install below PREFIX (/usr/local); DESTDIR is honoured
	install -d $(sort $(addprefix $(D),$(dir $(installed))))
	install -m 755 $(addprefix $(OUT)/,$(install_bins)) $(D)$(BINDIR)
	install -m 755 $(addprefix $(OUT)/,$(install_libexecs)) $(D)$(LIBEXECDIR)
	install -m 644 $(install_images) $(D)$(LIBEXECDIR)/images
	install -m 644 $(OUT)/lib/install/liboutrigger.a $(D)$(LIBDIR)
	install -m 644 $(OUT)/lib/liboutrigger.so.0 $(D)$(LIBDIR)
	ln -sf liboutrigger.so.0 $(D)$(LIBDIR)/liboutrigger.so
	$(fill_in) hv-shim/partition/liboutrigger.pc.in >$(D)$(LIBDIR)/pkgconfig/liboutrigger.pc
	install -m 644 hv-shim/partition/outrigger.h $(D)$(INCLUDEDIR)
	$(OUT)/bin/outrigger help --format man >$(D)$(MANDIR)/man1/outrigger.1
	install -m 644 hv-shim/install/outrigger.yaml.5 $(D)$(MANDIR)/man5
	install -m 644 hv-shim/install/outriggerd.8 $(D)$(MANDIR)/man8
	$(fill_in) hv-shim/install/outriggerd.service.in >$(D)$(UNITDIR)/outriggerd.service
	$(fill_in) hv-shim/install/outrigger.service.in >$(D)$(UNITDIR)/outrigger.service
	$(fill_in) hv-shim/install/outrigger-vf.service.in >$(D)$(UNITDIR)/outrigger-vf.service
	$(fill_in) hv-shim/install/80-outrigger.rules.in >$(D)$(UDEVDIR)/80-outrigger.rules
	$(OUT)/bin/outrigger completion bash >$(D)$(BASHCOMPDIR)/outrigger
	$(OUT)/bin/outrigger completion fish >$(D)$(FISHCOMPDIR)/outrigger.fish
	install -m 644 hv-shim/examples/embedded.yaml $(D)$(DOCDIR)

.PHONY: uninstall
uninstall: ## Remove what install put there
	rm -f $(addprefix $(DESTDIR),$(installed))
	rmdir --ignore-fail-on-non-empty $(addprefix $(DESTDIR),$(LIBEXECDIR)/images $(LIBEXECDIR) $(DOCDIR))
