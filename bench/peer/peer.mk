# SPDX-License-Identifier: BSD-2-Clause
#
# Peers of the benchmarks: the kernel's own page tables, compiled for a process by gcc and by clang
# behind the stand-in headers of this folder. Included by the Makefile; nothing here is built or
# fetched unless `make bench`, `make bench-pt`, `make bench-range` or `make bench-el2` is asked for.
# PEER=none measures ours alone.

PEER :=
peer := $(B)/peer
linux := $(peer)/linux

# As bench/peer/standin.h says; the kernel is built without floating point and vector registers.
peer_flags := -O2 -std=gnu11 -fno-strict-aliasing -fno-strict-overflow -mno-sse -mno-mmx \
    -mno-80387 -w -Ibench/peer -I$(peer)/include -I$(linux)/include -I$(linux)/drivers/iommu

$(linux)/stamp:
	$(Q)bench/peer/fetch
	$(Q)touch $@

# Every name that the sources include leads to the one stand-in. Not the two that libc includes too.
$(peer)/include/stamp: $(linux)/stamp
	$(say) GEN 'stand-in headers'
	$(Q)rm -rf $(@D) && mkdir -p $(@D)
	$(Q)cd $(linux) && grep -rhoE '^#include <(linux|asm)/[a-z0-9_/-]+\.h>' drivers/iommu include/linux/generic_pt \
	    include/linux/io-pgtable.h | sed 's/.*<\(.*\)>/\1/' | sort -u | \
	    grep -vE 'generic_pt/|io-pgtable|linux/(errno|limits)\.h' | while read -r name; do \
	        mkdir -p "$(abspath $(@D))/$$(dirname "$$name")" && \
	        echo '#include "standin.h"' >"$(abspath $(@D))/$$name"; done
	$(Q)touch $@

