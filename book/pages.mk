# From chapters to pages. Included by ../Makefile; everything runs from the root.
#
#   chapters/N.nw -read-> build/quoted/N.runs -run-> N.txt -> figures/N-*.svg and .pdf
#   all chapters, all N.txt -read, once-> build/weave/N.json, without a format
#   N.json, figures -html-> book/html/N.html, the EPUB      -latex-> the PDF
#
# A step keeps its file, time stamp too, when its text has not changed: the rule for
# X.stamp does the work, and X hangs on X.stamp with a recipe of `:`.

STEMS := $(patsubst chapters/%.nw,%,$(sort $(wildcard chapters/[0-9]*.nw)) $(sort $(wildcard chapters/[A-Z]-*.nw)))
DRAWN := $(sort $(basename $(notdir $(wildcard figures/[0-9]*.gp figures/[0-9]*.dot))))
SUITE_FILES := $(wildcard $(sort $(foreach s,$(STEMS),tests/test_chapter$(call number,$s).c)))
INDEXES := chunks identifiers terms
# The path is the second, behind the front page.
BODY := $(firstword $(STEMS)) path $(wordlist 2,99,$(STEMS))
DOCUMENTS := $(BODY) bibliography $(INDEXES) tests $(SUITE_FILES:tests/test_chapter%.c=test-%)
PRINTED := $(BODY) bibliography $(INDEXES)
# The pages bring their fonts, if all of them and woff2_compress are there.
FONT_FOLDERS ?= /usr/share/texmf/fonts/opentype/public/tex-gyre* /usr/share/fonts/truetype/dejavu \
    /usr/share/fonts/tex-gyre* /usr/share/texlive/texmf-dist/fonts/opentype/public/tex-gyre* \
    /usr/share/fonts/dejavu-sans-mono-fonts
font_files := $(foreach f,texgyrepagella-regular.otf texgyrepagella-italic.otf texgyrepagella-bold.otf \
    texgyrepagella-math.otf DejaVuSansMono.ttf DejaVuSansMono-Bold.ttf,$(firstword $(wildcard \
    $(addsuffix /$f,$(wildcard $(FONT_FOLDERS))))))
FONTS := $(if $(and $(filter 6,$(words $(font_files))),$(shell command -v woff2_compress)),$(font_files))
PUBLISHED := $(addsuffix .html,$(patsubst 00-%,index,$(DOCUMENTS))) style.css book.js search.js $(CARDS) \
    $(addsuffix .woff2,$(basename $(notdir $(FONTS))))
# The last chapters' programs run longest, so they begin first.
reverse = $(if $1,$(call reverse,$(wordlist 2,$(words $1),$1)) $(firstword $1))
QUOTED := $(patsubst %,build/quoted/%.txt,$(call reverse,$(filter 0% 1%,$(STEMS))) $(filter-out 0% 1%,$(STEMS)))
, := ,

# $(call keep,FILE): FILE.new becomes FILE unless it says the same.
keep = if cmp -s $1.new $1; then rm $1.new; else mv $1.new $1; fi
# $(call publish,FROM,TO,WORD)
publish = cmp -s $1 $2 || { cp $1 $2.new && mv $2.new $2 && echo "  $3 $2"; }
figures_of = $(filter $(firstword $(subst -, ,$1))-%,$(DRAWN))
script = $(firstword $(wildcard figures/$1.gp figures/$1.dot))
programs_of = $(foreach u,$(chapters),$(if $(filter 00-% A-% B-% C-%,$1)$(filter $(firstword $(sort $u $1)),$u),\
    $(BUILD)/chapter$(call number,$u))) $(if $(filter A-%,$1),$(BUILD)/predict) $(if $(wildcard $(tangled)/$1/live[0-9]*.c),$(BUILD)/live)
in_parallel = $(if $(findstring j,$(MAKEFLAGS)),,-j$(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2))
sub = +@$(MAKE) --no-print-directory $(in_parallel)

