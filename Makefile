# SPDX-License-Identifier: BSD-2-Clause
#
# Everything is built under build/, from the sources found in each folder (wildcards): a new file
# needs no line here. `make V=1` shows the commands. On a bare Debian use ./run and ./test, which
# install what is missing and then call make.

CC := gcc
CLANG := clang
CROSS := aarch64-linux-gnu-
# Words for the tests' names, e.g. `make test-hosted T=pt`; empty: all.
T :=
comma := ,
B := build

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n'
endif

# ---- sources -------------------------------------------------------------------------------

files = $(sort $(wildcard $(1)))
core_src := $(call files,pt/*.c pt/fmt/*.c mem/*.c space/*.c iommu/*.c hw/*/*.c)
el2_src := $(core_src) $(call files,hv/*.c hv/*.S port/el2/*.c port/el2/*.S)
vmm_src := $(call files,vmm/*.c vmm/*.S)
payload_src := $(call files,payload/*.c payload/*.S)
hostile_src := $(call files,payload/hostile/*.c payload/hostile/*.S)
hosted_src := $(core_src) $(call files,port/hosted/*.c)
model_src := $(call files,model/*.c)
# The user-space /dev/iommu: all of its server but main() is linked into its tests too.
iommufd_front := $(call files,iommufd/front*.c)
iommufd_main := iommufd/main.c
iommufd_lib := $(filter-out $(iommufd_front) $(iommufd_main),$(call files,iommufd/*.c))
helper_src := $(call files,tests/lib_*.c) $(iommufd_lib)
test_src := $(call files,tests/test_*.c)
bench_src := $(call files,bench/bench_*.c)
top_src := $(call files,top/*.c)
bench_helper_src := $(filter-out $(bench_src),$(call files,bench/*.c))
every_c := $(call files,include/tenon/*.h model/*.[ch] port/*/*.[ch] pt/*.[ch] pt/fmt/*.[ch] \
    mem/*.[ch] space/*.[ch] iommu/*.[ch] hw/*/*.[ch] hv/*.[ch] vmm/*.[ch] payload/*.[ch] payload/*/*.[ch] \
    tests/*.[ch] bench/*.[ch] bench/*/*.[ch] bench/peer/range/*.[ch] examples/*.c examples/*/*.c)
