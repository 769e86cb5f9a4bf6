# tests.mk: check (layers, and all tests of rooms, faults and the command),
# check-asan-ubsan, check-tsan; crash, hostile, fuzz, model and conformance
# come from files of their own.
# V=1 shows every case; STOA_TEST_SEED=N repeats a run; JOBS=N says how many
# programs run at once.

TEST_CFLAGS := $(ALL_CFLAGS) -Itests/support -I.
TEST_LIBS   := -lcmocka -pthread
SUPPORT     := $(BUILD)/tests/libsupport.a
SUPPORT_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support/*.c))

TEST_SRC  := $(sort $(wildcard $(addprefix tests/,$(addsuffix /*.c,\
               base space sync memory data kernel process))))
TEST_BIN  := $(TEST_SRC:%.c=$(BUILD)/%)
DROPIN_TEST_SRC := $(sort $(wildcard tests/dropin/*.c))
DROPIN_TEST_BIN := $(DROPIN_TEST_SRC:%.c=$(BUILD)/%)
FAULT_SRC := $(sort $(wildcard tests/fault/*.c))
FAULT_BIN := $(filter-out %/inject,$(FAULT_SRC:%.c=$(BUILD)/%))
FAULT_LIB := $(BUILD)/testing/libstoa.a
FAULT_OBJ := $(LIB_SRC:%.c=$(BUILD)/testing/%.o)
DROPIN_TESTING := $(DROPIN_PLAIN:$(BUILD)/%=$(BUILD)/testing/%)
FAULT_WRAP := $(foreach name,malloc calloc aligned_alloc strdup \
                pthread_create,-Wl,--wrap=$(name))
TOOL_TEST := $(sort $(wildcard tests/tool/*.sh))
RUN       := BUILD=$(BUILD) tests/support/run

$(BUILD)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/testing/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DSTOA_TESTING -MMD -MP -c $< -o $@

$(SUPPORT): $(SUPPORT_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(FAULT_LIB): $(FAULT_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(TEST_BIN): %: %.o $(SUPPORT) $(BUILD)/libstoa.a
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(TEST_LIBS)

# The calls by their own names, dropin_msgget() and its like: libc's are the
# kernel's here.
$(DROPIN_TEST_BIN): %: %.o $(SUPPORT) $(DROPIN_PLAIN) $(BUILD)/libstoa.a
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(TEST_LIBS)

$(BUILD)/tests/fault/dropin_faults: $(DROPIN_TESTING)

$(FAULT_BIN): %: %.o $(BUILD)/tests/fault/inject.o $(SUPPORT) $(FAULT_LIB)
	$(Q)$(CC) $(CFLAGS) $(FAULT_WRAP) -o $@ $(filter %.o,$^) \
	  $(filter %.a,$^) $(TEST_LIBS)

tests: $(TEST_BIN) $(DROPIN_TEST_BIN) $(FAULT_BIN)

check: all tests
	$(Q)$(RUN) scripts/check-layers $(TOOL_TEST) $(FAULT_BIN) $(TEST_BIN) \
	  $(DROPIN_TEST_BIN)

layers:
	$(Q)scripts/check-layers

# The same tests with library and tests rebuilt.
comma := ,
ADDRESS_AND_UNDEFINED := address$(comma)undefined
SANITIZED = $(MAKE) CC=clang BUILD=build-$(1) CFLAGS="-O1 -g \
  -fno-omit-frame-pointer -fno-sanitize-recover=all -fsanitize=$(2)" $(3)

# One does not hide what the other finds, and together they take half the time.
# Without its stack for signals: a thread that was cancelled left its frames
# without telling, and what marks them would be taken for an overflow at its end.
check-asan-ubsan:
	+$(Q)ASAN_OPTIONS=use_sigaltstack=0 $(call SANITIZED,asan-ubsan,$(ADDRESS_AND_UNDEFINED),run-tests)

check-tsan:
	+$(Q)TSAN_OPTIONS=halt_on_error=1 $(call SANITIZED,tsan,thread,run-threads)

run-tests: tests
	$(Q)$(RUN) $(FAULT_BIN) $(TEST_BIN) $(DROPIN_TEST_BIN)

# But for threads that start processes: the sanitizer's run time doesn't survive
# a clone() of several threads at once.
THREAD_BIN := $(filter-out %/process_threads,$(filter %threads,$(TEST_BIN)))
run-threads: $(THREAD_BIN)
	$(Q)$(RUN) $(THREAD_BIN)

.PHONY: tests layers check check-asan-ubsan check-tsan \
        run-tests run-threads crash hostile fuzz model

-include $(wildcard $(BUILD)/tests/*/*.d) $(FAULT_OBJ:.o=.d)
-include tests/crash/crash.mk tests/hostile/hostile.mk tests/model/model.mk
-include tests/conformance/conformance.mk
