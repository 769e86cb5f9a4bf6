# The benchmark: `make bench`, `make bench QUICK=1`,
# `make bench ROWS='rate64/*'`. Peers are measured when they are installed. It never gates.

BENCH_DIR := $(BUILD)/bench
BENCH_SRC := harness drive judge aims report main floors kernel queue \
             queue_more stream topic port mutex rwlock semaphore range_lock \
             segment heap descriptor dropin file_lock stream_fd process terminal
BENCH_CFLAGS := $(shell pkg-config --cflags smartcols 2>/dev/null)
BENCH_LIBS := -lsmartcols -lrt -pthread
BENCH_CXX_OBJ :=

ifneq ($(shell pkg-config --exists libqb 2>/dev/null && echo 1),)
BENCH_SRC += peers_qb
BENCH_LIBS += $(shell pkg-config --libs libqb)
endif

BOOST_QUEUE := include/boost/interprocess/ipc/message_queue.hpp
ifneq ($(wildcard /usr/$(BOOST_QUEUE) /usr/local/$(BOOST_QUEUE)),)
ifneq ($(shell command -v $(CXX) 2>/dev/null),)
BENCH_SRC += peers_boost_rows
BENCH_CXX_OBJ := $(BENCH_DIR)/peers_boost.cc.o
BENCH_LIBS += -lstdc++
endif
endif

BENCH_OBJ := $(BENCH_SRC:%=$(BENCH_DIR)/%.o) $(BENCH_CXX_OBJ)
CONSTANT_DIR := $(BUILD)/constant-token
CONSTANT_OBJ := $(LIB_SRC:%.c=$(CONSTANT_DIR)/%.o)

$(BENCH_DIR)/%.o: bench/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(BENCH_CFLAGS) -MMD -MP -c $< -o $@

$(BENCH_DIR)/%.cc.o: bench/%.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) -std=gnu++17 -Wall -Wextra $(CFLAGS) -MMD -MP -c $< -o $@

# The same library with every process's token a constant: what it costs to
# know whose each message is.
$(CONSTANT_DIR)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DSTOA_CONSTANT_TOKEN=1 -MMD -MP -c $< -o $@

$(CONSTANT_DIR)/libstoa.a: $(CONSTANT_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BENCH_DIR)/stoa-bench: $(BENCH_OBJ) $(BUILD)/libstoa.a
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(BENCH_LIBS)

$(BENCH_DIR)/stoa-bench-constant-token: $(BENCH_OBJ) $(CONSTANT_DIR)/libstoa.a
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(BENCH_LIBS)

# Loads of the drop-in: one file of each noun, bench/dropin_load_<noun>.c.
LOAD_OBJ := $(patsubst bench/%.c,$(BENCH_DIR)/%.o,$(wildcard bench/dropin_load*.c))

$(BENCH_DIR)/dropin-load: $(LOAD_OBJ)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ -lrt -pthread

bench-build: $(BENCH_DIR)/dropin-load $(BUILD)/$(DROPIN) $(BENCH_DIR)/stoa-bench $(BENCH_DIR)/stoa-bench-constant-token

bench: bench-build
	$(Q)$(BENCH_DIR)/stoa-bench $(if $(QUICK),--quick) \
	  $(if $(ROWS),--rows '$(ROWS)') --json $(BUILD)/bench.json
	@echo "written: $(BUILD)/bench.json"

-include $(LOAD_OBJ:.o=.d) $(BENCH_OBJ:.o=.d) $(CONSTANT_OBJ:.o=.d)

.PHONY: bench bench-build
