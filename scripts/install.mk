# install.mk: install and uninstall. DESTDIR and PREFIX are honoured.

INSTALL   ?= install
BINDIR    ?= $(PREFIX)/bin
LIBDIR    ?= $(PREFIX)/lib
INCDIR    ?= $(PREFIX)/include
MANDIR    ?= $(PREFIX)/share/man
BASHDIR   ?= $(PREFIX)/share/bash-completion/completions

INSTALL_HEADERS := $(sort $(wildcard include/stoa/*.h))
INSTALL_MAN     := $(sort $(wildcard man/*.[1-8]))
INSTALL_BASH    := completions/stoa

$(BUILD)/stoa.pc: stoa.pc.in
	@mkdir -p $(@D)
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' \
	  -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCDIR@|$(INCDIR)|' $< > $@

install: all
	$(Q)rm -f $(BUILD)/stoa.pc
	$(Q)$(MAKE) -s $(BUILD)/stoa.pc
	$(Q)$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR)/pkgconfig \
	  $(DESTDIR)$(INCDIR)/stoa
	$(Q)$(INSTALL) -m 755 $(BUILD)/stoa $(DESTDIR)$(BINDIR)/stoa
	$(Q)$(INSTALL) -m 644 $(BUILD)/libstoa.a $(DESTDIR)$(LIBDIR)/
	$(Q)$(INSTALL) -m 755 $(BUILD)/$(SONAME) $(DESTDIR)$(LIBDIR)/
	$(Q)ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libstoa.so
	$(Q)$(INSTALL) -m 755 $(BUILD)/$(DROPIN) $(DESTDIR)$(LIBDIR)/
	$(Q)$(INSTALL) -m 644 $(INSTALL_HEADERS) $(DESTDIR)$(INCDIR)/stoa/
	$(Q)$(INSTALL) -m 644 $(BUILD)/stoa.pc $(DESTDIR)$(LIBDIR)/pkgconfig/
	$(Q)for page in $(INSTALL_MAN); do \
	  $(INSTALL) -D -m 644 $$page \
	    $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/} || exit 1; done
	$(Q)for file in $(INSTALL_BASH); do \
	  $(INSTALL) -D -m 644 $$file $(DESTDIR)$(BASHDIR)/stoa || exit 1; done

uninstall:
	$(Q)rm -f $(DESTDIR)$(BINDIR)/stoa $(DESTDIR)$(LIBDIR)/libstoa.a \
	  $(DESTDIR)$(LIBDIR)/$(SONAME) $(DESTDIR)$(LIBDIR)/libstoa.so \
	  $(DESTDIR)$(LIBDIR)/$(DROPIN) $(DESTDIR)$(LIBDIR)/pkgconfig/stoa.pc $(DESTDIR)$(BASHDIR)/stoa
	$(Q)rm -f $(patsubst include/%,$(DESTDIR)$(INCDIR)/%,$(INSTALL_HEADERS))
	$(Q)for page in $(INSTALL_MAN); do \
	  rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done
	$(Q)rmdir $(DESTDIR)$(INCDIR)/stoa 2>/dev/null || true

.PHONY: install uninstall