.PHONY: html pdf epub dist quoted check-quoted promote test-pages woven always
.SECONDARY:
.DELETE_ON_ERROR:
# These goals build what others build, too, each in a make of its own: one after the other.
ifneq ($(and $(filter html pdf epub dist quoted check-quoted promote test-pages,$(goals)),$(word 2,$(goals))),)
.NOTPARALLEL:
endif

## make html: weave the book as web pages, book/html/index.html
# Pages are published together, and only if all of them could be woven.
html:
	$(sub) woven
	@mkdir -p book/html
	@for file in $(PUBLISHED); do $(call publish,build/html/$$file,book/html/$$file,weave  ) || exit 1; done
	@for file in book/html/*; do \
	    case ' $(PUBLISHED) ' in *" $${file##*/} "*) ;; *) rm -r "$$file" ;; esac; \
	done

woven: $(PUBLISHED:%=build/html/%)

build/html/book.js: book/book.js
build/html/search.js: build/weave/search.js
build/html/book.js build/html/search.js:
	@mkdir -p $(@D) && cp $< $@
build/html/style.css: $(if $(FONTS),book/fonts.css) book/style.css book/cards.css book/live.css
	@mkdir -p $(@D) && cat $^ >$@
define font
build/html/$(basename $(notdir $1)).woff2: $1
	@mkdir -p build/fonts $$(@D)
	@cp $$< build/fonts && cd build/fonts && woff2_compress $$(<F) >/dev/null 2>&1
	@mv build/fonts/$$(@F) $$@ && rm build/fonts/$$(<F)
endef
$(foreach f,$(FONTS),$(eval $(call font,$f)))

# The reading. A chapter or a figure that comes or goes changes the list.
READER := book/read.lua book/common.lua
PANDOC := LC_ALL=C.UTF-8 pandoc --wrap=preserve
build/weave/list: always
	@mkdir -p $(@D) build/quoted
	@printf '%s\n' $(STEMS) $(DRAWN) $(SUITE_FILES) >$@.new
	@$(call keep,$@)
$(STEMS:%=build/quoted/%.runs.stamp): build/quoted/%.runs.stamp: chapters/%.nw $(READER) build/weave/list
	@CHAPTERS=$< RUNS=yes $(PANDOC) -f book/read.lua -t plain -o $@ /dev/null
build/weave/reading: book/lint $(STEMS:%=chapters/%.nw)
	@mkdir -p $(@D)
	@book/lint --cards >$@.new && mv $@.new $@
build/weave/read.stamp: $(STEMS:%=chapters/%.nw) $(QUOTED) build/weave/list build/weave/reading $(SUITE_FILES) $(READER) book/resolve.lua \
    book/suites.lua book/references.bib
	@CHAPTERS='$(STEMS:%=chapters/%.nw)' $(PANDOC) -f book/read.lua -t plain -o $@ /dev/null
READ := $(DOCUMENTS:%=build/weave/%.json) build/weave/search.js
KEPT := $(STEMS:%=build/quoted/%.runs) $(QUOTED) $(DRAWN:%=build/figures/%.data)
$(READ): build/weave/read.stamp
$(KEPT): %: %.stamp
$(READ) $(KEPT):
	@:

## make quoted: run every command that the pages quote
quoted:
	$(sub) $(QUOTED)

