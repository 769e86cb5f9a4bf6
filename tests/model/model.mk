# The protocols in spin. Target: model.

model:
	$(Q)sh tests/model/run.sh $(BUILD)

.PHONY: model
