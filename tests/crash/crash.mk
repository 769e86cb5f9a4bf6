# The crash harness. Targets: crash crash-default crash-mutants.

CRASH_DIR  := tests/crash
CRASH_SRC  := $(sort $(wildcard $(CRASH_DIR)/*.c))
CRASH_OBJ  := $(CRASH_SRC:%.c=$(BUILD)/%.o)
# Linked statically and at fixed addresses: a place is named by its address.
CRASH_LINK := -static -no-pie
# One more than processors: some of the jobs wait for slices.
CRASH_JOBS ?= $(shell echo $$(($$(nproc) + 1)))

# The harness's own text gets a name, to tell it from the library's.
$(CRASH_OBJ): $(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -I. -fno-pie -MMD -MP -c $< -o $@
	$(Q)objcopy --rename-section .text=crash_text $@

# Of the drop-in what is swept, by its calls' own names.
$(BUILD)/libdropin.a: $(DROPIN_PLAIN)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/crash: $(CRASH_OBJ) $(BUILD)/libdropin.a $(BUILD)/libstoa.a
	$(Q)$(CC) $(CFLAGS) $(CRASH_LINK) -o $@ $(CRASH_OBJ) \
	  $(BUILD)/libdropin.a $(BUILD)/libstoa.a -pthread

crash: $(BUILD)/crash
	$(Q)$(BUILD)/crash -p full -j $(CRASH_JOBS)

crash-default: $(BUILD)/crash
	$(Q)$(BUILD)/crash -p default -j $(CRASH_JOBS)

crash-mutants: $(BUILD)/crash
	$(Q)sh $(CRASH_DIR)/mutants.sh $(BUILD)

-include $(CRASH_OBJ:.o=.d)

.PHONY: crash crash-default crash-mutants