# Of what programs say, tests/values/ has what the pages quote: of values, those that are named.
define quote
build/quoted/$1.txt.stamp: build/quoted/$1.runs $(foreach f,$(call figures_of,$1),$(call script,$f)) $(call programs_of,$1) \
    $(wildcard figures/data/$(firstword $(subst -, ,$1))-*.tsv) book/measured
	@{ cat $$<; $(foreach f,$(call figures_of,$1),sed -n 's/^[#/ ]*data: *\(.*\)/$(subst /,\/,$(call script,$f)):1	\1	*/p' \
	    $(call script,$f);) } >build/quoted/$1.all
	@cut -f 2 build/quoted/$1.all | sort -u | while IFS= read -r run; do \
	        printf '$$$$ %s\n' "$$$$run"; \
	        XDG_STATE_HOME=$$$$PWD/build/quoted sh -c "$$$$run" </dev/null || { status=$$$$?; \
	            RUN=$$$$run awk -F '\t' '$$$$2 == ENVIRON["RUN"] { print $$$$1; exit }' build/quoted/$1.all | \
	                sed "s|$$$$|: \`$$$$run' failed with exit status $$$$status; quote only runs that succeed|" >&2; exit 1; }; \
	    done >build/quoted/$1.txt.new
	@$$(call keep,build/quoted/$1.txt)
	@awk -F '\t' 'FNR == NR { want[$$$$2 FS $$$$3] = 1; next } sub(/^\$$$$ /, "") { print "$$$$ " $$$$0; run = $$$$0; next } \
	    want[run FS "*"] || want[run FS $$$$1]' build/quoted/$1.all build/quoted/$1.txt >build/quoted/$1.values
	@touch $$@
endef
$(foreach s,$(STEMS),$(eval $(call quote,$s)))

## make check-quoted: compare what programs say with tests/values/
check-quoted: quoted
	@status=0; for stem in $(STEMS); do \
	    old=tests/values/$$stem.txt; test -f $$old || old=/dev/null; \
	    diff -u -L tests/values/$$stem.txt -L "what the programs say now" $$old build/quoted/$$stem.values || status=1; \
	done; \
	test $$status = 0 || { echo "Programs say something else than tests/values/ has. Read the words" \
	    "around these numbers in chapters/ again; if they still hold: make promote"; exit 1; }

## make promote: accept what the programs say now into tests/values/
promote: quoted
	@mkdir -p tests/values
	@for stem in $(STEMS); do \
	    from=build/quoted/$$stem.values; to=tests/values/$$stem.txt; \
	    if test ! -s $$from; then test ! -f $$to || { rm $$to; echo "  remove  $$to"; }; \
	    else $(call publish,$$from,$$to,promote); fi; \
	done

# Figures: drawn from data that is cut from what the programs printed.
define draw
build/figures/$1.data.stamp: $(call script,$1) build/quoted/$2.txt
	@mkdir -p $$(@D)
	@run=$$$$(sed -n 's/^[#/ ]*data: *//p' $$<); \
	awk -v run="$$$$ $$$$run" '$$$$0 == run { on = 1; next } /^\$$$$ / { on = 0 } on' build/quoted/$2.txt >build/figures/$1.data.new
	@$$(call keep,build/figures/$1.data)
	@touch $$@
build/figures/$1.svg build/figures/$1.pdf build/figures/$1.narrow.svg: $(call script,$1) build/figures/$1.data
endef
$(foreach s,$(STEMS),$(foreach f,$(call figures_of,$s),$(eval $(call draw,$f,$s))))

# The narrow ones are for phones: as large in their letters, downward in place of to the right.
plot = gnuplot -e "$(if $(findstring narrow,$@),narrow = 1;) set terminal $1; set output '$@.new'; data = '$(basename $(@:.narrow.svg=.svg)).data'" figures/style.gp $< && mv $@.new $@
GP := $(patsubst figures/%.gp,build/figures/%,$(wildcard figures/[0-9]*.gp))
DOT := $(patsubst figures/%.dot,build/figures/%,$(wildcard figures/[0-9]*.dot))
$(GP:%=%.svg) $(GP:%=%.pdf) $(GP:%=%.narrow.svg): figures/style.gp $(wildcard figures/live.gp)
$(GP:%=%.narrow.svg):
	@$(call plot,svg size 400$(,)330 dynamic font 'sans-serif$(,)13')
$(GP:%=%.svg):
	@$(call plot,svg size 640$(,)360 dynamic font 'sans-serif$(,)14')
