# SPDX-License-Identifier: BSD-2-Clause
#
# Fuzz targets (tests/fuzz/fuzz.h): with libFuzzer for `make fuzz`, over the kept inputs in `make test`.
fuzz_src := $(call files,tests/fuzz/fuzz_*.c)
$(eval $(call hosted_build,fuzz,$(CLANG),-O1 -g -fsanitize=fuzzer-no-link$(comma)address$(comma)undefined \
    -fno-sanitize-recover=all))
fuzz_programs := $(fuzz_src:tests/fuzz/%.c=$(B)/fuzz/%)
fuzz_replays := $(fuzz_src:tests/fuzz/%.c=$(B)/asan/%)
-include $(fuzz_src:%=$(B)/fuzz/%.d) $(fuzz_src:%=$(B)/asan/%.d)

$(B)/fuzz/fuzz_%: $(B)/fuzz/tests/fuzz/fuzz_%.c.o $(B)/fuzz/libtest.a $(B)/fuzz/libtenon.a
	$(say) LD $@
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -pthread $< -Wl,--start-group $(filter %.a,$^) \
	    -Wl,--end-group -lcmocka -lfdt -o $@

$(B)/asan/fuzz_%: $(B)/asan/tests/fuzz/fuzz_%.c.o $(B)/asan/tests/fuzz/replay.c.o $(B)/asan/libtest.a \
    $(B)/asan/libtenon.a
	$(say) LD $@
	$(Q)$(CC) -fsanitize=address,undefined -pthread $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) \
	    -Wl,--end-group -lcmocka -lfdt -o $@

# T=seconds for each. What it finds new is left in build/fuzz/corpus, a failure in build/fuzz/NAME-*.
fuzz: $(fuzz_programs)
	$(Q)tools/fuzz $(or $(T),60) $^

.PHONY: fuzz

# Parts of the hypervisor among a C library's headers are looked at where they belong.
tidy_fuzz := tests/fuzz/fuzz_pt.c tests/fuzz/replay.c
every_c += $(call files,tests/fuzz/*.[ch])
