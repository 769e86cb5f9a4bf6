# conformance.mk: conformance (each call and rule on the kernel and under the
# drop-in, whose answers must be equal) and conformance-mutants (each fault of
# dropin/fault.h must be caught).

CONFORMANCE_SRC := $(filter-out %/conformance.c,\
                     $(sort $(wildcard tests/conformance/*.c)))
CONFORMANCE_BIN := $(CONFORMANCE_SRC:%.c=$(BUILD)/%)
CONFORMANCE_OWN := $(BUILD)/tests/conformance/conformance.o

$(CONFORMANCE_BIN): %: %.o $(CONFORMANCE_OWN)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ -pthread

tests: $(CONFORMANCE_BIN)

conformance: $(CONFORMANCE_BIN) $(BUILD)/libstoa-dropin.so
	$(Q)BUILD=$(BUILD) tests/conformance/run

conformance-mutants: $(CONFORMANCE_BIN) $(BUILD)/libstoa-dropin-faults.so
	$(Q)BUILD=$(BUILD) tests/conformance/mutants

.PHONY: conformance conformance-mutants