$(GP:%=%.pdf):
	@SOURCE_DATE_EPOCH=0 $(call plot,pdfcairo size 4.7in$(,)2.65in font 'DejaVu Sans$(,)8')
$(DOT:%=%.svg) $(DOT:%=%.pdf) $(DOT:%=%.narrow.svg):
	@sed '$(if $(findstring narrow,$@),s/rankdir *= *LR/rankdir=TB/)' $< | SOURCE_DATE_EPOCH=0 dot -T$(subst .,,$(suffix $@)) -Gbgcolor=transparent -Gfontname=sans-serif \
	    -Nfontname=sans-serif -Efontname=sans-serif -Nfontsize=11 -Efontsize=11 -Earrowsize=0.7 -o $@.new
	@mv $@.new $@

# The looks. A page may show another's figure, where it refers to it.
cited = --citeproc --bibliography book/references.bib -M link-citations=true
define page
build/html/$(patsubst 00-%,index,$1).html: build/weave/$1.json build/verifies book/html.lua book/page.html book/references.bib $(DRAWN:%=build/figures/%.svg) $(DRAWN:%=build/figures/%.narrow.svg)
	@mkdir -p $$(@D)
	@$(PANDOC) -f json -t html5 --mathml $(if $(CARDS),-M verifies=yes) $(cited) --lua-filter book/html.lua --template book/page.html -o $$@.new $$< && mv $$@.new $$@
endef
$(foreach d,$(DOCUMENTS),$(eval $(call page,$d)))
$(PRINTED:%=build/weave/%.tex): %.tex: %.json book/latex.lua book/common.lua book/references.bib $(DRAWN:%=build/figures/%.pdf)
	@$(PANDOC) -f json -t latex $(cited) --lua-filter book/latex.lua --top-level-division=chapter -o $@.new $< && mv $@.new $@
BOUND := $(filter-out bibliography,$(PRINTED))
$(BOUND:%=build/epub/%.json): build/epub/%.json: build/weave/%.json book/html.lua book/common.lua book/references.bib $(DRAWN:%=build/figures/%.svg)
	@mkdir -p $(@D)
	@$(PANDOC) -f json -t json $(cited) --lua-filter book/html.lua -o $@.new $< && mv $@.new $@

# The EPUB's date, and the PDF's, is that of the last commit of what they are made from,
# so that the same source gives the same file.
build/committed: always
	@mkdir -p $(@D)
	@{ git -c safe.directory='*' log -1 --format=%ct -- chapters book figures 2>/dev/null; echo 0; } | head -n 1 >$@.new
	@$(call keep,$@)
COMMITTED = $$(cat build/committed)

## make epub: the book for e-readers, book/book.epub
epub:
	$(sub) build/epub/book.epub
	@$(call publish,build/epub/book.epub,book/book.epub,bind   )
build/epub/cover.png: figures/00-routes.gp figures/style.gp build/figures/00-routes.data
	@mkdir -p $(@D)
	@gnuplot -e "set terminal pngcairo size 1200$(,)1600 font 'TeX Gyre Pagella$(,)26'; cover = 1; \
	    set output '$@.new'; data = 'build/figures/00-routes.data'" figures/style.gp $< && mv $@.new $@
build/epub/book.epub: $(BOUND:%=build/epub/%.json) build/epub/cover.png book/epub.lua book/epub.css book/epub.yaml build/committed
	@SOURCE_DATE_EPOCH=$(COMMITTED) $(PANDOC) -f book/epub.lua -t epub3 --mathml --css book/epub.css --metadata-file book/epub.yaml \
	    --epub-cover-image build/epub/cover.png --toc-depth 2 -o $@.new $(filter %.json,$^)
	@echo $@.new | $(PANDOC) -f book/epub.lua -t plain >/dev/null && mv $@.new $@

## make pdf: set the book in print, book/book.pdf
pdf:
	$(sub) build/pdf/book.pdf
	@$(call publish,build/pdf/book.pdf,book/book.pdf,print  )
