# From chapters to pages. Included by ../Makefile; everything runs from the root.
#
#   chapters/N.nw -noweb-> N.nwx -scan-> N.facts N.runs -link-> N.refs, the back
#   N.runs and figures/N-* -run-> quoted/N.txt -> figures/N-*.svg and .pdf
#   N.nwx, N.refs, quoted/N.txt, figures -pandoc-> N.html -> book/html/
#                                                  N.tex  -> book/book.pdf
#
# Most steps keep their file, time stamp too, when its text has not changed: the
# rule for X.stamp does the work, and X hangs on X.stamp with a recipe of `:`.

WEAVE := build/weave
STEMS := $(patsubst chapters/%.nw,%,$(sort $(wildcard chapters/[0-9][0-9]-*.nw)) \
    $(sort $(wildcard chapters/[A-Z]-*.nw)))
DRAWN := $(sort $(basename $(notdir $(wildcard figures/[0-9][0-9]-*.gp figures/[0-9][0-9]-*.dot))))
INDEXES := chunks identifiers terms
SUITE_FILES := $(wildcard $(foreach s,$(STEMS),tests/test_chapter$(call number,$s).c))
PRINTED_BACK := bibliography $(INDEXES)
BACK := $(PRINTED_BACK) tests $(SUITE_FILES:tests/test_chapter%.c=test-%)
PAGES := $(patsubst 00-%,index,$(STEMS)) $(BACK)
# The pages bring their fonts, if all of them and woff2_compress are there.
FONT_FOLDERS ?= /usr/share/texmf/fonts/opentype/public/tex-gyre* /usr/share/fonts/truetype/dejavu \
    /usr/share/fonts/tex-gyre* /usr/share/texlive/texmf-dist/fonts/opentype/public/tex-gyre* \
    /usr/share/fonts/dejavu-sans-mono-fonts
font_files := $(foreach f,texgyrepagella-regular.otf texgyrepagella-italic.otf texgyrepagella-bold.otf \
    texgyrepagella-math.otf DejaVuSansMono.ttf DejaVuSansMono-Bold.ttf,$(firstword $(wildcard \
    $(addsuffix /$f,$(wildcard $(FONT_FOLDERS))))))
FONTS := $(if $(and $(filter 6,$(words $(font_files))),$(shell command -v woff2_compress)),$(addsuffix \
    .woff2,$(basename $(notdir $(font_files)))))
# The search is lunr's, where ./setup could install it.
LUNR := $(firstword $(wildcard /usr/share/javascript/lunr/lunr.min.js))
SEARCH := $(if $(LUNR),lunr.js search.js)
PUBLISHED := $(PAGES:%=%.html) style.css book.js $(SEARCH) $(FONTS)
QUOTED := $(STEMS:%=build/quoted/%.txt)
REFS := $(STEMS:%=$(WEAVE)/%.refs) $(WEAVE)/book.refs $(BACK:%=$(WEAVE)/%.json)
PANDOC := LC_ALL=C.UTF-8 pandoc --wrap=preserve $(if $(SEARCH),-M search=yes)

# $(call keep,FILE): FILE.new becomes FILE unless it says the same.
keep = if cmp -s $1.new $1; then rm $1.new; else mv $1.new $1; fi
figures_of = $(filter $(firstword $(subst -, ,$1))-%,$(DRAWN))
programs_of = $(foreach u,$(chapters),$(if $(filter 00-% A-% B-% C-%,$1)$(filter \
    $(firstword $(sort $u $1)),$u),$(BUILD)/chapter$(call number,$u))) \
    $(if $(filter A-%,$1),$(BUILD)/predict)
script = $(firstword $(wildcard figures/$1.gp figures/$1.dot))
in_parallel = $(if $(findstring j,$(MAKEFLAGS)),,-j$(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2))

.PHONY: html pdf epub dist quoted check-quoted promote test-pages woven printed always
.SECONDARY:
.DELETE_ON_ERROR:

