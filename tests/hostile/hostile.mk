# Hostile memory and files, under address and undefined-behaviour sanitizers.
# Targets: hostile (about 100 s), hostile-default (about 30 s), hostile-mutants,
# fuzz. HOSTILE_SECONDS and FUZZ_SECONDS say how long; STOA_TEST_SEED=N repeats
# a run; HOSTILE_FULL=1 falsifies each byte in each shape; FUZZ_NOUNS="stream"
# fuzzes only these.

HOSTILE_DIR  := tests/hostile
HOSTILE_SAN  := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all \
  -fsanitize=address,undefined
# The same as check-asan-ubsan's, so that nothing is built twice.
HOSTILE_MAKE = $(MAKE) CC=clang BUILD=build-asan-ubsan CFLAGS="$(HOSTILE_SAN)"
FUZZ_MAKE    = $(MAKE) CC=clang BUILD=build-fuzz \
  CFLAGS="$(HOSTILE_SAN),fuzzer-no-link"
FUZZ_SECONDS ?= 10
FUZZ_NOUNS ?= $(shell sed -n 's/.*\.kind = "\(.*\)".*/\1/p' $(HOSTILE_DIR)/*.c)

# Programs, and what they share.
HOSTILE_PROGRAMS := scribbler bytes aimed aimed_queue aimed_port files mapped \
  tool session
FUZZERS      := fuzz_open fuzz_operations
PACKET_FUZZERS := fuzz_packets
FUZZ_COMMON  := fuzz_common
HOSTILE_SRC  := $(filter-out $(addprefix $(HOSTILE_DIR)/,$(addsuffix .c, \
  $(HOSTILE_PROGRAMS) $(FUZZERS) $(PACKET_FUZZERS) $(FUZZ_COMMON))), \
  $(wildcard $(HOSTILE_DIR)/*.c))
HOSTILE_OBJ  := $(HOSTILE_SRC:%.c=$(BUILD)/%.o)
HOSTILE_BIN  := $(HOSTILE_PROGRAMS:%=$(BUILD)/$(HOSTILE_DIR)/%)
FUZZ_BIN     := $(patsubst %,$(BUILD)/$(HOSTILE_DIR)/%,$(FUZZERS) \
  $(PACKET_FUZZERS))
HOSTILE_WALLS := -Wl,--wrap=stoa_sys_mmap,--wrap=stoa_sys_munmap \
  -Wl,--wrap=stoa_system_call

# It races by intent, and should be fast.
$(BUILD)/$(HOSTILE_DIR)/scribble.o: $(HOSTILE_DIR)/scribble.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -fsanitize=% -O1,$(TEST_CFLAGS)) -O2 -MMD -MP \
	  -c $< -o $@

$(HOSTILE_BIN): %: %.o $(HOSTILE_OBJ) $(SUPPORT) $(BUILD)/libstoa.a
	$(Q)$(CC) $(CFLAGS) $(HOSTILE_WALLS) -o $@ $^ $(TEST_LIBS)

$(FUZZ_BIN): %: %.o $(BUILD)/$(HOSTILE_DIR)/$(FUZZ_COMMON).o $(HOSTILE_OBJ) \
  $(SUPPORT) $(BUILD)/libstoa.a
	$(Q)$(CC) $(CFLAGS) -fsanitize=fuzzer $(HOSTILE_WALLS) -o $@ $^ \
	  $(TEST_LIBS)

hostile-programs: $(HOSTILE_BIN)

hostile-run: $(HOSTILE_BIN) $(BUILD)/stoa
	$(Q)$(RUN) $(HOSTILE_BIN)

hostile:
	+$(Q)$(HOSTILE_MAKE) HOSTILE_SECONDS=$(or $(HOSTILE_SECONDS),36) \
	  hostile-run

hostile-default:
	+$(Q)$(HOSTILE_MAKE) HOSTILE_SECONDS=$(or $(HOSTILE_SECONDS),6) \
	  hostile-run

hostile-mutants:
	+$(Q)$(HOSTILE_MAKE) MUTANT="$(MUTANT)" hostile-mutants-run

hostile-mutants-run: $(HOSTILE_BIN) $(BUILD)/stoa
	$(Q)CC="$(CC)" CFLAGS="$(ALL_CFLAGS)" WALLS="$(HOSTILE_WALLS)" \
	  LIBS="$(TEST_LIBS)" $(HOSTILE_DIR)/mutants.sh $(BUILD) "$(MUTANT)"

fuzz-run: $(FUZZ_BIN)
	$(Q)$(HOSTILE_DIR)/fuzz.sh $(BUILD) $(FUZZ_SECONDS) \
	  "$(FUZZ_NOUNS)" $(FUZZERS)
	$(Q)$(HOSTILE_DIR)/fuzz.sh $(BUILD) $(FUZZ_SECONDS) group \
	  $(PACKET_FUZZERS)

fuzz:
	$(Q)$(FUZZ_MAKE) fuzz-run

.PHONY: hostile hostile-default hostile-mutants hostile-programs hostile-run \
  hostile-mutants-run fuzz fuzz-run