MAIN_PARTS := $(filter 0% 1%,$(filter-out 00-%,$(STEMS)))
inputs = $(patsubst %,'\input{build/weave/%}',$1)
build/weave/parts.tex: build/weave/list book/pages.mk
	@printf '%s\n' $(call inputs,$(filter 00-% path,$(BODY))) '\mainmatter' $(call inputs,$(MAIN_PARTS)) '\appendix' \
	    $(call inputs,$(filter-out $(MAIN_PARTS) 00-%,$(STEMS))) '\backmatter' $(call inputs,bibliography $(INDEXES)) >$@

# LaTeX runs until its page references have settled. A character that no font has is a mistake.
build/pdf/book.pdf: book/book.tex build/weave/parts.tex $(PRINTED:%=build/weave/%.tex) build/committed
	@mkdir -p $(@D)
	@for run in 1 2 3 4; do \
	    draft=; cp build/pdf/book.aux build/pdf/aux.old 2>/dev/null || draft=-draftmode; \
	    SOURCE_DATE_EPOCH=$(COMMITTED) FORCE_SOURCE_DATE=1 lualatex $$draft -interaction=nonstopmode \
	        -halt-on-error -output-directory=build/pdf book/book.tex >build/pdf/run.log 2>&1 || { \
	        sed -n '/^!/,/^l\./p' build/pdf/run.log >&2; \
	        echo "book/book.tex: LaTeX stopped; all it said is in build/pdf/run.log" >&2; \
	        rm -f build/pdf/book.pdf; exit 1; }; \
	    cmp -s build/pdf/book.aux build/pdf/aux.old && break; \
	done
	@missing=$$(sed -n 's/^Missing character: There is no \([^ ]*\) .*/\1/p' build/pdf/book.log | sort -u); \
	for char in $$missing; do \
	    grep -nF -e "$$char" $(STEMS:%=chapters/%.nw) /dev/null | sed "s/^\([^:]*:[0-9]*\):.*/\1: the PDF's fonts have no $$char/" >&2; \
	done; test -z "$$missing" || { rm -f $@; exit 1; }

## make dist: an archive with the C, the pages, the PDF and the EPUB, to use as it is
# One after the other: all weave into build/weave.
DIST := build/where-tokens-go.tar.gz
dist:
	@for part in html pdf epub; do $(MAKE) --no-print-directory $$part || exit 1; done
	@git -c safe.directory='*' ls-files >build/dist.new 2>/dev/null || { echo "make dist packs what git lists: it needs git, and a clone" >&2; exit 1; }
	@ls book/html/* book/book.pdf book/book.epub >>build/dist.new
	@tar --create --files-from build/dist.new --transform 's,^,where-tokens-go/,' --sort=name --mtime=@$(COMMITTED) \
	    --owner=0 --group=0 --numeric-owner --mode=u+rw,go+r-w | gzip -n9 >$(DIST).new && mv $(DIST).new $(DIST)
	@rm build/dist.new; echo "  pack    $(DIST)"

## make test-pages: check the pages, the PDF, the EPUB and the archive
test-pages:
	@$(MAKE) --no-print-directory dist
	@$(MAKE) --no-print-directory $(BUILD)/page
	@test -d tests/site/node_modules || { echo "The page checks are not installed. Type: ./setup test" >&2; exit 1; }
	@mkdir -p build/test
	@cd tests/site && node --test --test-concurrency=2 --test-reporter=tap >../../build/test/pages.tap 2>&1 || \
	    sed -n '/^ *not ok/,/^ *\.\.\./p' ../../build/test/pages.tap
	@awk '/^# pass / { passed = $$3 } /^# (fail|cancelled) / { failed += $$3 } \
	    END { print "pages: " passed + 0 " passed, " failed + 0 " failed"; exit failed > 0 || !passed }' build/test/pages.tap