# name, source in the kernel, source here, flags. Both become one object with no global symbol, so
# that the builds of several compilers can stand in one program.
define peer_subject
$(peer)/$(1)-$(5).o: $(linux)/stamp $(peer)/include/stamp bench/peer/$(3) $(wildcard bench/peer/*.h bench/pt/subject.h)
	$$(say) PEER '$(1) ($(5))'
	$$(Q)$(5) $$(peer_flags) -c $(linux)/drivers/iommu/$(2) -o $$@.kernel
	$$(Q)$(5) $$(peer_flags) -DPEER_CC=$(5) $(4) -c bench/peer/$(3) -o $$@.subject
	$$(Q)ld -r $$@.kernel $$@.subject -o $$@.whole
	$$(Q)objcopy --keep-global-symbol=none $$@.whole $$@
	$$(Q)rm $$@.kernel $$@.subject $$@.whole
peer_obj += $(peer)/$(1)-$(5).o
endef

generic = $(call peer_subject,$(1),generic_pt/fmt/iommu_$(2).c,generic_pt.c,-DPEER_FMT=$(3) $(4),$(5))
table_config := .common.hw_max_vasz_lg2 = 48, .common.hw_max_oasz_lg2 = 52

define peer_compiler
$(call peer_subject,arm-s1-4k,io-pgtable-arm.c,io_pgtable.c,-DPEER_STAGE=1,$(1))
$(call peer_subject,arm-s2-4k,io-pgtable-arm.c,io_pgtable.c,-DPEER_STAGE=2,$(1))
$(call generic,x86-64,x86_64,x86_64,-DPEER_FORMAT='"x86-64"' -DPEER_MEMBER=x86_64_pt -DPEER_DIRTY=0 \
    -DPEER_CONFIG='$(table_config)$(comma) .top_level = 3$(comma) .common.features = BIT(PT_FEAT_SIGN_EXTEND) | BIT(PT_FEAT_FLUSH_RANGE)',$(1))
$(call generic,vtd-ss,vtdss,vtdss,-DPEER_FORMAT='"vtd-ss"' -DPEER_MEMBER=vtdss_pt -DPEER_DIRTY=1 \
    -DPEER_CONFIG='$(table_config)$(comma) .top_level = 3$(comma) .common.features = BIT(PT_FEAT_FLUSH_RANGE)',$(1))
$(call generic,amd-v1,amdv1,amdv1,-DPEER_FORMAT='"amd-v1"' -DPEER_MEMBER=amdpt -DPEER_DIRTY=1 \
    -DPEER_CONFIG='$(table_config)$(comma) .starting_level = 3$(comma) .common.features = BIT(PT_FEAT_DYNAMIC_TOP) | BIT(PT_FEAT_AMDV1_ENCRYPT_TABLES) | BIT(PT_FEAT_AMDV1_FORCE_COHERENCE) | BIT(PT_FEAT_FLUSH_RANGE)',$(1))
$(call generic,riscv-sv48,riscv64,riscv_64,-DPEER_FORMAT='"riscv-sv48"' -DPEER_MEMBER=riscv_64pt -DPEER_DIRTY=0 \
    -DPEER_CONFIG='$(table_config)$(comma) .common.features = BIT(PT_FEAT_SIGN_EXTEND) | BIT(PT_FEAT_FLUSH_RANGE) | BIT(PT_FEAT_RISCV_SVNAPOT_64K) | BIT(PT_FEAT_DETAILED_GATHER)',$(1))
endef

ifneq ($(PEER),none)
$(foreach cc,gcc clang,$(eval $(call peer_compiler,$(cc))))
peer_obj += $(peer)/iommu.o
endif

$(peer)/iommu.o: bench/peer/iommu.c $(linux)/stamp $(peer)/include/stamp $(wildcard bench/peer/*.h bench/pt/arena.h)
	$(say) PEER 'the rest of the kernel'
	$(Q)gcc $(peer_flags) -c $< -o $@

bench_pt_src := $(call files,bench/pt/*.c)

$(B)/hosted/bench_pt: $(bench_pt_src:%=$(B)/hosted/%.o) $(peer_obj) $(B)/hosted/libtenon.a
	$(say) LD $@
	$(Q)$(CC) -O2 -pthread $(filter %.o,$^) $(filter %.a,$^) -o $@

-include $(bench_pt_src:%=$(B)/hosted/%.d)

# ---- range store: the kernel's XArray and maple tree, by its own user-space shims ----

# The shims' headers but for the few in range/include; -Og and the sanitizers of their Makefile not.
shim := $(linux)/tools
range_flags := -O2 -w -ffunction-sections -Ibench/peer/range/include -Ibench/peer/range/include/generated -I$(shim)/testing/shared \
    -I$(shim)/include -I$(shim)/arch/x86/include -I$(linux)/lib

$(peer)/range-%.o: bench/peer/range/%.c $(linux)/stamp $(wildcard bench/peer/range/*.h bench/range/*.h bench/pt/ticks.h)
	$(say) PEER '$* (gcc)'
	$(Q)gcc $(range_flags) -c $< -o $@

$(peer)/range-lib-%.o: $(shim)/lib/%.c
	$(Q)gcc $(range_flags) -c $< -o $@

$(shim)/lib/%.c: $(linux)/stamp
	$(Q)[ -e $@ ]

range_peers := $(if $(filter none,$(PEER)),,$(patsubst %,$(peer)/range-%.o,xarray maple slab lib-find_bit lib-bitmap))
bench_range_src := $(call files,bench/range/*.c) bench/pt/stat.c

$(B)/hosted/bench_range: $(bench_range_src:%=$(B)/hosted/%.o) $(range_peers) $(B)/hosted/libtenon.a
	$(say) LD $@
	$(Q)$(CC) -O2 -pthread -Wl,--gc-sections $(filter %.o,$^) $(filter %.a,$^) -o $@

-include $(bench_range_src:%=$(B)/hosted/%.d)

.PHONY: bench-pt bench-range
bench-range: $(B)/hosted/bench_range
	$(Q)$< $(BENCH)

bench-pt: $(B)/hosted/bench_pt
	$(Q)$< $(BENCH)

# docs/pt-*.svg anew, from this machine.
.PHONY: bench-plots
bench-plots: $(B)/hosted/bench_pt
	$(Q)mkdir -p $(B)/logs
	$(Q)$< --plot $(BENCH) >$(B)/logs/bench-plot.data
	$(Q)for k in cost memory threads; do tools/bench-plot $$k $(B)/logs/bench-plot.data >docs/pt-$$k.svg; done

# ---- the engine as EL2 has it, in instructions: a bare machine with -icount shift=0 ----

arm_peer_flags := $(filter-out -mno-sse -mno-mmx -mno-80387,$(peer_flags)) -mgeneral-regs-only -mno-outline-atomics -march=armv8-a \
    -ffreestanding -fno-stack-protector -fno-pic -DARENA_PAGES=8192
arm_gcc := $(CROSS)gcc
arm_clang := clang --target=aarch64-linux-gnu -isystem /usr/aarch64-linux-gnu/include

# stage, compiler
define arm_peer
$(peer)/el2-s$(1)-$(2).o: $(linux)/stamp $(peer)/include/stamp bench/peer/io_pgtable.c $(wildcard bench/peer/*.h bench/pt/subject.h)
	$$(say) PEER 'arm-s$(1)-4k ($(2), A64)'
	$$(Q)$(arm_$(2)) $$(arm_peer_flags) -c $(linux)/drivers/iommu/io-pgtable-arm.c -o $$@.kernel
	$$(Q)$(arm_$(2)) $$(arm_peer_flags) -DPEER_CC=$(2) -DPEER_STAGE=$(1) -c bench/peer/io_pgtable.c -o $$@.subject
	$$(Q)$(CROSS)ld -r $$@.kernel $$@.subject -o $$@.whole
	$$(Q)$(CROSS)objcopy --keep-global-symbol=none $$@.whole $$@
	$$(Q)rm $$@.kernel $$@.subject $$@.whole
arm_peer_obj += $(peer)/el2-s$(1)-$(2).o
endef

ifneq ($(PEER),none)
$(foreach cc,gcc clang,$(foreach stage,1 2,$(eval $(call arm_peer,$(stage),$(cc)))))
arm_peer_obj += $(peer)/el2-iommu.o
endif

$(peer)/el2-iommu.o: bench/peer/iommu.c $(linux)/stamp $(peer)/include/stamp $(wildcard bench/peer/*.h bench/pt/arena.h)
	$(Q)$(arm_gcc) $(arm_peer_flags) -c $< -o $@

# The engine and the port are the very objects that the hypervisor links.
bench_el2_obj := $(patsubst %,$(B)/el2/%.o,$(call files,pt/*.c pt/fmt/*.c port/el2/*.c bench/el2/*.c bench/el2/*.S))

$(B)/el2/bench_el2.elf: bench/el2/bench.lds $(bench_el2_obj) $(arm_peer_obj)
	$(say) LD $@
	$(Q)$(CROSS)gcc $(bare_link) -Wl,-T,$< $(filter %.o,$^) -o $@

-include $(patsubst %,$(B)/el2/%.d,$(call files,bench/el2/*.c))

.PHONY: bench-el2
bench-el2: $(B)/el2/bench_el2.elf
	$(Q)tools/bench-el2 $<

# Ours of the benchmarks is built with the tests: what it calls must not change unseen.
test-build: $(bench_bin) $(B)/el2/bench/el2/main.c.o $(patsubst %,$(B)/hosted/%.o,$(bench_pt_src) $(bench_range_src))
