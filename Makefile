# Where Tokens Go: every command there is. `make help` lists them.

# Knobs, for the command line: make chapter3 ARGS="--top-k 2"
ARGS ?=
SEED ?= 1
AUTHOR ?=
FLAVOR ?=
WITHOUT ?=
empty :=
BUILD ?= build$(AUTHOR:%=/author)$(FLAVOR:%=/%)$(if $(WITHOUT),-without-$(subst $(empty) ,-,$(strip $(WITHOUT))))
CFLAGS ?= -O3 -g

hash := \#
MAKEFLAGS += --no-builtin-rules
goals := $(or $(MAKECMDGOALS),all)
untangled := help clean lint check-tangled $(if $(AUTHOR),,test)
need = $(foreach tool,$1,$(if $(shell command -v $(tool) 2>/dev/null),,\
    $(error $(tool) is not installed, and `make $(firstword $(goals))' needs it. Type: ./setup$2)))
wants = $(filter $1,$(goals))

ifneq ($(call wants,check-tangled),)
  $(call need,notangle)
endif
ifneq ($(call wants,all html epub quoted check-quoted promote),)
  $(call need,noweave pandoc gnuplot dot)
endif
ifneq ($(call wants,pdf dist),)
  $(call need,noweave pandoc gnuplot dot lualatex, pdf)
endif
ifneq ($(call wants,test),)
  $(call need,notangle noweave pandoc gnuplot dot lualatex pdfinfo epubcheck aspell chromium java node mpicc mpirun, test)
endif
ifneq ($(call wants,fuzz),)
  $(call need,clang, fuzz)
endif
ifneq ($(call wants,test suites test%),)
  ifeq ($(shell echo '$(hash)include <CUnit/Basic.h>' | $(CC) -E - >/dev/null 2>&1 && echo found),)
    $(error CUnit is not installed, and the tests need it. Type: ./setup test)
  endif
endif

ifneq ($(WITHOUT),)
ifneq ($(FLAVOR)$(filter-out openmp onednn,$(WITHOUT)),fast)
  $(error WITHOUT is openmp, onednn or both, and goes with FLAVOR=fast, got '$(WITHOUT)' (try FLAVOR=fast WITHOUT=onednn))
endif
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
# A long chapter is parts, 07a-... and 07b-...: one number, one program, in the last.
number = $(patsubst 0%,%,$(patsubst %a,%,$(patsubst %b,%,$(firstword $(subst -, ,$1)))))
sources = $(foreach unit,$1,$(sort $(notdir $(wildcard tangled/$(unit)/*.c))))
numbers := $(patsubst chapter%.c,%,$(filter chapter%.c,$(call sources,$(chapters))))
programs := $(numbers:%=$(BUILD)/chapter%)

objects = $(foreach unit,$1,$(patsubst %.c,$(BUILD)/obj/$(unit)/%.o,$(call sources,$(unit))))
mains := %/predict.o %/page.o %/live.o %/vectors.o $(foreach n,$(numbers),%/chapter$(n).o %/lessons$(n).o)
# Chapter 11's ranks run on Open MPI, where it is found. Of the modules, alltoall alone has mpi.h.
MPICC ?= mpicc
mpi := $(shell command -v $(MPICC) 2>/dev/null)
mpi_objects := %/alltoall.o %/ranks.o
mpi_flags = $(if $(mpi),$(patsubst -I%,-isystem%,$(shell $(MPICC) --showme:compile)))
mpi_libraries = $(if $(mpi),$(shell $(MPICC) --showme:link))
modules = $(filter-out $(mains) $(if $(mpi),,%/alltoall.o),$(call objects,$(units)))
library = $(BUILD)/lib.a
lessons = $(filter $(foreach n,$(numbers),%/lessons$(n).o),$(call objects,$(chapters)))
folders = $(1:%=-I$(tangled)/%)

flags := -std=c11 -ffp-contract=off -fno-math-errno \
    -Wall -Wextra -Wpedantic -Wshadow -Wmissing-prototypes -Wvla
# At -O1 they are compiled in half the time, and run as fast.
sanitizers := $(CFLAGS) -O1 -fno-omit-frame-pointer \
    -fsanitize=address,undefined -fno-sanitize-recover=all
ifeq ($(FLAVOR),strict)
  flags += $(CFLAGS) -Werror
else ifeq ($(FLAVOR),sanitize)
  flags += $(sanitizers)
else ifeq ($(FLAVOR),double)
  flags += $(CFLAGS) -Werror -DREAL_DOUBLE
else ifeq ($(FLAVOR),fast)
  # OpenMP and oneDNN where they are found; without them, as with WITHOUT="openmp onednn",
  # the same results.
  accepts = $(shell echo 'int main(void) { return 0; }' | $(CC) -x c $1 -o /dev/null - $2 >/dev/null 2>&1 && echo yes)
  flags += $(CFLAGS) -march=native -Werror -DMATRIX_FAST -Wno-psabi
  ifeq ($(call accepts,-mprefer-vector-width=512),yes)
    flags += -mprefer-vector-width=512
  endif
  ifeq ($(filter openmp,$(WITHOUT))$(call accepts,-fopenmp),yes)
    flags += -fopenmp
  endif
  ifeq ($(filter onednn,$(WITHOUT))$(call accepts,-include oneapi/dnnl/dnnl.h,-ldnnl),yes)
    flags += -DMATRIX_ONEDNN
    libraries += -ldnnl
  endif
else ifeq ($(FLAVOR),)
  flags += $(CFLAGS) $(if $(WERROR),-Werror)
else
  $(error FLAVOR must be strict, sanitize, double or fast, got '$(FLAVOR)' (try FLAVOR=strict))
endif

## make: tangle, run the chapters, weave the HTML book
# What programs print is in the book, so that weaving runs, and proves, them all.
.PHONY: all always
all:
	@$(MAKE) --no-print-directory html
	@echo "The book is book/html/index.html: open it in a browser."

## make chapter3: run chapter 3's program; ARGS="--help" lists its options
chapter_goals := $(numbers:%=chapter%)
.PHONY: $(chapter_goals)
$(chapter_goals): chapter%: $(BUILD)/chapter%
	@$< $(ARGS)

# Asked for a chapter that does not exist.
chapter%:
	@echo "make: there is no chapter $*; there are: $(numbers) (try make chapter$(firstword $(numbers)))" >&2; exit 2

## make programs: build all chapters' programs
.PHONY: programs
programs: $(programs) $(BUILD)/predict $(BUILD)/live $(if $(filter 10,$(numbers)),$(BUILD)/routers.read)

# A row of the table that contradicts itself ends the build, with its line.
$(BUILD)/routers.read: $(BUILD)/chapter10
	@$(RUN) $< --values >$@.new && mv $@.new $@

## make predict3: predict, then verify chapter 3; make predict LESSON=3.2: just one
predict = @$(BUILD)/predict $1 $(if $(filter file,$(origin SEED)),,--seed $(SEED)) $(ARGS)
predict_goals := $(numbers:%=predict%)
.PHONY: predict progress today $(predict_goals)
predict: $(BUILD)/predict
	$(call predict,$(LESSON))
$(predict_goals): predict%: $(BUILD)/predict
	$(call predict,$*)

predict%:
	@echo "make: there is no chapter $*; there are: $(numbers) (try make predict$(firstword $(numbers)))" >&2; exit 2

## make today: today's step of a learning path, and what is due again
today: $(BUILD)/predict
	@$< --today $(ARGS)

## make progress: the lessons done, and how good the predictions were
progress: $(BUILD)/predict
	@$< --progress $(ARGS)

# A file that is missing from a list, or other flags, make everything anew.
settings := $(CC) $(mpi) $(flags) $(call sources,$(units)) $(notdir $(wildcard tests/*.c))
ifneq ($(filter-out help clean lint check-tangled tangle,$(goals)),)
  $(call need,$(firstword $(CC)))
  ifneq ($(shell mkdir -p $(BUILD); echo '$(settings)' | cmp -s - $(BUILD)/settings || { \
      echo 'int main(void) { return 0; }' | $(CC) $(flags) -MMD -MP -MF $(BUILD)/probe.d -x c -c - -o $(BUILD)/probe.o 1>&2 && \
      echo '$(settings)' >$(BUILD)/settings || echo refused; }),)
    $(error $(CC) does not take what the build asks of it, '$(flags) -MMD -MP': gcc and clang do (try CC=gcc))
  endif
endif

$(BUILD)/names.inc: data/names.txt
	@mkdir -p $(@D)
	@sed 's/.*/"&",/' $< >$@
$(BUILD)/routers.inc: data/routers.tsv
	@mkdir -p $(@D)
	@sed 's/[\\"]/\\&/g; s/.*/"&",/' $< >$@

# The book's model is trained here, once, by a plain build; RUN=qemu-arm runs a cross build.
RUN ?=
plain := $(if $(AUTHOR)$(FLAVOR)$(WITHOUT),$(if $(filter file,$(origin BUILD)),build,$(BUILD)/plain),$(BUILD))
ifeq ($(plain),$(BUILD))
$(BUILD)/charlm.inc: $(BUILD)/vectors
	@echo "  train   $@"
	@$(RUN) $< >$@.new && mv $@.new $@
else
$(plain)/charlm.inc: always
	@$(MAKE) --no-print-directory AUTHOR= FLAVOR= WITHOUT= BUILD=$(plain) $@
endif

# The table of every chapter that has one, for build/predict.
$(BUILD)/lessons.inc: $(BUILD)/settings
	@for n in $(patsubst lessons%.c,%,$(filter lessons%.c,$(call sources,$(chapters)))); do \
	    echo "LESSONS($$n)"; done >$@
# And its figures that move, for build/live.
$(BUILD)/live.inc: $(BUILD)/settings
	@for n in $(patsubst live%.c,%,$(filter live%.c,$(filter-out live.c,$(call sources,$(units))))); do \
	    echo "LIVE($$n)"; done >$@

# Where the fast build has its own arithmetic, a product and a sum are rounded as one.
ifeq ($(FLAVOR),fast)
$(BUILD)/obj/C-as-fast-as-it-gets/heads.o $(BUILD)/obj/C-as-fast-as-it-gets/sweeps.o: flags += -ffp-contract=fast
endif
compile = @echo "  cc      $@"; mkdir -p $(@D); \
    $(CC) $(flags) $(if $(filter $(mpi_objects),$@),$(mpi_flags)) \
    $(if $(and $(mpi),$(filter %/chapter11.o,$@)),-DALLTOALL_MPI) -MMD -MP -I$(BUILD) -I$(plain)
link = @echo "  link    $@"; $(CC) $(flags) -o $@ $(filter %.o,$^) $(filter %.a,$^)

# A chapter sees the headers of the chapters before it and of the appendices. An
# appendix sees all, but whatever it takes from a chapter only later ones can use.
define rules
$(call objects,$1): $(BUILD)/obj/$1/%.o: $(tangled)/$1/%.c $(BUILD)/settings | $(BUILD)/names.inc $(if $(wildcard data/routers.tsv),$(BUILD)/routers.inc)
	$$(compile) $(call folders,$2) -c -o $$@ $$<
endef
upto = $(appendices) $(foreach unit,$(chapters),$(if $(filter $(firstword $(sort $(unit) $1)),$(unit)),$(unit)))
$(foreach unit,$(appendices),$(eval $(call rules,$(unit),$(units))))
$(foreach unit,$(chapters),$(eval $(call rules,$(unit),$(call upto,$(unit)))))

# Every module is in the library; a program is its own objects and what it calls.
$(library): $(modules) $(BUILD)/settings
	@echo "  ar      $@"; rm -f $@; $(AR) rc $@ $(modules)
$(programs): $(BUILD)/chapter%: $(library) $(BUILD)/settings
	$(link) $(if $(filter 11,$*),$(mpi_libraries)) $(libraries) -lm
$(foreach n,$(numbers),$(eval $(BUILD)/chapter$n: $(filter %/chapter$n.o %/lessons$n.o,$(call objects,$(chapters)))))
$(BUILD)/predict: $(filter %/predict.o,$(call objects,$(appendices))) $(lessons) $(library) $(BUILD)/settings
	$(link) $(libraries) -lm
$(BUILD)/live: $(filter %/live.o,$(call objects,$(appendices))) $(library) $(BUILD)/settings
	$(link) $(libraries) -lm
# What it makes is in the library, so it is linked with one that lacks it.
$(BUILD)/untrained.a: $(filter-out %/trained.o,$(modules)) $(BUILD)/settings
	@rm -f $@; $(AR) rc $@ $(filter %.o,$^)
$(BUILD)/vectors: $(filter %/vectors.o,$(call objects,$(appendices))) $(BUILD)/untrained.a $(BUILD)/settings
	$(link) $(libraries) -lm
$(filter %/predict.o,$(call objects,$(appendices))): | $(BUILD)/lessons.inc
$(filter %/live.o,$(call objects,$(appendices))): | $(BUILD)/live.inc
$(filter %/trained.o,$(modules)): | $(plain)/charlm.inc
-include $(wildcard $(BUILD)/obj/*/*.d)

## make tangle: bring tangled/ up to date with the chapters (others do it, too)
.PHONY: tangle
tangle: ;

## make check-tangled: prove that tangled/ is exactly what the chapters define
.PHONY: check-tangled
check-tangled:
	@book/tangle --check

## make lint: find chunks that break the rules; what each chapter and card asks
.PHONY: lint
lint:
	@book/lint --table

# The test program of a flavor holds all modules and lessons, and the suites.
test_files := $(sort $(notdir $(wildcard tests/*.c)))
test_objects := $(patsubst %.c,$(BUILD)/obj/tests/%.o,$(filter-out bench.c ranks.c,$(test_files)))
bench_object := $(BUILD)/obj/tests/bench.o
ranks_object := $(BUILD)/obj/tests/ranks.o
suite_names := $(patsubst test_chapter%.c,%,$(filter test_chapter%.c,$(test_files)))
$(BUILD)/suites.inc: $(BUILD)/settings
	@for suite in $(suite_names); do \
	    echo "S($$suite)"; done >$@
$(test_objects) $(bench_object) $(ranks_object): $(BUILD)/obj/tests/%.o: tests/%.c $(BUILD)/settings | $(BUILD)/suites.inc
	$(compile) $(call folders,$(units)) -D_POSIX_C_SOURCE=200809L -DCHECK_BUILD='"$(BUILD)"' \
	    $(if $(filter fast,$(FLAVOR)),-DCHECK_FAST) $(if $(mpi),-DCHECK_MPI) -c -o $@ $<
$(BUILD)/tests: $(test_objects) $(lessons) $(library) $(BUILD)/settings
	$(link) -lcunit $(libraries) -lm

# What all ranks run, for chapter 11's suite to start.
$(BUILD)/ranks: $(ranks_object) $(BUILD)/obj/tests/check.o $(library) $(BUILD)/settings
	$(link) $(mpi_libraries) -lcunit $(libraries) -lm

# One flavor's suites: make suites FLAVOR=sanitize SUITES="1 3"
SUITES ?=
.PHONY: suites
suites: $(programs) $(BUILD)/predict $(BUILD)/live $(BUILD)/tests $(if $(mpi),$(BUILD)/ranks)
	@SEED=$(SEED) $(BUILD)/tests $(SUITES)

## make test3: chapter 3's suite in all flavors; SEED=7 draws other cases
flavors := strict sanitize double
.PHONY: $(suite_names:%=test%)
$(suite_names:%=test%): test%:
	@for flavor in $(flavors); do \
	    echo "flavor $$flavor"; \
	    $(MAKE) --no-print-directory FLAVOR=$$flavor SUITES=$* suites || exit 1; \
	done

# The benchmark, for the machine that it runs on.
$(BUILD)/bench: $(bench_object) $(library) $(BUILD)/settings
	$(link) $(libraries) -lm

## make bench: speed beside other layouts and PyTorch, if there (ARGS=layer, or =train: 5 minutes)
with_torch = $(firstword $(foreach python,python3 /usr/bin/python3,\
    $(shell $(python) -c 'import torch' 2>/dev/null && echo $(python))))
# PyTorch at its best: its BLAS told the processor, its memory kept from step to step.
tuned = MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 \
    $(if $(shell grep -m 1 -o avx512f /proc/cpuinfo 2>/dev/null),OPENBLAS_CORETYPE=SkylakeX)
bench_kinds := layer train
.PHONY: bench measure $(bench_kinds:%=bench-%)
bench:
	$(if $(filter-out $(bench_kinds),$(ARGS)),$(error bench measures $(bench_kinds), got '$(ARGS)' (try make bench ARGS=train)))
	@for kind in $(or $(ARGS),$(bench_kinds)); do $(MAKE) --no-print-directory bench-$$kind || exit 1; done

bench-layer:
	@printf '# shape:\tK:\tlayout:\tdirection:\tmedian ms\tGFLOP/s\tshare of sgemm peak\n' >build/bench.tsv
	@for shape in S M L F; do \
	    $(MAKE) --no-print-directory FLAVOR=fast WHAT=$$shape TABLE=build/bench.tsv measure || exit 1; \
	    if [ -n "$(with_torch)" ]; then \
	        $(tuned) $(with_torch) tests/bench_torch.py $$shape | tee -a build/bench.tsv || exit 1; \
	    else echo "PyTorch is not installed: compared with ourselves alone"; fi; \
	done
	@printf '# what grows:\tto:\tms\tof dense K H\tof dense E H\n' >build/growth.tsv
	@$(MAKE) --no-print-directory FLAVOR=fast WHAT=growth TABLE=build/growth.tsv measure
	@printf '# step:\tforward ms\ttimes\tboth ms\tboth times\n' >build/steps.tsv
	@for without in 'openmp onednn' onednn ''; do \
	    $(MAKE) --no-print-directory FLAVOR=fast WITHOUT="$$without" WHAT=steps TABLE=build/steps.tsv measure || exit 1; \
	done
	@awk -F '\t' '!seen[$$1]++' build/steps.tsv >build/steps.new && mv build/steps.new build/steps.tsv
	@echo "The tables are build/bench.tsv, build/growth.tsv and build/steps.tsv."

# Rounds in turn, ours and PyTorch's, and the best of each: whoever else uses the machine slows both.
bench-train:
	@mkdir -p build; rm -f build/train.tsv build/07b-profile.tsv
	@for round in 1 2 3; do for size in A B; do \
	    $(MAKE) --no-print-directory FLAVOR=fast WHAT=$$size TABLE=build/train.tsv measure || exit 1; \
	    if [ -n "$(with_torch)" ]; then \
	        $(tuned) $(with_torch) tests/bench_torch.py $$size | tee -a build/train.tsv || exit 1; \
	    else echo "PyTorch is not installed: compared with nobody"; fi; \
	done; done
	@tests/bench_origin >build/07b-bench.tsv && tests/bench_origin >build/07b-profile.tsv
	@tests/bench_join build/train.tsv >>build/07b-bench.tsv
	@$(MAKE) --no-print-directory FLAVOR=fast WHAT=profile TABLE=build/07b-profile.tsv measure
	@cat build/07b-bench.tsv
	@echo "The tables are build/07b-bench.tsv and build/07b-profile.tsv. On a quiet machine, put them on the pages:"
	@echo "    cp build/07b-bench.tsv build/07b-profile.tsv figures/data/ && make promote"

measure: $(BUILD)/bench $(BUILD)/chapter6
	@$(BUILD)/chapter6 --version
	@$< $(TABLE) $(WHAT)

## make measure7: chapter 7's long runs, three seeds of each model (a quarter of an hour)
.PHONY: measure7
rungs7 := uniform unigram counted learned mlp dense moe1 moe2 no-column
measure7:
	@$(MAKE) --no-print-directory FLAVOR=fast build/fast/chapter7
	@for seed in 1 2 3; do \
	    for run in mlp dense moe 'moe --top-k 2' 'dense --column no'; do \
	        build/fast/chapter7 --data rows --steps 1500 --seed $$seed --model $$run || exit 1; \
	    done; \
	done >build/07b-runs.all
	@for rung in $(rungs7); do grep "^$$rung	" build/07b-runs.all; done >build/07b-runs.tsv
	@for seed in 1 2 3; do \
	    build/fast/chapter7 --data stacks --steps 2500 --activation tanh --seed $$seed || exit 1; \
	done >build/07a-stacks.all
	@build/fast/chapter7 --data summary <build/07a-stacks.all >build/07a-stacks.tsv
	@build/fast/chapter7 --data summary <build/07b-runs.tsv >build/07b-ladder.tsv
	@build/fast/chapter7 --data attention --steps 1500 --model dense --prompt 12+07=910 >build/07b-attention.tsv
	@echo "The tables are build/07a-stacks.tsv, build/07b-runs.tsv, build/07b-ladder.tsv and build/07b-attention.tsv."

## make fuzz: throw odd answers and files at their readers; FUZZ_RUNS=1000 for a taste
FUZZ_RUNS ?= 5000000
$(BUILD)/fuzz: tests/fuzz.c $(filter-out %/trained.o %/live6.o %/alltoall.o,$(modules)) $(BUILD)/settings
	$(link) -fsanitize=fuzzer $(call folders,$(units)) $< -lm
.PHONY: fuzz
fuzz:
	@mkdir -p build/fuzz/corpus
	@$(MAKE) --no-print-directory CC=clang BUILD=build/fuzz CFLAGS="-g -O1 \
	    -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" build/fuzz/fuzz
	build/fuzz/fuzz -runs=$(FUZZ_RUNS) -max_len=400 -print_final_stats=1 -artifact_prefix=build/fuzz/ \
	    build/fuzz/corpus tests/corpus

## make test: everything: tangled/, lint, the press, all suites, quotes, pages
do-tangled = book/tangle --check
do-lint = { book/lint && tests/lint; }
do-press = tests/press
do-strict = $(MAKE) --no-print-directory FLAVOR=strict suites
do-sanitize = $(MAKE) --no-print-directory FLAVOR=sanitize suites
do-double = $(MAKE) --no-print-directory FLAVOR=double suites
# Threads that wait sleep: spinning, they would take the core of the step beside.
do-fast = { OMP_WAIT_POLICY=passive $(MAKE) --no-print-directory FLAVOR=fast suites && build/fast/chapter6 --version; }
do-pages = { $(MAKE) --no-print-directory check-quoted && $(MAKE) --no-print-directory test-pages; }
# The long ones first: what runs beside them fills the other core.
steps := pages sanitize fast strict press double tangled lint
logs := $(steps:%=build/test/%.log)

.PHONY: test steps
test: build/charlm.inc
	@rm -rf build/test; mkdir -p build/test
	@$(MAKE) --no-print-directory -k -j2 steps
	@awk '{ passed += $$1; failed += $$3 } \
	    END { print passed " passed, " failed + 0 " failed"; exit failed > 0 }' build/test/*.total

# A step's log ends with its own "N passed, N failed", or counts as one.
steps: $(logs)
$(logs): build/test/%.log:
	+@start=$$(date +%s); status=ok; \
	$(do-$*) >$@ 2>&1 || status=FAILED; \
	total=$$(grep -o '[0-9][0-9]* passed, [0-9][0-9]* failed' $@ | tail -n 1); \
	case $$status:$$total in \
	ok:) total='1 passed, 0 failed' ;; \
	FAILED: | *'passed, 0 failed') \
	    test $$status = ok || { passed=$${total%% *}; total="$${passed:-0} passed, 1 failed"; } ;; \
	esac; \
	echo "$$total" >build/test/$*.total; \
	test $$status = ok || cat $@; \
	printf '  %-7s %-9s %s, %s s\n' $$status $* "$$total" $$(($$(date +%s) - start))

## make clean: remove what can be built again
.PHONY: clean
clean:
	rm -rf build book/html book/book.pdf book/book.epub

## make help: this list
.PHONY: help
help:
	@cat $(MAKEFILE_LIST) | sed -n 's/^## //p'

ifneq ($(wildcard book/pages.mk),)
include book/cards.mk book/pages.mk
endif
