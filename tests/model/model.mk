# The protocols in spin. Targets: model (a minute or two of one processor),
# model-full (many minutes).

model:
	$(Q)sh tests/model/run.sh $(BUILD)

model-full:
	$(Q)sh tests/model/run.sh $(BUILD) full

.PHONY: model model-full
