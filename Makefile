# stoa: a plain makefile. Targets: all check check-asan-ubsan check-tsan
# crash hostile layers bench fuzz install uninstall clean.
# CC, CFLAGS, PREFIX, DESTDIR and V=1 are honoured; BUILD is where things go.

CC      ?= cc
PREFIX  ?= /usr/local
BUILD   ?= build
CFLAGS  ?= -O2 -g
VERSION := 0.1.0
SONAME  := libstoa.so.0

WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE $(WARN) -fvisibility=hidden -Iinclude -Isrc $(CFLAGS)
Q       := $(if $(V),,@)

LIB_SRC  := $(sort $(wildcard src/*/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
PIC_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.pic.o)
TOOL_SRC := $(sort $(wildcard tool/*.c))
TOOL_OBJ := $(TOOL_SRC:%.c=$(BUILD)/%.o)

all: $(BUILD)/libstoa.a $(BUILD)/$(SONAME) $(BUILD)/stoa

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/%.pic.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -MMD -MP -c $< -o $@

$(BUILD)/libstoa.a: $(LIB_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/$(SONAME): $(PIC_OBJ) src/libstoa.map
	$(Q)$(CC) $(CFLAGS) -shared -Wl,-soname,$(SONAME) \
	  -Wl,--version-script=src/libstoa.map -o $@ $(PIC_OBJ) -pthread
	$(Q)ln -sf $(SONAME) $(BUILD)/libstoa.so

$(BUILD)/stoa: $(TOOL_OBJ) $(BUILD)/libstoa.a
	$(Q)$(CC) $(CFLAGS) -o $@ $(TOOL_OBJ) $(BUILD)/libstoa.a \
	  -lsmartcols -lncursesw -ltinfo -lcrypto -pthread

include dropin/dropin.mk
include scripts/install.mk
include tests/tests.mk
include bench/bench.mk

-include $(LIB_OBJ:.o=.d) $(PIC_OBJ:.o=.d) $(TOOL_OBJ:.o=.d)

clean:
	rm -rf $(BUILD)

.PHONY: all clean
.DEFAULT_GOAL := all
