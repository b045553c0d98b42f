# Release targets for a Makefile of your own:
#
#   EDGEPRUNE_RECIPE := edgeprune.toml          # the default
#   include $(shell edgeprune makefile)
#
#   make release-raspberry-pi-4                 # dist/raspberry-pi-4/, its gates passed
#   make release                                # every target in EDGEPRUNE_TARGETS
#
# A changed recipe, model, data file or profile rebuilds; nothing changed rebuilds nothing: what
# each release depends on is in its depfile, written by edgeprune as compilers write theirs; a file
# that comes into a data folder or under a glob of `depends` rebuilds too, and so does a depfile
# that is missing. Safe under `make -j`: runs in one build directory wait for each other. The exit
# code of edgeprune is make's error (3: a broken gate). EDGEPRUNE_OUTPUT is the recipe's `output`.

EDGEPRUNE ?= edgeprune
EDGEPRUNE_RECIPE ?= edgeprune.toml
EDGEPRUNE_OUTPUT ?= $(patsubst ./%,%,$(dir $(EDGEPRUNE_RECIPE)))dist
EDGEPRUNE_DEPS ?= $(patsubst ./%,%,$(dir $(EDGEPRUNE_RECIPE))).edgeprune/make
EDGEPRUNE_TARGETS ?= host
EDGEPRUNE_FLAGS ?=

.PHONY: release
release: $(EDGEPRUNE_TARGETS:%=release-%)

.PHONY: $(EDGEPRUNE_TARGETS:%=release-%)
$(EDGEPRUNE_TARGETS:%=release-%): release-%: $(EDGEPRUNE_OUTPUT)/%/manifest.json

$(EDGEPRUNE_OUTPUT)/%/manifest.json: $(EDGEPRUNE_RECIPE)
	$(EDGEPRUNE) run $(EDGEPRUNE_RECIPE) --target $* --wait --depfile $(EDGEPRUNE_DEPS)/$*.d --depfile-goal $@ $(EDGEPRUNE_FLAGS)

# A depfile that is not there counts as new, and what depends on it is made again.
$(EDGEPRUNE_TARGETS:%=$(EDGEPRUNE_OUTPUT)/%/manifest.json): $(EDGEPRUNE_OUTPUT)/%/manifest.json: $(EDGEPRUNE_DEPS)/%.d

$(EDGEPRUNE_TARGETS:%=$(EDGEPRUNE_DEPS)/%.d): ;

-include $(wildcard $(EDGEPRUNE_DEPS)/*.d)