every_c += $(call files,iommufd/*.[ch])
every_c += $(call files,top/*.[ch])

# ---- flags ---------------------------------------------------------------------------------

warnings := -Wall -Wextra -Wconversion -Wshadow -Wundef -Wstrict-prototypes -Wmissing-prototypes \
    -Wvla -Werror
include_dirs := -I. -Iinclude
depend = -MMD -MP

# The core and the hypervisor, wherever they are built.
free := -std=c11 -ffreestanding $(warnings) $(include_dirs)
el2_flags := $(free) -O2 -g -mgeneral-regs-only -mstrict-align -mno-outline-atomics \
    -march=armv8-a -fno-pic -mcmodel=small -fno-stack-protector -fno-common \
    -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections -Iport/el2 \
    -isystem $(B)/debian/include
payload_flags := $(free) -O2 -g -mgeneral-regs-only -mstrict-align -mno-outline-atomics \
    -march=armv8-a -fno-pic -mcmodel=small -fno-stack-protector -fno-common \
    -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections -Ipayload
bare_link := -nostdlib -static -no-pie -Wl,--build-id=none -Wl,--gc-sections \
    -Wl,--no-warn-rwx-segments -Wl,-z,noexecstack
vmm_flags := -std=c11 -D_GNU_SOURCE $(warnings) $(include_dirs) -O2 -g
# Tests, the models and the hosted port are ordinary programs.
hosted_core := $(free) -g -Iport/hosted
hosted_prog := -std=c11 -D_GNU_SOURCE $(warnings) $(include_dirs) -g -Iport/hosted -pthread

# ---- what to do ----------------------------------------------------------------------------

.PHONY: help format all run shell test check size matrix bench clean test-hosted test-build mutants spin top test-top \
    check-format check-tidy check-warnings check-blr check-sh debian

help:
	@echo 'Tenon: make <target>'
	@echo '  run      the demonstration: build, boot QEMU with Tenon and Debian, print the table'
	@echo '  shell    the same machine with a prompt instead'
	@echo '  test     every test, and a shortened run; last line: N passed, N failed'
	@echo '  torture  everything that can happen to guest memory at once, for T=60 seconds'
	@echo '  check    format, clang-tidy, warnings of gcc and clang, scripts, no indirect calls'
	@echo '  size     lines by folder; fails from 13,000 in hypervisor, drivers and core'
	@echo '  matrix   the run on other CPUs and SMMUs'
	@echo '  bench    measurements, each beside its peer; bench-pt: page tables only, beside Linux'
	@echo '  library  build it for other programs; install (PREFIX, DESTDIR); test-library uses it as they would'
	@echo '  iommufd  the user-space /dev/iommu; test-iommufd, fuzz-iommufd; conformance: the kernel'\''s selftest on it'
	@echo '  all      build everything, run nothing;  clean  remove build/'
	@echo 'Smaller: test-hosted (T=word picks by name), mutants (M=word), spin (the protocol), top (build tenon-top), check-blr, format (rewrites every C file)'
	@echo 'On a bare Debian 12 or 13 start with ./run or ./test: they install what is missing.'

all: $(B)/el2/tenon.img $(B)/initramfs.gz test-build

clean:
	$(say) CLEAN build/
	$(Q)rm -rf $(B)

# Debian's arm64 kernel, busybox and libfdt: fetched once, then kept (tools/deps.sh --help).
$(B)/debian/stamp:
	$(Q)tools/deps.sh arm64

debian: $(B)/debian/stamp

# A folder that has no sources yet is an error with a name, not a riddle from the linker.
need = $(if $($(1)),,$(error no sources in $(2) yet: this target needs them))

# ---- arm64: hypervisor, command-line program, payload --------------------------------------

el2_obj := $(el2_src:%=$(B)/el2/%.o)

$(B)/el2/%.c.o: %.c | $(B)/debian/stamp
	$(say) CC '$< (el2)'
	$(Q)mkdir -p $(@D)
	$(Q)$(CROSS)gcc $(el2_flags) $(depend) -c $< -o $@

$(B)/el2/%.S.o: %.S | $(B)/debian/stamp
	$(say) AS '$< (el2)'
	$(Q)mkdir -p $(@D)
	$(Q)$(CROSS)gcc $(el2_flags) $(depend) -c $< -o $@

$(B)/el2/tenon.elf: $(el2_obj) $(wildcard hv/tenon.lds) | $(B)/debian/stamp
	$(call need,el2_src,hv/)$(if $(wildcard hv/tenon.lds),,$(error no hv/tenon.lds yet))
	$(say) LD $@
	$(Q)$(CROSS)gcc $(bare_link) -Wl,-T,hv/tenon.lds -Wl,-Map,$(@:.elf=.map) $(el2_obj) \
	    $(B)/debian/libfdt.a -o $@

$(B)/el2/tenon.img: $(B)/el2/tenon.elf
	$(say) IMAGE $@
	$(Q)$(CROSS)objcopy -O binary $< $@
	$(Q)[ "$$(dd if=$@ bs=1 skip=56 count=4 2>/dev/null)" = "ARMd" ] || \
	    { echo "$@: no arm64 Image header at its start" >&2; rm $@; exit 1; }

vmm_obj := $(vmm_src:%=$(B)/vmm/%.o)

$(B)/vmm/%.o: %
	$(say) CC '$< (arm64)'
	$(Q)mkdir -p $(@D)
	$(Q)$(CROSS)gcc $(vmm_flags) $(depend) -c $< -o $@

$(B)/vmm/tenon: $(vmm_obj)
	$(call need,vmm_src,vmm/)
	$(say) LD $@
	$(Q)$(CROSS)gcc -static $(vmm_obj) -o $@ -pthread

# The VM's program, and the kernel that takes the host's place to attack EL2.
payload_img := $(B)/payload/payload.img
hostile_img := $(B)/payload/hostile.img
payload_obj := $(payload_src:%=$(B)/payload/obj/%.o)
hostile_obj := $(hostile_src:%=$(B)/payload/obj/%.o)

$(B)/payload/obj/%.o: %
	$(say) CC '$< (payload)'
	$(Q)mkdir -p $(@D)
	$(Q)$(CROSS)gcc $(payload_flags) $(depend) -c $< -o $@

$(B)/payload/payload.elf: payload/payload.lds $(payload_obj)
$(B)/payload/hostile.elf: payload/hostile/hostile.lds $(hostile_obj)
$(B)/payload/%.elf:
	$(say) LD $@
	$(Q)$(CROSS)gcc $(bare_link) -Wl,-T,$(filter %.lds,$^) $(filter %.o,$^) -o $@

$(B)/payload/%.img: $(B)/payload/%.elf
	$(say) IMAGE $@
	$(Q)$(CROSS)objcopy -O binary $< $@

initramfs_parts := $(if $(vmm_src),$(B)/vmm/tenon) $(payload_img)

$(B)/initramfs.gz: tools/init tools/mkinitramfs $(initramfs_parts) | $(B)/debian/stamp
	$(say) CPIO $@
	$(Q)tools/mkinitramfs $@ $(if $(vmm_src),$(B)/vmm/tenon=/bin/tenon) \
	    $(foreach i,$(payload_img),$(i)=/lib/tenon/$(notdir $(i)))

# ---- hosted: library, models, tests --------------------------------------------------------

# tools/mutants sets its own for what a wrong variant changes: most of its time is the compiler's.
hosted_opt := -O2

# One set of rules for each way to build: name, compiler, flags. An object is removed first: those of
# wrong variants are links to what was built before.
define hosted_build
$(B)/$(1)/%.c.o: %.c
	$$(say) CC '$$< ($(1))'
	$$(Q)mkdir -p $$(@D) && rm -f $$@ $$(@:.o=.d)
	$$(Q)$(2) $$(if $$(filter $$(core_src),$$<),$$(hosted_core),$$(hosted_prog)) $(3) $$(depend) \
	    -c $$< -o $$@

# Made anew each time, so that the object of a file since removed does not stay in it.
$(B)/$(1)/libtenon.a: $$(hosted_src:%=$(B)/$(1)/%.o)
	$$(say) AR $$@
	$$(Q)mkdir -p $$(@D)
	$$(Q)rm -f $$@ && ar rcs $$@ $$^

$(B)/$(1)/libtest.a: $$(model_src:%=$(B)/$(1)/%.o) $$(helper_src:%=$(B)/$(1)/%.o)
	$$(say) AR $$@
	$$(Q)mkdir -p $$(@D)
	$$(Q)rm -f $$@ && ar rcs $$@ $$^

$(B)/$(1)/test_%: $(B)/$(1)/tests/test_%.c.o $(B)/$(1)/libtest.a $(B)/$(1)/libtenon.a
	$$(say) LD $$@
	$$(Q)$(2) $(3) -pthread $$< -Wl,--start-group $(B)/$(1)/libtest.a $(B)/$(1)/libtenon.a \
	    -Wl,--end-group -lcmocka -o $$@

$(B)/$(1)/torture: $(B)/$(1)/tests/torture.c.o $(B)/$(1)/libtest.a $(B)/$(1)/libtenon.a
	$$(say) LD $$@
	$$(Q)$(2) $(3) -pthread $$< -Wl,--start-group $(B)/$(1)/libtest.a $(B)/$(1)/libtenon.a \
	    -Wl,--end-group -lcmocka -o $$@

$(1)_tests := $$(patsubst tests/%.c,$(B)/$(1)/%,$$(test_src))
-include $$(patsubst %,$(B)/$(1)/%.d,$$(hosted_src) $$(model_src) $$(helper_src) $$(test_src))
endef

$(eval $(call hosted_build,hosted,$(CC),$(hosted_opt)))
$(eval $(call hosted_build,asan,$(CC),-O1 -fsanitize=address$(comma)undefined \
    -fno-sanitize-recover=all -fno-omit-frame-pointer))
$(eval $(call hosted_build,tsan,$(CC),-O1 -fsanitize=thread -Wno-tsan))
$(eval $(call hosted_build,clang,$(CLANG),-O2))

# ---- the user-space /dev/iommu ---------------------------------------------------------------

$(B)/iommufd/tenon-iommufd: $(iommufd_main:%=$(B)/hosted/%.o) $(B)/hosted/libtest.a $(B)/hosted/libtenon.a
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O2 -pthread $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group -o $@

$(B)/iommufd/libtenon-iommufd.so: $(iommufd_front) iommufd/proto.h iommufd/front.h
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(hosted_prog) -O2 -fPIC -fvisibility=hidden -shared $(iommufd_front) -ldl -o $@

.PHONY: iommufd conformance
iommufd: $(B)/iommufd/tenon-iommufd $(B)/iommufd/libtenon-iommufd.so

-include $(iommufd_main:%=$(B)/hosted/%.d)

# The clients of its tests, and the fuzzers of its dispatcher and of the NVMe model.
iommufd_clients := $(patsubst tests/iommufd/%.c,$(B)/iommufd/%,$(filter-out %/fuzz.c %/fuzz_nvme.c,$(call files,tests/iommufd/*.c)))
every_c += $(call files,tests/iommufd/*.c)

$(B)/iommufd/%: tests/iommufd/%.c iommufd/uapi.h iommufd/vfio_uapi.h iommufd/proto.h
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(hosted_prog) -O1 $< -o $@

# The same drivers without a dynamic loader, for the other way in.
iommufd_clients += $(B)/iommufd/edu-static $(B)/iommufd/nvme-static
$(B)/iommufd/%-static: tests/iommufd/%.c iommufd/uapi.h iommufd/vfio_uapi.h
	$(say) CC '$< (static)'
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(hosted_prog) -O1 -static $< -o $@

.PHONY: test-iommufd fuzz-iommufd bench-iommufd
bench-iommufd: iommufd $(iommufd_clients) $(B)/hosted/bench_iommufd
	$(Q)tools/bench-iommufd

test: iommufd $(iommufd_clients)
test-iommufd: iommufd $(iommufd_clients)
	$(Q)tools/test-iommufd $(T)

iommufd_fuzz_src := $(filter-out hw/%,$(core_src)) $(model_src) $(iommufd_lib) \
    $(call files,port/hosted/*.c)

$(B)/iommufd/fuzz $(B)/iommufd/fuzz_nvme: $(B)/iommufd/%: tests/iommufd/%.c $(iommufd_fuzz_src) $(call files,iommufd/*.h)
	$(say) CLANG $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(hosted_prog) $(FUZZ_FLAGS) $< $(iommufd_fuzz_src) -o $@

# RUNS=10000000 for a long one; what it learns stays in build/iommufd/corpus. Ten times as fast, but blind to what
# only the sanitizers see: FUZZ_FLAGS='-O2 -fsanitize=fuzzer' (after rm build/iommufd/fuzz*).
RUNS := 200000
FUZZ_FLAGS := -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
fuzz-iommufd: $(B)/iommufd/fuzz $(B)/iommufd/fuzz_nvme
	$(Q)mkdir -p $(B)/iommufd/corpus $(B)/iommufd/corpus-nvme
	$(Q)$(B)/iommufd/fuzz -runs=$(RUNS) -max_len=600 -print_final_stats=1 $(B)/iommufd/corpus
	$(Q)$(B)/iommufd/fuzz_nvme -runs=$(RUNS) -max_len=2048 -len_control=0 \
	    -print_final_stats=1 -close_fd_mask=2 $(B)/iommufd/corpus-nvme

conformance: iommufd
	$(Q)tools/conformance $(ARGS)

pick = $(if $(T),$(foreach w,$(T),$(foreach t,$(1),$(if $(findstring $(w),$(notdir $(t))),$(t)))),$(1))

test-build: $(hosted_tests) $(asan_tests) $(tsan_tests)

# Everything at once for T seconds (60), then a third of that under the thread sanitizer.
.PHONY: torture
torture: $(B)/hosted/torture $(B)/tsan/torture
	$(Q)$(B)/hosted/torture -t $(or $(T),60)
	$(Q)TSAN_OPTIONS=halt_on_error=1 setarch -R $(B)/tsan/torture -s 7 -r 8 -t $$(($(or $(T),60) / 3 + 1))

# The three builds of every test. tools/run-tests prints the sum as its last line.
test-hosted: $(call pick,$(hosted_tests) $(asan_tests) $(tsan_tests) $(fuzz_replays))
	$(Q)tools/run-tests $^

bench_bin := $(patsubst bench/%.c,$(B)/hosted/%,$(bench_src))

$(B)/hosted/bench_%: $(B)/hosted/bench/bench_%.c.o $(bench_helper_src:%=$(B)/hosted/%.o) \
    $(B)/hosted/libtest.a $(B)/hosted/libtenon.a
	$(say) LD $@
	$(Q)$(CC) -O2 -pthread $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group -lm -o $@

-include $(bench_src:%=$(B)/hosted/%.d) $(bench_helper_src:%=$(B)/hosted/%.d)

include bench/peer/peer.mk

include packaging/library.mk
include tests/fuzz/fuzz.mk

# The view of memory for a terminal; it draws as `tenon mem show` does.
top_obj := $(top_src:%=$(B)/hosted/%.o) $(B)/hosted/vmm/draw.c.o

$(B)/hosted/tenon-top: $(top_obj) $(B)/hosted/libtenon.a
	$(say) LD $@
	$(Q)$(CC) -O2 -pthread $^ -o $@

top: $(B)/hosted/tenon-top

test-top: $(B)/hosted/tenon-top
	$(Q)tools/test-top

-include $(top_obj:.o=.d)

# ---- running -------------------------------------------------------------------------------

machine := $(B)/el2/tenon.img $(B)/initramfs.gz $(hostile_img)

run: $(machine)
	$(Q)tools/demo run

shell: $(machine)
	$(Q)tools/qemu --mode shell

matrix: $(machine)
	$(Q)tools/demo matrix

bench: $(machine) $(bench_bin) $(B)/hosted/bench_pt $(B)/hosted/bench_range $(B)/el2/bench_el2.elf
	$(Q)tools/bench $(bench_bin) $(B)/hosted/bench_pt $(B)/hosted/bench_range
	$(Q)tools/bench-el2 $(B)/el2/bench_el2.elf

test: $(machine) $(hosted_tests) $(asan_tests) $(tsan_tests) $(fuzz_replays) $(lib_all) $(B)/hosted/tenon-top
	$(Q)tools/test-all $(hosted_tests) $(asan_tests) $(tsan_tests) $(fuzz_replays)

mutants:
	$(Q)tools/mutants all $(M)

# The conversion protocol, every interleaving, and its wrong variants (tools/spin --help).
spin:
	$(Q)tools/spin

# ---- checks --------------------------------------------------------------------------------

check: check-format check-sh check-warnings check-blr check-tidy
	@echo 'check: all good'

# Versions differ in small ways, so one of them is the judge: Debian 12's.
format_judge := 14

check-format:
	$(say) FORMAT 'every C file'
	$(Q)v=$$(clang-format --version | sed 's/.*version \([0-9]*\).*/\1/'); \
	if [ "$$v" = $(format_judge) ]; then clang-format --dry-run -Werror $(every_c); else \
	    echo "  note: clang-format $$v only warns; $(format_judge) (Debian 12) is the judge"; \
	    clang-format --dry-run $(every_c) 2>&1 | grep -c warning: || :; fi

format:
	$(Q)clang-format -i $(every_c)

scripts := run test .ci/run bench/peer/fetch $(filter-out %.md %.awk,$(call files,tools/*))

check-sh:
	$(say) SH 'every script'
	$(Q)for s in $(scripts); do sh -n $$s || exit 1; done
	$(Q)for s in $(filter-out tools/init,$(scripts)); do [ -n "$$(timeout 10 ./$$s --help </dev/null)" ] || \
	    { echo "$$s --help says nothing, or fails" >&2; exit 1; }; done
	$(Q)if command -v shellcheck >/dev/null; then shellcheck $(scripts); fi

# gcc's warnings are errors in every build; clang sees each file once more, for its own target.
clang_arm := $(CLANG) --target=aarch64-linux-gnu -isystem /usr/aarch64-linux-gnu/include
bare_check := $(filter %.c,$(el2_src)) $(call files,bench/el2/*.c)
payload_check := $(filter %.c,$(payload_src) $(hostile_src))

$(B)/lint/el2/%.c.ok: %.c | $(B)/debian/stamp
	$(say) CLANG '$< (el2)'
	$(Q)mkdir -p $(@D)
	$(Q)$(clang_arm) $(el2_flags) $(depend) -MF $(@:.ok=.d) -MT $@ -c $< -o /dev/null && touch $@

$(B)/lint/payload/%.c.ok: %.c
	$(say) CLANG '$< (payload)'
	$(Q)mkdir -p $(@D)
	$(Q)$(clang_arm) $(payload_flags) $(depend) -MF $(@:.ok=.d) -MT $@ -c $< -o /dev/null && touch $@

$(B)/lint/vmm/%.c.ok: %.c
	$(say) CLANG '$< (vmm)'
	$(Q)mkdir -p $(@D)
	$(Q)$(clang_arm) $(vmm_flags) $(depend) -MF $(@:.ok=.d) -MT $@ -c $< -o /dev/null && touch $@

clang_objects := $(patsubst %,$(B)/clang/%.o,$(hosted_src) $(model_src) $(helper_src) $(test_src) \
    $(iommufd_main) $(iommufd_front))
lint_ok := $(bare_check:%=$(B)/lint/el2/%.ok) $(payload_check:%=$(B)/lint/payload/%.ok) \
    $(patsubst %,$(B)/lint/vmm/%.ok,$(filter %.c,$(vmm_src)))

check-warnings: $(clang_objects) $(lint_ok) all

-include $(lint_ok:.ok=.d)

check-blr: $(patsubst %,$(B)/el2/%.o,$(call files,pt/*.c pt/fmt/*.c))
	$(Q)tools/check-blr $^

# One stamp a file, so that only what changed is looked at again.
tidy = clang-tidy --quiet $< -- $(1) >$@.log 2>&1 || { cat $@.log; exit 1; }

$(B)/tidy/el2/%.c.ok: %.c .clang-tidy | $(B)/debian/stamp
	$(say) TIDY '$< (el2)'
	$(Q)mkdir -p $(@D)
	$(Q)$(call tidy,--target=aarch64-linux-gnu -isystem /usr/aarch64-linux-gnu/include $(el2_flags))
	$(Q)touch $@

$(B)/tidy/payload/%.c.ok: %.c .clang-tidy
	$(say) TIDY '$< (payload)'
	$(Q)mkdir -p $(@D)
	$(Q)$(call tidy,--target=aarch64-linux-gnu -isystem /usr/aarch64-linux-gnu/include $(payload_flags))
	$(Q)touch $@

$(B)/tidy/vmm/%.c.ok: %.c .clang-tidy
	$(say) TIDY '$< (vmm)'
	$(Q)mkdir -p $(@D)
	$(Q)$(call tidy,--target=aarch64-linux-gnu -isystem /usr/aarch64-linux-gnu/include $(vmm_flags))
	$(Q)touch $@

$(B)/tidy/hosted/%.c.ok: %.c .clang-tidy
	$(say) TIDY $<
	$(Q)mkdir -p $(@D)
	$(Q)$(call tidy,$(hosted_prog))
	$(Q)touch $@

tidy_hosted := $(filter-out $(core_src),$(hosted_src)) $(model_src) $(helper_src) $(test_src) \
    $(iommufd_main) $(iommufd_front) $(top_src) $(tidy_fuzz) \
    $(call files,bench/*.c bench/pt/*.c bench/range/*.c)

check-tidy: $(bare_check:%=$(B)/tidy/el2/%.ok) $(payload_check:%=$(B)/tidy/payload/%.ok) \
    $(patsubst %,$(B)/tidy/vmm/%.ok,$(filter %.c,$(vmm_src))) $(tidy_hosted:%=$(B)/tidy/hosted/%.ok)

size: $(B)/el2/tenon.elf
	$(Q)tools/size

-include $(patsubst %,$(B)/el2/%.d,$(el2_src)) $(patsubst %,$(B)/vmm/%.d,$(vmm_src)) \
    $(patsubst %,$(B)/payload/obj/%.d,$(payload_src) $(hostile_src))
