# Cards that verify in the page, and figures that move: the lessons' C as WebAssembly, where clang and
# wasi-libc are installed. Included by ../Makefile, before pages.mk, which publishes $(CARDS).
#
#   tangled/ -clang-> build/lessons.wasm -gzip, base64-> build/html/lessons.js, which cards.js loads

WASM_CC ?= clang --target=wasm32-wasi
wasm_works = $(shell mkdir -p build && echo '$(hash)include <stdio.h>' | \
    $(WASM_CC) -mexec-model=reactor -x c - -o build/probe.wasm -lm >/dev/null 2>&1 && echo yes)

# The page calls what page.h declares; of the rest, the linker keeps what is called.
page_header := $(tangled)/A-lesson-runner/page.h
CARDS := $(if $(call wants,html woven),$(if $(wildcard $(page_header)),$(if $(wasm_works),cards.js lessons.js)))
wasm_sources = $(filter-out %/predict.c %/live.c %/vectors.c %/args.c %/program.c %/alltoall.c $(foreach n,$(numbers),%/chapter$(n).c),\
    $(foreach unit,$(units),$(addprefix $(unit)/,$(call sources,$(unit)))))
wasm_objects = $(wasm_sources:%.c=$(BUILD)/wasm/%.o)
# Small, but for what training waits for.
wasm_fast := %/matrix.o %/ffn.o %/softmax.o %/mlp.o %/weights.o
wasm_flags = -std=c11 -ffp-contract=off -Wall -Wextra -Wpedantic -Wshadow -Wmissing-prototypes -Wvla \
    -msimd128 $(if $(filter $(wasm_fast),$1),-O3,-Oz) -MMD -MP -I$(BUILD) -I$(plain) $(call folders,$(units))
$(wasm_objects): $(BUILD)/wasm/%.o: $(tangled)/%.c book/cards.mk $(BUILD)/settings | $(BUILD)/names.inc $(if $(wildcard data/routers.tsv),$(BUILD)/routers.inc) $(BUILD)/lessons.inc $(BUILD)/live.inc
	@mkdir -p $(@D)
	@$(WASM_CC) $(call wasm_flags,$@) -c -o $@ $<
$(BUILD)/wasm/B-common-ground/trained.o: $(plain)/charlm.inc
$(BUILD)/lessons.wasm: $(wasm_objects)
	@echo "  wasm    $@"
	@$(WASM_CC) -mexec-model=reactor -Wl,--strip-all $^ \
	    $$(sed -n 's/.*[ *]\(page_[a-z]*\)(.*/-Wl,--export=\1/p' $(page_header)) -o $@.new -lm && mv $@.new $@
-include $(wildcard $(BUILD)/wasm/*/*.d)

# Pages hang on this: they say whether they verify.
build/verifies: always
	@mkdir -p $(@D) && echo '$(CARDS)' >$@.new; $(call keep,$@)

build/html/lessons.js: $(BUILD)/lessons.wasm
	@mkdir -p $(@D)
	@{ printf "var wtgLessons = '"; gzip -n9 <$< | base64 | tr -d '\n'; echo "'"; } >$@.new && mv $@.new $@
build/html/cards.js: book/cards.js book/path.js book/live.js
	@mkdir -p $(@D) && cat $^ >$@

# The same C as a program, for the tests of the pages.
$(filter %/page.o,$(call objects,$(appendices))): | $(BUILD)/lessons.inc
$(BUILD)/page: tests/site/native.c $(filter %/page.o,$(call objects,$(appendices))) $(lessons) $(library) $(BUILD)/settings
	@echo "  link    $@"; $(CC) $(flags) $(call folders,$(units)) -o $@ $(filter %.c %.o %.a,$^) $(libraries) -lm