## make html: weave the book as web pages, book/html/index.html
# Pages are published together, and only if all of them could be woven.
html:
	@$(MAKE) --no-print-directory $(in_parallel) woven
	@mkdir -p book/html
	@for file in $(PUBLISHED); do \
	    cmp -s build/html/$$file book/html/$$file || { \
	        cp build/html/$$file book/html/$$file.new && \
	        mv book/html/$$file.new book/html/$$file && \
	        echo "  weave   book/html/$$file"; } || exit 1; \
	done
	@for file in book/html/*; do \
	    case ' $(PUBLISHED) ' in \
	    *" $${file##*/} "*) ;; *) rm -r "$$file" ;; esac; \
	done

woven: $(PUBLISHED:%=build/html/%)

build/html/book.js: book/book.js
	@mkdir -p $(@D)
	@cp $< $@
build/html/lunr.js: $(LUNR)
	@mkdir -p $(@D)
	@sed '/sourceMappingURL/d' $< >$@
$(STEMS:%=$(WEAVE)/%.search): $(WEAVE)/%.search: $(WEAVE)/%.refs
	@:
$(foreach s,$(STEMS),$(eval $(WEAVE)/$s.search: build/html/$(patsubst 00-%,index,$s).html))
build/html/search.js: $(STEMS:%=$(WEAVE)/%.search) $(WEAVE)/list book/search.lua book/common.lua
	@$(PANDOC) -f book/search.lua -t plain -o $@.log $(filter %.search,$^) && rm $@.log && touch $@
build/html/style.css: $(if $(FONTS),book/fonts.css) book/style.css
	@mkdir -p $(@D)
	@cat $^ >$@
define font
build/html/$(basename $(notdir $1)).woff2: $1
	@mkdir -p build/fonts $$(@D)
	@cp $$< build/fonts && cd build/fonts && woff2_compress $$(<F) >/dev/null 2>&1
	@mv build/fonts/$$(@F) $$@ && rm build/fonts/$$(<F)
endef
$(foreach f,$(if $(FONTS),$(font_files)),$(eval $(call font,$f)))

## make quoted: run every command that the pages quote
quoted:
	@$(MAKE) --no-print-directory $(in_parallel) $(QUOTED)

## make check-quoted: compare what programs say with tests/values/
check-quoted: quoted
	@status=0; \
	for stem in $(STEMS); do \
	    old=tests/values/$$stem.txt; test -f $$old || old=/dev/null; \
	    diff -u -L tests/values/$$stem.txt -L "what the programs say now" \
	        $$old build/quoted/$$stem.txt || status=1; \
	done; \
	test $$status = 0 || { echo "Programs say something else than tests/values/ has. Read the words" \
	    "around these numbers in chapters/ again; if they still hold: make promote"; exit 1; }

## make promote: accept what the programs say now into tests/values/
promote: quoted
	@mkdir -p tests/values
	@for stem in $(STEMS); do \
	    from=build/quoted/$$stem.txt; to=tests/values/$$stem.txt; \
	    if test ! -s $$from; then test ! -f $$to || { rm $$to; echo "  remove  $$to"; }; \
	    elif ! cmp -s $$from $$to; then cp $$from $$to; echo "  promote $$to"; fi; \
	done

# A chapter or a figure that comes or goes changes this list.
$(WEAVE)/list: always
	@mkdir -p $(@D)
	@printf '%s\n' $(STEMS) $(DRAWN) $(SUITE_FILES) >$@.new
	@$(call keep,$@)

# noweb: first what every chapter defines, so that uses are found across chapters.
LIB = $(shell sed -n 's/^LIB=//p' "$$(command -v noweave)")

$(WEAVE)/names.stamp: $(STEMS:%=chapters/%.nw) $(WEAVE)/list
	@sed -n 's/^@ *%def *//p' $(filter %.nw,$^) | tr -s ' ' '\n' | sort -u >$(WEAVE)/names.new
	@$(call keep,$(WEAVE)/names)
	@touch $@
$(WEAVE)/names: $(WEAVE)/names.stamp
	@:

$(STEMS:%=$(WEAVE)/%.nwx): $(WEAVE)/%.nwx: chapters/%.nw $(WEAVE)/names
	@{ $(LIB)/markup $< | $(LIB)/finduses $(WEAVE)/names | $(LIB)/noidx; } >$@.new 2>$@.err || \
	    { cat $@.err >&2; exit 1; }
	@sed "s/[^:]*$(subst /,.,$<):\([0-9]*\):/$(subst /,\/,$<):\1:/" $@.err >&2
	@test ! -s $@.err || { rm -f $@; exit 1; }
	@mv $@.new $@

