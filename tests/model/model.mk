# The protocols in spin. Targets: model (about a minute), model-full.

model:
	$(Q)sh tests/model/run.sh $(BUILD)

model-full:
	$(Q)sh tests/model/run.sh $(BUILD) full

.PHONY: model model-full
