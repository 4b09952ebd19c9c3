# Where Tokens Go: every command there is. `make help` lists them.

# Knobs, for the command line: make chapter3 ARGS="--top-k 2"
ARGS ?=
SEED ?= 1
AUTHOR ?=
FLAVOR ?=
BUILD ?= build$(AUTHOR:%=/author)$(FLAVOR:%=/%)
CFLAGS ?= -O3 -g

goals := $(or $(MAKECMDGOALS),all)
untangled := help clean lint check-tangled test steps
need = $(foreach tool,$1,$(if $(shell command -v $(tool) 2>/dev/null),,\
    $(error $(tool) is not installed, and `make $(firstword $(goals))' needs it. Type: ./setup$2)))
wants = $(filter $1,$(goals))

ifneq ($(call wants,lint check-tangled),)
  $(call need,notangle)
endif
ifneq ($(call wants,all html quoted check-quoted promote),)
  $(call need,noweave pandoc gnuplot dot)
endif
ifneq ($(call wants,pdf),)
  $(call need,noweave pandoc gnuplot dot lualatex, pdf)
endif

# Tangling happens here, before the lists of files are read. It decides by
# content, is silent when there is nothing to do, and does not need noweb then.
# Tests do not tangle: they find tangled/ as it is.
tangled := $(if $(AUTHOR),build/author,tangled)
ifneq ($(filter-out $(untangled),$(goals)),)
ifneq ($(TANGLED_IN),$(CURDIR))
  ifneq ($(shell book/tangle $(if $(AUTHOR),--author $(tangled)) 1>&2 || echo failed),)
    $(error tangling failed)
  endif
endif
endif
export TANGLED_IN := $(CURDIR)

# A unit is a chapter or an appendix that tangles: 03-top-k, B-common-ground.
units := $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard tangled/*/*)))))
chapters := $(filter 0% 1% 2%,$(units))
appendices := $(filter-out $(chapters),$(units))
number = $(patsubst 0%,%,$(firstword $(subst -, ,$1)))
numbers := $(foreach unit,$(chapters),$(call number,$(unit)))
programs := $(numbers:%=$(BUILD)/chapter%)
suites := $(numbers:%=test%)

sources = $(foreach unit,$1,$(sort $(notdir $(wildcard tangled/$(unit)/*.c))))
objects = $(foreach unit,$1,$(patsubst %.c,$(BUILD)/obj/$(unit)/%.o,$(call sources,$(unit))))
modules = $(filter-out $(foreach n,$(numbers),%/chapter$(n).o %/lessons$(n).o),$(call objects,$1))
folders = $(1:%=-I$(tangled)/%)

flags := -std=c11 -ffp-contract=off \
    -Wall -Wextra -Wpedantic -Wshadow -Wmissing-prototypes -Wvla
sanitizers := -O1 -g -fno-omit-frame-pointer \
    -fsanitize=address,undefined -fno-sanitize-recover=all
ifeq ($(FLAVOR),strict)
  flags += $(CFLAGS) -Werror
else ifeq ($(FLAVOR),sanitize)
  flags += $(sanitizers)
else ifeq ($(FLAVOR),double)
  flags += $(sanitizers) -DREAL_DOUBLE
else ifeq ($(FLAVOR),)
  flags += $(CFLAGS) $(if $(WERROR),-Werror)
else
  $(error FLAVOR must be strict, sanitize or double, got '$(FLAVOR)' (try FLAVOR=strict))
endif

## make: tangle, run the chapters, weave the HTML book
.PHONY: all
all: runs
	@$(MAKE) --no-print-directory html
	@echo "The book is book/html/index.html: open it in a browser."

# A run also proves a program: what it prints is in the book.
.PHONY: runs
runs: $(programs)
	@for program in $(programs); do \
	    echo "  run     $$program"; \
	    $$program >$(BUILD)/run.log || { cat $(BUILD)/run.log; exit 1; }; \
	done

## make chapter3: run chapter 3's program; ARGS="--help" lists its options
chapter_goals := $(numbers:%=chapter%)
.PHONY: $(chapter_goals)
$(chapter_goals): chapter%: $(BUILD)/chapter%
	@$< $(ARGS)

## make programs: build all chapters' programs
.PHONY: programs
programs: $(programs)

# A file that is missing from a list, or other flags, make everything anew.
settings := $(CC) $(flags) $(call sources,$(units))
ifneq ($(filter-out help clean lint check-tangled tangle,$(goals)),)
  $(call need,$(firstword $(CC)))
  $(shell mkdir -p $(BUILD); echo '$(settings)' | cmp -s - $(BUILD)/settings || \
      echo '$(settings)' >$(BUILD)/settings)
endif

$(BUILD)/names.inc: data/names.txt
	@mkdir -p $(@D)
	@sed 's/.*/"&",/' $< >$@

compile = @echo "  cc      $@"; mkdir -p $(@D); \
    $(CC) $(flags) -MMD -MP -I$(BUILD)
link = @echo "  link    $@"; $(CC) $(flags) -o $@ $(filter %.o,$^)

# rules FOR-UNIT,UNITS-IT-MAY-USE
define rules
$(call objects,$1): $(BUILD)/obj/$1/%.o: $(tangled)/$1/%.c $(BUILD)/settings | $(BUILD)/names.inc
	$$(compile) $(call folders,$2) -c -o $$@ $$<
endef
define program
$(BUILD)/chapter$3: $(call modules,$2) \
    $(filter %/chapter$3.o %/lessons$3.o,$(call objects,$1)) $(BUILD)/settings
	$$(link) -lm
endef
upto = $(appendices) $(foreach unit,$(chapters),$(if $(filter $(firstword $(sort $(unit) $1)),$(unit)),$(unit)))
$(foreach unit,$(appendices),$(eval $(call rules,$(unit),$(appendices))))
$(foreach unit,$(chapters),$(eval $(call rules,$(unit),$(call upto,$(unit)))))
$(foreach unit,$(chapters),$(eval $(call program,$(unit),$(call upto,$(unit)),$(call number,$(unit)))))
-include $(wildcard $(BUILD)/obj/*/*.d)

## make tangle: bring tangled/ up to date with the chapters (others do it, too)
.PHONY: tangle
tangle: ;

## make check-tangled: prove that tangled/ is exactly what the chapters define
.PHONY: check-tangled
check-tangled:
	@book/tangle --check

## make lint: find chunks that are undefined, unused, too long or too wide
.PHONY: lint
lint:
	@book/lint

## make test: everything: tangled/, lint, the press, all suites, quotes, pages
## make test3: chapter 3's suite, in all flavors; SEED=7 draws other cases
## make clean: remove what can be built again
.PHONY: clean
clean:
	rm -rf build book/html book/book.pdf book/book.epub

## make help: this list
.PHONY: help
help:
	@cat $(MAKEFILE_LIST) | sed -n 's/^## //p'

ifneq ($(wildcard book/pages.mk),)
include book/pages.mk
endif