$(STEMS:%=$(WEAVE)/%.facts.stamp): %.facts.stamp: %.nwx book/reader.lua book/scan.lua book/common.lua
	@$(PANDOC) -f book/reader.lua --lua-filter book/scan.lua -t html -o $*.facts.new $<
	@$(call keep,$*.facts)
	@touch $@
$(STEMS:%=$(WEAVE)/%.facts) $(STEMS:%=$(WEAVE)/%.runs): $(WEAVE)/%: $(WEAVE)/names
	@:
$(foreach s,$(STEMS),$(eval $(WEAVE)/$s.facts $(WEAVE)/$s.runs: $(WEAVE)/$s.facts.stamp))

$(WEAVE)/link.stamp: $(STEMS:%=$(WEAVE)/%.facts) $(WEAVE)/list book/link.lua book/suites.lua book/common.lua \
    $(SUITE_FILES)
	@$(PANDOC) -f book/link.lua -t plain -o $@.new $(filter %.facts,$^)
	@mv $@.new $@
$(REFS): $(WEAVE)/link.stamp
	@:

# Runs: a chapter quotes its own program and those before it.
define quote
build/quoted/$1.stamp: $(WEAVE)/$1.runs $(WEAVE)/list $(foreach f,$(call figures_of,$1),$(call script,$f)) $(call programs_of,$1) \
    $(wildcard figures/data/$(firstword $(subst -, ,$1))-*.tsv) book/measured
	@mkdir -p $$(@D)
	@{ cat $$<; $(foreach f,$(call figures_of,$1),sed -n 's/^[#/ ]*data: *//p' $(call script,$f);) } | \
	    sort -u | while IFS= read -r run; do \
	        printf '$$$$ %s\n' "$$$$run"; \
	        XDG_STATE_HOME=$$$$PWD/build/quoted sh -c "$$$$run" </dev/null || { \
	            status=$$$$?; \
	            what=$$$${run#* --values }; what=$$$${what#book/measured figures/data/}; \
	            line=$$$$(grep -nF -e "$$$${what%.tsv}" chapters/$1.nw | head -n 1); \
	            echo "chapters/$1.nw:$$$${line%%:*}: \`$$$$run' failed with exit status $$$$status;" \
	                "quote only runs that succeed" >&2; exit 1; }; \
	    done >build/quoted/$1.txt.new
	@$$(call keep,build/quoted/$1.txt)
	@touch $$@
build/quoted/$1.txt: build/quoted/$1.stamp
	@:
endef
$(foreach s,$(STEMS),$(eval $(call quote,$s)))

# Figures: drawn from data that is cut from what the programs printed.
define draw
build/figures/$1.data.stamp: $(call script,$1) build/quoted/$2.txt
	@mkdir -p $$(@D)
	@run=$$$$(sed -n 's/^[#/ ]*data: *//p' $(call script,$1)); \
	awk -v run="$$$$ $$$$run" '$$$$0 == run { on = 1; next } /^\$$$$ / { on = 0 } on' \
	    build/quoted/$2.txt >build/figures/$1.data.new
	@$$(call keep,build/figures/$1.data)
	@touch $$@
build/figures/$1.data: build/figures/$1.data.stamp
	@:
build/figures/$1.svg build/figures/$1.pdf: build/figures/$1.data $(call script,$1)
endef
$(foreach s,$(STEMS),$(foreach f,$(call figures_of,$s),$(eval $(call draw,$f,$s))))

plot = gnuplot -e "set terminal $1; set output '$@.new'; data = '$(basename $@).data'" \
    figures/style.gp $(filter %.gp,$^) && mv $@.new $@
GP := $(patsubst figures/%.gp,build/figures/%,$(wildcard figures/[0-9][0-9]-*.gp))
DOT := $(patsubst figures/%.dot,build/figures/%,$(wildcard figures/[0-9][0-9]-*.dot))
$(GP:%=%.svg): build/figures/%.svg: figures/%.gp figures/style.gp
	@$(call plot,svg size 640$(,)360 dynamic font 'sans-serif$(,)14')
$(GP:%=%.pdf): build/figures/%.pdf: figures/%.gp figures/style.gp
	@SOURCE_DATE_EPOCH=0 $(call plot,pdfcairo size 4.7in$(,)2.65in font 'DejaVu Sans$(,)8')
$(DOT:%=%.svg) $(DOT:%=%.pdf):
	@SOURCE_DATE_EPOCH=0 dot -T$(subst .,,$(suffix $@)) -Gbgcolor=transparent -Gfontname=sans-serif \
	    -Nfontname=sans-serif -Efontname=sans-serif -Nfontsize=11 -Efontsize=11 -Earrowsize=0.7 $(filter %.dot,$^) -o $@.new
	@mv $@.new $@
, := ,

# Pages and the book's parts.
PRESS := book/reader.lua book/filter.lua book/references.lua book/common.lua book/references.bib
weave = $(PANDOC) --lua-filter book/filter.lua -M refs=$(WEAVE)/$1.refs \
    --bibliography book/references.bib --citeproc --lua-filter book/references.lua -M link-citations=true
define page
build/html/$(patsubst 00-%,index,$1).html: $(WEAVE)/$1.nwx $(WEAVE)/$1.refs build/quoted/$1.txt \
    $(patsubst %,build/figures/%.svg,$(call figures_of,$1)) $(PRESS) book/page.html
	@mkdir -p $$(@D)
	@$$(call weave,$1) -f book/reader.lua -M quoted=build/quoted/$1.txt -t html5 --mathml \
	    --template book/page.html -o $$@.new $$< && mv $$@.new $$@
$(WEAVE)/$1.tex: $(WEAVE)/$1.nwx $(WEAVE)/$1.refs build/quoted/$1.txt \
    $(patsubst %,build/figures/%.pdf,$(call figures_of,$1)) $(PRESS)
	@$$(call weave,$1) -f book/reader.lua -M quoted=build/quoted/$1.txt -t latex \
	    --top-level-division=chapter -o $$@.new $$< && mv $$@.new $$@
endef
$(foreach s,$(STEMS),$(eval $(call page,$s)))

$(BACK:%=build/html/%.html): build/html/%.html: $(WEAVE)/%.json $(WEAVE)/book.refs $(PRESS) book/page.html
	@mkdir -p $(@D)
	@$(call weave,book) -f json -t html5 --mathml --template book/page.html -o $@.new $< && mv $@.new $@
$(PRINTED_BACK:%=$(WEAVE)/%.tex): %.tex: %.json $(WEAVE)/book.refs $(PRESS)
	@$(call weave,book) -f json -t latex --top-level-division=chapter -o $@.new $< && mv $@.new $@

## make epub: the book for e-readers, book/book.epub
# Its date, and the PDF's, is that of the last commit of what it is made from, so
# that the same source gives the same file.
build/committed: always
	@mkdir -p $(@D)
	@{ git -c safe.directory='*' log -1 --format=%ct -- chapters book figures 2>/dev/null; echo 0; } | head -n 1 >$@.new
	@$(call keep,$@)
COMMITTED = $$(cat build/committed)
epub:
	@$(MAKE) --no-print-directory $(in_parallel) build/epub/book.epub
	@cmp -s build/epub/book.epub book/book.epub || { cp build/epub/book.epub book/book.epub.new && \
	    mv book/book.epub.new book/book.epub && echo "  bind    book/book.epub"; }

define part
build/epub/$1.json: $(WEAVE)/$1.nwx $(WEAVE)/$1.refs build/quoted/$1.txt \
    $(patsubst %,build/figures/%.svg,$(call figures_of,$1)) $(PRESS)
	@mkdir -p $$(@D)
	@$$(call weave,$1) -f book/reader.lua -M quoted=build/quoted/$1.txt -t json -o $$@.new $$< && mv $$@.new $$@
endef
$(foreach s,$(STEMS),$(eval $(call part,$s)))
$(INDEXES:%=build/epub/%.json): build/epub/%.json: $(WEAVE)/%.json $(WEAVE)/book.refs $(PRESS)
	@mkdir -p $(@D)
	@$(call weave,book) -f json -t json -o $@.new $< && mv $@.new $@
build/epub/cover.png: figures/00-routes.gp figures/style.gp build/figures/00-routes.data
	@mkdir -p $(@D)
	@gnuplot -e "set terminal pngcairo size 1200$(,)1600 font 'TeX Gyre Pagella$(,)26'; cover = 1; \
	    set output '$@.new'; data = 'build/figures/00-routes.data'" figures/style.gp figures/00-routes.gp && mv $@.new $@
build/epub/book.epub: $(STEMS:%=build/epub/%.json) $(INDEXES:%=build/epub/%.json) build/epub/cover.png \
    book/collect.lua book/stamp.lua book/epub.css book/epub.yaml build/committed
	@SOURCE_DATE_EPOCH=$(COMMITTED) $(PANDOC) -f book/collect.lua -t epub3 --mathml --css book/epub.css \
	    --metadata-file book/epub.yaml --epub-cover-image build/epub/cover.png --toc-depth 2 \
	    -o $@.new $(filter %.json,$^)
	@echo $@.new | $(PANDOC) -f book/stamp.lua -t plain >/dev/null && mv $@.new $@

## make pdf: set the book in print, book/book.pdf
pdf:
	@$(MAKE) --no-print-directory $(in_parallel) printed
	@cmp -s build/pdf/book.pdf book/book.pdf || { cp build/pdf/book.pdf book/book.pdf.new && \
	    mv book/book.pdf.new book/book.pdf && echo "  print   book/book.pdf"; }

printed: build/pdf/book.pdf

MAIN_PARTS := $(filter 0% 1%,$(filter-out 00-%,$(STEMS)))
APPENDICES := $(filter-out $(MAIN_PARTS) 00-%,$(STEMS))
$(WEAVE)/parts.stamp: $(WEAVE)/list book/pages.mk
	@printf '%s\n' $(patsubst %,'\input{$(WEAVE)/%}',$(filter 00-%,$(STEMS))) '\mainmatter' \
	    $(patsubst %,'\input{$(WEAVE)/%}',$(MAIN_PARTS)) '\appendix' \
	    $(patsubst %,'\input{$(WEAVE)/%}',$(APPENDICES)) '\backmatter' \
	    $(patsubst %,'\input{$(WEAVE)/%}',$(PRINTED_BACK)) >$(WEAVE)/parts.tex.new
	@$(call keep,$(WEAVE)/parts.tex)
	@touch $@
$(WEAVE)/parts.tex: $(WEAVE)/parts.stamp
	@:

# LaTeX runs until its page references have settled.
build/pdf/book.pdf: book/book.tex $(WEAVE)/parts.tex $(STEMS:%=$(WEAVE)/%.tex) \
    $(PRINTED_BACK:%=$(WEAVE)/%.tex) build/committed
	@mkdir -p $(@D)
	@for run in 1 2 3 4; do \
	    cp build/pdf/book.aux build/pdf/aux.old 2>/dev/null || :; \
	    SOURCE_DATE_EPOCH=$(COMMITTED) FORCE_SOURCE_DATE=1 lualatex -interaction=nonstopmode \
	        -halt-on-error -output-directory=build/pdf book/book.tex >build/pdf/run.log 2>&1 || { \
	        sed -n '/^!/,/^l\./p' build/pdf/run.log >&2; \
	        echo "book/book.tex: LaTeX stopped; all it said is in build/pdf/run.log" >&2; \
	        rm -f build/pdf/book.pdf; exit 1; }; \
	    cmp -s build/pdf/book.aux build/pdf/aux.old && break; \
	done

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
	@test -d tests/site/node_modules || { echo "The page checks are not installed. Type: ./setup test" >&2; exit 1; }
	@mkdir -p build/test
	@cd tests/site && node --test --test-concurrency=2 --test-reporter=tap >../../build/test/pages.tap 2>&1 || \
	    sed -n '/^ *not ok/,/^ *\.\.\./p' ../../build/test/pages.tap
	@awk '/^# pass / { passed = $$3 } /^# (fail|cancelled) / { failed += $$3 } \
	    END { print "pages: " passed + 0 " passed, " failed + 0 " failed"; exit failed > 0 || !passed }' \
	    build/test/pages.tap
