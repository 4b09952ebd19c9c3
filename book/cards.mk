# Cards that verify in the page: the lessons' C as WebAssembly, where clang and
# wasi-libc are installed. Included by ../Makefile, before pages.mk, which publishes $(CARDS).
#
#   tangled/ -clang-> build/lessons.wasm -base64-> build/html/lessons.js, which cards.js loads

WASM_CC ?= clang --target=wasm32-wasi
WASM_FLAGS := -std=c11 -ffp-contract=off -Wall -Wextra -Wpedantic -Wshadow -Wmissing-prototypes -Wvla \
    -O3 -msimd128 -mexec-model=reactor -Wl,--strip-all
wasm_works = $(shell mkdir -p build && echo '$(hash)include <stdio.h>' | \
    $(WASM_CC) -mexec-model=reactor -x c - -o build/probe.wasm -lm >/dev/null 2>&1 && echo yes)

# The page calls what page.h declares; of the rest, the linker keeps what is called.
page_header := $(tangled)/A-lesson-runner/page.h
CARDS := $(if $(call wants,html woven),$(if $(wildcard $(page_header)),$(if $(wasm_works),cards.js lessons.js)))
wasm_sources = $(filter-out %/predict.c %/vectors.c %/args.c %/program.c $(foreach n,$(numbers),%/chapter$(n).c),\
    $(foreach unit,$(units),$(addprefix $(tangled)/$(unit)/,$(call sources,$(unit)))))
$(BUILD)/lessons.wasm: $(wasm_sources) $(wildcard $(tangled)/*/*.h) book/cards.mk $(BUILD)/settings \
    $(plain)/charlm.inc | $(BUILD)/names.inc $(BUILD)/lessons.inc
	@echo "  wasm    $@"
	@$(WASM_CC) $(WASM_FLAGS) -I$(BUILD) -I$(plain) $(call folders,$(units)) $(wasm_sources) \
	    $$(sed -n 's/.*[ *]\(page_[a-z]*\)(.*/-Wl,--export=\1/p' $(page_header)) -o $@.new -lm && mv $@.new $@

# Pages hang on this: they say whether they verify.
build/verifies: always
	@mkdir -p $(@D) && echo '$(CARDS)' >$@.new; $(call keep,$@)

build/html/lessons.js: $(BUILD)/lessons.wasm
	@mkdir -p $(@D)
	@{ printf "var wtgLessons = '"; base64 <$< | tr -d '\n'; echo "'"; } >$@.new && mv $@.new $@
build/html/cards.js: book/cards.js
	@mkdir -p $(@D) && cp $< $@
