# SPDX-License-Identifier: BSD-2-Clause
#
# The library for other programs. `make library` builds it in build/library, `make install` installs
# it (PREFIX, DESTDIR), `make test-library` installs it aside and uses it as others would:
#
#   libtenon.so, libtenon.a    in a process; what the headers declare is exported, nothing else
#   libtenon-free.a            freestanding, for aarch64 and x86-64: whoever links it brings a port
#   tenon/*.h                  the contracts; what the first two add: tenon/hosted.h, mirror_proc.h, snapshot_file.h
#   tenon-top                  a view of memory for a terminal (docs/pictures.md)
#   tenon-iommufd              the user-space /dev/iommu (docs/iommufd.md)
#   tenon.pc, tenon-free.pc, tenon-config.cmake, reference.html

lib_version := 0.1.0
lib_major := 0
PREFIX := /usr/local
INCLUDEDIR := $(PREFIX)/include
LIBDIR := $(PREFIX)/lib
DOCDIR := $(PREFIX)/share/doc/tenon
DESTDIR :=
L := $(B)/library

# Not those of the hypervisor's two doors, which are no part of the library.
lib_headers := $(filter-out include/tenon/control.h include/tenon/guest.h,$(call files,include/tenon/*.h)) \
    port/hosted/hosted.h port/hosted/mirror_proc.h port/hosted/snapshot_file.h
lib_so := $(L)/libtenon.so.$(lib_version)
lib_free := $(L)/aarch64/libtenon-free.a $(L)/x86_64/libtenon-free.a
lib_text := $(L)/tenon.pc $(L)/tenon-free.pc $(L)/tenon-config.cmake $(L)/tenon-config-version.cmake
lib_all := $(B)/hosted/libtenon.a $(lib_so) $(lib_free) $(lib_text) $(L)/reference.html

.PHONY: library install test-library FORCE

library: $(lib_all)

# ---- shared --------------------------------------------------------------------------------

$(eval $(call hosted_build,pic,$(CC),-O2 -fPIC -fno-semantic-interposition))

# What the headers declare: the compiler lists the functions, and data is declared by `extern`.
$(L)/tenon.map: $(lib_headers)
	$(say) MAP $@
	$(Q)mkdir -p $(@D)
	$(Q)for h in $^; do echo "#include \"$$h\""; done | \
	    $(CC) $(free) -Iport/hosted -aux-info $@.aux -fsyntax-only -x c -
	$(Q){ echo 'TENON_$(lib_major) {'; echo '  global:'; \
	    { sed -n 's,^/\* \(include/tenon\|port/hosted\)/[^ ]*:NC \*/ extern [^(]*[ *]\([a-z0-9_]*\) (.*,\2,p' $@.aux; \
	      sed -n 's/^extern .*[ *]\([a-z0-9_]*\)\(\[.*\)\{0,1\};.*/\1/p' $^; } | sort -u | sed 's/.*/    &;/'; \
	    echo '  local: *;'; echo '};'; } >$@
	$(Q)rm -f $@.aux

$(lib_so): $(hosted_src:%=$(B)/pic/%.o) $(L)/tenon.map
	$(say) LD $@
	$(Q)$(CC) -shared -pthread -Wl,-soname,libtenon.so.$(lib_major) -Wl,-z,defs -Wl,-Bsymbolic-functions \
	    -Wl,--version-script,$(L)/tenon.map $(filter %.o,$^) -o $@

# ---- freestanding --------------------------------------------------------------------------

# Position independent, no vector registers, no red zone: for a kernel at any address.
free_flags := $(free) -O2 -g -mgeneral-regs-only -fPIE -fvisibility=hidden -fno-stack-protector -fno-common \
    -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections -Iport/bare
cc_aarch64 := $(CROSS)gcc -march=armv8-a -mstrict-align -mno-outline-atomics
cc_x86_64 := $(if $(filter x86_64,$(shell uname -m)),gcc,x86_64-linux-gnu-gcc) -mno-red-zone
ar_aarch64 := $(CROSS)ar
ar_x86_64 := $(if $(filter x86_64,$(shell uname -m)),ar,x86_64-linux-gnu-ar)

define free_build
$(L)/$(1)/obj/%.c.o: %.c
	$$(say) CC '$$< (free, $(1))'
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(cc_$(1)) $$(free_flags) $$(depend) -c $$< -o $$@

$(L)/$(1)/libtenon-free.a: $$(core_src:%=$(L)/$(1)/obj/%.o)
	$$(say) AR $$@
	$$(Q)rm -f $$@ && $$(ar_$(1)) rcs $$@ $$^

-include $$(core_src:%=$(L)/$(1)/obj/%.d)
endef
$(eval $(call free_build,aarch64))
$(eval $(call free_build,x86_64))

# ---- what describes it ---------------------------------------------------------------------

$(lib_text): $(L)/%: packaging/%.in FORCE
	$(say) GEN $@
	$(Q)mkdir -p $(@D)
	$(Q)sed -e 's,@PREFIX@,$(PREFIX),' -e 's,@LIBDIR@,$(LIBDIR),' -e 's,@INCLUDEDIR@,$(INCLUDEDIR),' \
	    -e 's,@VERSION@,$(lib_version),g' -e 's,@MAJOR@,$(lib_major),' \
	    -e 's,@LIB_FROM_CMAKE@,../..,' \
	    -e 's,@INCLUDE_FROM_CMAKE@,$(shell realpath -m --relative-to=$(LIBDIR)/cmake/tenon $(INCLUDEDIR)),' \
	    $< >$@
# Each time: directories may be given anew on the command line.
FORCE:

$(L)/reference.html: packaging/reference.awk $(lib_headers)
	$(say) GEN $@
	$(Q)mkdir -p $(@D)
	$(Q)awk -v version=$(lib_version) -f $^ >$@

# ---- install -------------------------------------------------------------------------------

to := $(DESTDIR)$(LIBDIR)

# tenon-iommufd looks for what it preloads beside itself, where a link leads.
install: $(lib_all) $(B)/hosted/tenon-top iommufd
	$(Q)install -d $(DESTDIR)$(INCLUDEDIR)/tenon $(to)/pkgconfig $(to)/cmake/tenon $(to)/tenon/aarch64 \
	    $(to)/tenon/x86_64 $(DESTDIR)$(DOCDIR)
	$(Q)install -m 644 $(lib_headers) $(DESTDIR)$(INCLUDEDIR)/tenon
	$(Q)install -m 644 $(B)/hosted/libtenon.a $(to)
	$(Q)install -m 755 $(lib_so) $(to)
	$(Q)install -D -m 755 $(B)/hosted/tenon-top $(DESTDIR)$(PREFIX)/bin/tenon-top
	$(Q)install -m 755 $(B)/iommufd/tenon-iommufd $(B)/iommufd/libtenon-iommufd.so $(to)/tenon
	$(Q)ln -sf $(shell realpath -m --relative-to=$(PREFIX)/bin $(LIBDIR)/tenon/tenon-iommufd) $(DESTDIR)$(PREFIX)/bin
	$(Q)ln -sf libtenon.so.$(lib_version) $(to)/libtenon.so.$(lib_major)
	$(Q)ln -sf libtenon.so.$(lib_version) $(to)/libtenon.so
	$(Q)install -m 644 $(L)/aarch64/libtenon-free.a $(to)/tenon/aarch64
	$(Q)install -m 644 $(L)/x86_64/libtenon-free.a $(to)/tenon/x86_64
	$(Q)install -m 644 $(L)/tenon.pc $(L)/tenon-free.pc $(to)/pkgconfig
	$(Q)install -m 644 $(L)/tenon-config.cmake $(L)/tenon-config-version.cmake $(to)/cmake/tenon
	$(Q)install -m 644 $(L)/reference.html LICENSE $(DESTDIR)$(DOCDIR)
	@echo "installed in $(DESTDIR)$(PREFIX): libtenon $(lib_version); $(DESTDIR)$(DOCDIR)/reference.html"

test-library: $(lib_all) $(B)/hosted/tenon-top iommufd
	$(Q)tools/test-library
