# dropin.mk: libstoa-dropin.so, which has libstoa in it; its implementation
# without libc's names, for the command; and a build with seeded faults.

DROPIN       := libstoa-dropin.so
DROPIN_SRC   := $(sort $(wildcard dropin/*.c))
DROPIN_PIC   := $(DROPIN_SRC:%.c=$(BUILD)/%.pic.o)
DROPIN_FAULT := $(DROPIN_SRC:%.c=$(BUILD)/%.fault.o)
DROPIN_PLAIN := $(patsubst %.c,$(BUILD)/%.o,\
                  $(filter-out %_symbols.c,$(DROPIN_SRC)))
DROPIN_LINK   = $(CC) $(CFLAGS) -shared -Wl,-soname,$(DROPIN) \
                  -Wl,--version-script=dropin/symbols.map -o $@ \
                  $(filter %.o,$^) -pthread -ldl

all: $(BUILD)/$(DROPIN)

$(BUILD)/$(DROPIN): $(DROPIN_PIC) $(PIC_OBJ) dropin/symbols.map
	$(Q)$(DROPIN_LINK)

$(BUILD)/libstoa-dropin-faults.so: $(DROPIN_FAULT) $(PIC_OBJ) dropin/symbols.map
	$(Q)$(DROPIN_LINK)

$(BUILD)/dropin/%.fault.o: dropin/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -DDROPIN_FAULTS -MMD -MP -c $< -o $@

-include $(DROPIN_PIC:.o=.d) $(DROPIN_PLAIN:.o=.d) $(DROPIN_FAULT:.o=.d)
