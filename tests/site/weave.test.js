// What `make html` promises, in a small book of its own in a temporary folder:
// numbers, links and values; errors that name the line and leave all as it was;
// nothing woven that did not change.
import { test, before, after } from 'node:test'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { open } from './browser.js'
import { site } from './paths.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const book = fs.mkdtempSync(path.join(os.tmpdir(), 'book-'))
const file = (...names) => path.join(book, ...names)
const read = (...names) => fs.readFileSync(file(...names), 'utf8')
const page = (name) => read('book/html', name + '.html')

function write(name, text) {
  fs.mkdirSync(path.dirname(file(name)), { recursive: true })
  fs.writeFileSync(file(name), text)
}

function make(...goals) {
  const env = { ...process.env }
  for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'MAKEOVERRIDES', 'TANGLED_IN', 'BUILD', 'FLAVOR', 'AUTHOR'])
    delete env[name]
  const run = spawnSync('make', goals, { cwd: book, env, encoding: 'utf8' })
  return { status: run.status, out: run.stdout, err: run.stderr }
}

// Fonts take seconds to compress: those of the whole book will do.
function fonts() {
  const from = path.join(root, 'build/html')
  for (const name of fs.existsSync(from) ? fs.readdirSync(from).filter((name) => name.endsWith('.woff2')) : []) {
    fs.mkdirSync(file('build/html'), { recursive: true })
    fs.copyFileSync(path.join(from, name), file('build/html', name))
  }
}

function made(...goals) {
  const run = make(...goals)
  assert.equal(run.status, 0, run.err + run.out)
  return run.out
}

// Pages are long: a failure names what is missing only.
const match = (text, pattern, what = '') => assert.ok(pattern.test(text), `${what} lacks ${pattern}${text.length < 2000 ? ': ' + text : ''}`)
const lacks = (text, pattern, what = '') => assert.ok(!pattern.test(text), `${what} has ${pattern}`)

// The published files, with their time stamps.
function published() {
  const state = {}
  for (const name of fs.readdirSync(file('book/html')))
    state[name] = fs.statSync(file('book/html', name)).mtimeMs
  return state
}

function changed(was) {
  const now = published()
  return Object.keys({ ...was, ...now }).filter((name) => was[name] !== now[name]).sort()
}

const program = (n, values) => `
<<chapter${n}.c>>=
#include <stdio.h>
#include <string.h>
#include "one.h"

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "--fail")) return 1;
    if (!strcmp(what, "--values")) {
        int many = argc > 2;
        <<print the values ${n}>>
    } else if (!strcmp(what, "--lessons")) {
        puts("lesson\\t${n}.1\\ntitle\\tTwo & two\\npath\\t1.1.1\\nminutes\\t3");
        puts("question\\tIs 2 < 3?\\ngiven\\ta  b\\nkind\\tnumber\\nhint\\tcount");
        puts("answer\\t1\\ntolerance\\t0.5\\nmistake\\t0\\tupside down");
        puts("trace\\t2 < 3");
    } else if (!strcmp(what, "--data")) {
        puts("# x\\ty\\n0\\t0\\n1\\t2");
    } else {
        puts("Head\\n<one & two>\\n\\nTail\\nlast");
    }
    return 0;
}
@

<<print the values ${n}>>=
${values}
@

<<lessons${n}.c>>=
struct row { const char *id, *title, *paths; int minutes; const char *question; };
extern const struct row lessons${n}[1];
const struct row lessons${n}[] = {
    {"${n}.1", "Two & two", "1.1.1", 3, "Is 2 < 3?"},
};
@
`

const one = `# The first {#ch:first}

See @ch:second, @sec:later, @fig:line, @tbl:cost, @eq:sum and [@knuth1984].
Values: {{one.share}}, {{one.share|%.1f%%}}, {{one.count|,}}, {{one.share --many 1|%.2f}}.
Quoted [[one_twice(x)]] and [[struct one]].
Measured: {{measured 01-speed two_threads.time_ms|%.1f}}.

![A line, {{one.share|%.2f}} wide.](01-line){#fig:line alt="A line up to {{=one.count}}."}

| a | b |
|---|--:|
| x [@ritchie1978] | {{one.share|%.3f}} |

: What it costs [@lamport1986]. {#tbl:cost}

$$ s = {{=one.share|%.2f}} $$ {#eq:sum}

## A section {#sec:here}

A [widget]{.term} has the size [$w$]{.term means="size of a *widget*"}.

\`\`\`{.run part="Tail"}
$ build/chapter1
\`\`\`

{{lesson 1.1}}

<<one.h>>=
#ifndef ONE_H
#define ONE_H
struct one { int at; };
int one_twice(int x); /* one_twice is twice x */
#endif
@ %def one one_twice

<<one.c>>=
#include "one.h"
int one_twice(int x)
{
    <<double it>>
    return x;
}

<<functions of one.c>>
@

<<double it>>=
struct one one = {x};
@

Once more.

<<double it>>=
x = one.at * 2;
@
${program(1, 'printf("one.share\\t%s\\n", many ? "0.25" : "0.8314");\nputs("one.count\\t1234567");')}

## Further reading {#sec:reading}

## The rest of one.c {#sec:rest .back}

<<functions of one.c>>=
int one_more(void) { return 1; }
@ %def one_more

And once more.

<<functions of one.c>>=
int one_less(void) { return -1; }
@
`

// A function, and what becomes of it: a name, a line and a word change, one comes, one goes.
const sums = `
A sum.

<<sums.c>>=
int sum_of(const int *at, int n)
{
    int sum = 0;
    /* "quoted" */
    int step = 1;
    int from = 0;
    int upto = n;
    int seen = 0;
    int last = at[0];
    int next = at[1];
    for (int i = from; i < upto; i += step)
        sum += at[i] < 0;
    seen++;
    return sum;
}
@ %def sum_of

A mean.

{{diff [[sum_of]]}}

<<sums.c>>=
int mean_of(const int *at, int n)
{
    int sum = 0;
    /* "quoted" */
    int step = 1;
    int from = 0;
    int upto = n;
    int seen = 0;
    int last = at[0];
    int next = at[1];
    for (int i = from; i < upto; i += step)
        sum += at[i] < 1;
    if (n == 0) return 0;
    return sum / n;
}
@ %def mean_of
`

const two = `# The second {#ch:second}

## Earlier {#sec:earlier}

## Later {#sec:later}

As @fig:line, @ch:first, @eq:sum and @sec:rest say, {{1:one.share|%.2f}}.
${sums}${program(2, 'printf("two\\t%d %s\\n", one_twice(many), "one_twice");')}`

const suite = `#include "one.h"
static int doubled(int x) { return one_twice(x); }

static void twice(void)
{
    CU_ASSERT(one_twice(2) == 4 && one.twice == 1);
}

static void through_a_helper(void)
{
    int many = 3;

    CU_ASSERT(doubled(many) == 6);
}

static const int data[2][2] = {{1, 2},
                               {3, 4}};

static void nothing(void) { }

SUITE(1) {
    check_case("two \\"twos\\" are < 5", twice);
    check_case("by a helper", through_a_helper);
    check_case("nothing", nothing);
}
`

before(() => {
  for (const part of ['Makefile', 'book', 'data', 'figures/style.gp'])
    fs.cpSync(path.join(root, part), file(part), { recursive: true,
      filter: (name) => !/book\/(html|book\.(pdf|epub))$/.test(name) })
  write('chapters/01-one.nw', one)
  write('chapters/02-two.nw', two)
  write('tests/test_chapter1.c', suite)
  write('figures/data/01-speed.tsv', '# By hand.\n# step:\ttime, ms\nnaive\t3\ntwo threads\t1.25\n')
  write('book/references.bib', '@book{knuth1984, author={Knuth, Donald}, title={Literate Programming}, year={1984}}\n'
    + '@book{ritchie1978, author={Ritchie, Dennis}, title={The C Programming Language}, year={1978}}\n'
    + '@book{lamport1986, author={Lamport, Leslie}, title={LaTeX}, year={1986}}\n')
  write('figures/01-line.gp', '# data: build/chapter1 --data line\nplot data using 1:2 with lines title "line"\n')
  fonts()
  made('html')
})

after(() => process.env.KEEP || fs.rmSync(book, { recursive: true, force: true }))

test('references are numbered and link across chapters', () => {
  const html = page('01-one')
  for (const [text, target] of [['Chapter 2', '02-two.html'], ['Section 2.2', '02-two.html#sec-later'],
    ['Figure 1.1', '#fig-line'], ['Table 1.1', '#tbl-cost'], ['Equation 1.1', '#eq-sum']]) {
    const words = text.replace(' ', '(&nbsp;|\u00a0)')
    match(html, new RegExp(`<a href="${target}"[^>]*>${words}</a>`), text)
  }
  match(page('02-two'), /<a href="01-one.html#fig-line"[^>]*>Figure.1\.1<\/a>/)
  match(html, /<a href="#ref-knuth1984"[^>]*>Knuth/)
  match(html, /id="ref-knuth1984"/)
  match(html, /id="sec-here"[^>]*><span class="number">1\.1<\/span>/)
})

test('the back is one closed box, after the further reading, without a number', () => {
  const html = page('01-one')
  match(html, /id="refs"[^]*<details><summary><h2 id="sec-rest">The rest of one\.c, 2 lines<\/h2><\/summary>[^]*id="chunk-functions-of-one-c"[^]*id="chunk-functions-of-one-c-2"[^]*<\/details>/)
  match(html, /<li><a href="#sec-reading">[^]*?<\/li>\s*<li><a href="#sec-rest">The rest of one\.c, 2 lines<\/a><\/li>/)
  match(page('02-two'), /<a href="01-one\.html#sec-rest"[^>]*>The rest of one\.c<\/a>/)
  match(page('chunks'), /01-one\.html#chunk-functions-of-one-c/)
  match(read('book/html/search.js'), /"01-one\.html#chunk-functions-of-one-c-2"/)
  // Where a chapter has a back, nothing else is folded; where it has none, its program is.
  lacks(html, /class="fold"/)
  match(page('02-two'), /class="fold"/)
})

test('a collecting chunk says once where it goes on', () => {
  const html = page('01-one')
  const foot = (id) => html.match(new RegExp(`<div id="${id}"[^]*?<div class="chunk-foot">([^]*?)</div>`))[1].replace(/<[^>]*>/g, '').trim()
  assert.equal(foot('chunk-double-it'), 'Continued in 1.4. Used in 1.2.')
  match(html, /<div id="chunk-double-it-2" class="chunk more">\s*<div class="chunk-head">[^\n]*href="#chunk-double-it" aria-label="Before this[^\n]*\n<pre[^>]*>[^]*?<\/pre>\s*<\/div>/)
})

test('works cited in cells and captions are resolved and listed', () => {
  const html = page('01-one')
  for (const [key, name] of [['ritchie1978', 'Ritchie'], ['lamport1986', 'Lamport']]) {
    match(html, new RegExp(`<a\\s+href="#ref-${key}"[^>]*>${name}`), name)
    match(html.match(/<table[^]*<\/table>/)[0], new RegExp(name))
    match(html, new RegExp(`id="ref-${key}" class="bibliography"`))
    match(page('bibliography'), new RegExp(`id="ref-${key}"[^]*?Cited in <a href="01-one`))
  }
  lacks(html.replace(/<annotation[^]*?<\/annotation>/g, ''), /\[@/)
})

test('values are the program\'s, in the format asked for', () => {
  const html = page('01-one')
  const found = [...html.matchAll(/<span class="value"([^>]*)>([^<]*)<\/span>/g)]
    .map(([, attributes, text]) => [/data-format="([^"]*)"/.exec(attributes)?.[1] ?? '',
      /data-run="([^"]*)"/.exec(attributes)[1], text])
  const first = 'build/chapter1 --values'
  for (const expected of [['', first, '0.8314'], ['%.1f%%', first, '83.1%'], [',', first, '1,234,567'],
    ['%.2f', first + ' --many 1', '0.25'], ['%.1f', 'book/measured figures/data/01-speed.tsv', '1.2'], ['%.3f', first, '0.831']])
    assert.ok(found.some((f) => f.join() === expected.join()), expected + ' among ' + found.join('; '))
  match(html, /aria-label="A line up to 1234567\."/)
  match(html, /<mn>0\.83<\/mn>/)
  match(page('02-two'), /data-run="build\/chapter1 --values"[^>]*>0\.83</)
})

test('a transcript shows its part, a lesson its fields, a figure its curve', () => {
  const html = page('01-one')
  match(html, /<span class="command">\$ build\/chapter1<\/span>\nTail\nlast<\/code>/)
  match(html, /<section class="lesson" id="lesson-1\.1"[^]*Two &amp; two[^]*Is 2 &lt; 3\?[^]*upside down[^]*<\/section>/)
  match(html, /<figure id="fig-line">\s*<div class="picture">\s*<svg[^>]*role="img"[^]*<path/)
})

test('chunks link to their parts, identifiers to their definitions, not in comments or strings', () => {
  const html = page('01-one')
  match(html, /<a class="chunk-use" href="#chunk-double-it">⟨double it⟩<\/a>/)
  match(html, /id="chunk-double-it-2"[^]*?⟨double it⟩(&#8239;)?\+≡/)
  match(html, /Continued in <a[^>]*href="#chunk-double-it-2">1\.4<\/a>/)
  match(html, /Used in <a[^>]*href="#chunk-one-c">1\.2<\/a>/)
  match(html, /<span class="definition" id="def-one_twice">one_twice<\/span>/)
  match(html, /\/\* one_twice is twice x \*\//)
  match(html, /struct<\/span> <a href="#def-one">one<\/a> one =/)
  match(html, /<code><a href="#def-one_twice">one_twice<\/a>\(x\)<\/code>/)
  const next = page('02-two')
  match(next, /<a href="01-one.html#def-one_twice">one_twice<\/a>\(many/)
  match(next, /&quot;one_twice&quot;/)
  match(page('identifiers'), /id="one_twice"[^]*01-one.html#def-one_twice[^]*02-two.html#chunk-print-the-values-2/)
  match(page('chunks'), /⟨double it⟩[^]*01-one.html#chunk-double-it-2/)
})

test('a chunk is a diff of the function that it names', async () => {
  const html = page('02-two'), chunk = html.match(/<div id="chunk-sums-c-2"[^]*?<\/pre>/)[0]
  match(chunk, /Changes from <span><code>sum_of<\/code> in <a href="#chunk-sums-c">2\.1<\/a><\/span>: \+ added, − removed, ± changed\./)
  const colorless = (text) => text.replace(/<span class="..">([^<]*)<\/span>/g, '$1')
  const shown = colorless(chunk.match(/<code class="sourceCode">([^]*)<\/code>/)[1])
  const line = (tag, label, sign, text) =>
    `<${tag} class="line"><span class="sign" role="img" aria-label="${label}">${sign}</span>${text}\n</${tag}>`
  for (const there of [
    line('span', 'changed', '± ', 'int <span class="definition" id="def-mean_of"><del>sum</del><ins>mean</ins>_of</span>(const int *at, int n)'),
    line('del', 'removed', '−     ', 'seen++;'), line('ins', 'added', '+ ', '    if (n == 0) return 0;'),
    line('span', 'changed', '± ', '    return sum<ins> / n</ins>;'),
    '<a href="#chunk-sums-c">… 6 lines as before</a>\n</span><span class="same" hidden>    /* &quot;quoted&quot; */\n    int step = 1;'])
    assert.ok(shown.includes(there), there + ' in ' + shown)
  // Read as a diff, it is the old code and the new.
  const code = sums.match(/(?<=<<sums\.c>>=\n)[^]*?(?=\n@)/g)
  const text = (gone) => shown.replace(/<span class="as-before">[^]*?<\/a>\n<\/span>|<span class="sign"[^>]*>..( *)<\/span>/g, '$1').replace(gone, '')
    .replace(/<[^>]*>/g, '').replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&amp;', '&')
  assert.equal(text(/<del[^]*?<\/del>/g), code[1])
  assert.equal(text(/<ins[^]*?<\/ins>/g).replace('\n\n', '\n'), code[0])
  // In the EPUB and in print, what stays is not said again.
  made('build/epub/02-two.json', 'build/weave/02-two.tex')
  assert.equal(read('build/epub/02-two.json').split('quoted&quot;').length, 2)
  const tex = read('build/weave/02-two.tex').match(/chunk:sums:c:2[^]*?\\end\{Highlighting\}/)[0]
  for (const there of ['\\removed{sum}\\added{mean}', '\\sign{−}    \\removed{', '\\sign{+}', '\\sign{±}', '6 lines as before'])
    assert.ok(tex.includes(there), there + ' in ' + tex)
  lacks(tex, /quoted/)
})

test('a diff is copied as the new code, and unfolds what stays', async () => {
  const { page, trouble, close } = await open(path.relative(site, file('book/html/02-two.html')) + '#chunk-sums-c-2',
    { permissions: ['clipboard-read', 'clipboard-write'] })
  const chunk = page.locator('#chunk-sums-c-2'), more = chunk.locator('.as-before a')
  await chunk.locator('.copy').click()
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), sums.match(/(?<=<<sums\.c>>=\n)[^]*?(?=\n@)/g)[1] + '\n')
  lacks(await chunk.innerText(), /quoted/)
  await more.press('Space')
  assert.equal(await more.getAttribute('aria-expanded'), 'true')
  match(await chunk.innerText(), /as before\n    \/\* "quoted"/)
  await more.click()
  lacks(await chunk.innerText(), /quoted/)
  assert.deepEqual(trouble, [])
  await close()
})

test('a function names the cases that hold it, and they are a page', () => {
  const html = page('01-one')
  match(html, /Held by <a href="test-1\.html#case-through_a_helper">“by a helper”<\/a>, <a href="test-1\.html#case-twice">“two (&quot;|")twos(&quot;|") are &lt; 5”<\/a> in <code>tests\/test_chapter1\.c</)
  assert.equal(html.match(/Held by/g).length, 1)
  const cases = [...page('test-1').matchAll(/<div id="case-(\w+)"[^>]*>\s*<pre[^>]*>([^]*?)<\/pre>/g)]
  assert.deepEqual(cases.map((m) => m[1]), ['doubled', 'twice', 'through_a_helper', 'nothing', 'SUITE'])
  match(cases[2][2].replace(/<[^>]*>/g, ''), /int many = 3;\n\n {4}CU_ASSERT\(doubled/)
  match(page('tests'), /<a href="test-1\.html#case-nothing">nothing<\/a>/)
})

test('the path has each lesson, its minutes, and the section to read with those that lint counts', () => {
  const text = page('path')
  match(text, /<h2 id="path-1">.*\n<p>.*It has 1 step: at one a day, 1 day\.<\/p>\n<ol>/)
  match(text, /<a href="01-one\.html#lesson-1\.1"[^>]*>1\.1 Two &amp; two<\/a><br \/>\s*3 minutes, 1 of them to read <a href="01-one\.html#sec-here"[^>]*>Section\s1\.1<\/a>, <em>A section<\/em>, first\. <span class="state" data-of="1\.1">/)
  lacks(text, /path-2|beside-the-paths|2\.1/)
  match(page('01-one'), /<nav[^]*?<a href="path\.html">The path<\/a>/)
  match(read('book/html/search.js'), /"path\.html#path-1"/)
})

test('the bibliography has the works that are cited, and by whom', () => {
  match(page('bibliography'), /id="ref-knuth1984"[^]*Literate Programming[^]*Cited in <a href="01-one\.html"[^>]*>1<\/a>\./)
  lacks(page('bibliography'), /class="cited"/)
})

test('terms and symbols are in the index and link to where they are defined', () => {
  match(page('01-one'), /<dfn id="term-widget">widget<\/dfn>/)
  match(page('terms'), /<math[^]*size of a <em>widget<\/em>[^]*<a href="01-one.html#term-w"[^>]*>1\.1<\/a>/)
  match(page('terms'), /widget <span class="what">defined<\/span> <a href="01-one.html#term-widget"[^>]*>1\.1<\/a>/)
})

test('a second weave does nothing', () => {
  const was = published()
  assert.equal(made('html'), '')
  assert.deepEqual(changed(was), [])
  fs.utimesSync(file('chapters/01-one.nw'), new Date(), new Date())
  lacks(made('html'), /weave/)
  assert.deepEqual(changed(was), [])
})

test('an edit of one chapter\'s words weaves that chapter only', () => {
  const was = published()
  write('chapters/02-two.nw', two.replace('say,', 'say plainly,'))
  made('html')
  assert.deepEqual(changed(was), ['02-two.html', 'search.js'])
  match(page('02-two'), /say plainly,/)
})

test('an edit of what other pages show weaves them, too', () => {
  let was = published()
  write('chapters/02-two.nw', two.replace('## Earlier {#sec:earlier}\n', ''))
  made('html')
  assert.deepEqual(changed(was), ['01-one.html', '02-two.html', 'search.js'])
  match(page('01-one'), /Section.2\.1</)
  was = published()
  write('chapters/01-one.nw', one.replaceAll('double it', 'make it two'))
  made('html')
  assert.deepEqual(changed(was), ['01-one.html', 'chunks.html', 'identifiers.html', 'search.js'])
  write('chapters/01-one.nw', one)
  write('chapters/02-two.nw', two)
  made('html')
})

// What is wrong is told at once, as far as one step of the press sees it: so a step, a make.
const mistakes = [[
  ['a run that fails', '```run\n$ build/chapter1 --fail\n```', /exit status 1/, 1],
], [
  ['an unknown table', '{{measured 01-sped a.b}}', /`book\/measured figures\/data\/01-sped\.tsv' failed/],
], [
  ['a value of a program that is not there', '{{9:x}}', /`build\/chapter9 --values' failed with exit status 127/],
], [
  ['brackets that noweb cannot read', 'if a << b then', /<</],
], [
  ['an undefined chunk', '<<tail.c>>=\n<<nothing at all>>\n@', /nothing at all/, 1],
], [
  ['a value on two lines', '{{one.share|\n%.2f}}', /opens with \{\{ here and does not close/],
  ['a shell in a value', '{{one.share; touch build/touched|%.2f}}', /names no value/],
  ['text in a run block', '```run\nHead\n```', /"Head" is no command/, 1],
  ['a command that is no program of the book', '```run\n$ date >build/touched\n```', /build\/chapter/, 1],
  ['a byte that is no UTF-8', 'caf\xe9', /is not UTF-8/],
  ['a diff of a chunk that does not follow', '{{diff one_twice}}\n\nWords.', /\{\{diff one_twice\}\} stands right before a chunk/],
  ['a diff in a sentence', 'Words: {{diff one_twice}}', /must stand alone/],
  ['a chunk in an open block', '```\n<<tail.c>>=\nint x;\n@', /this block is still open at the code chunk in line \d+/],
], [
  ['a missing figure', '![A.](01-lime){#fig:x alt="x"}', /there is no figure 01-lime/],
  ['a figure without alternative text', '![A.](01-line){#fig:y}', /needs alt=/],
  ['a chunk that a table swallows', '-------\na   b\n--- ---\nx   y\n\n<<swallowed.c>>=\nint y;\n@\n\n-------', /chunk <<swallowed\.c>> is on no page/, 5],
], [
  ['a figure that moves and draws something else', '![A.](01-line){#fig:z .live alt="x"}', /01-line is \.live, .*# data: build\/live line/],
], [
  ['an unknown value', '{{one.shore}}', /there is no value one\.shore in `build\/chapter1 --values`; .*one\.share/],
  ['an unknown measurement', '{{measured 01-speed three.time_ms}}', /there is no value three\.time_ms in `book\/measured figures\/data\/01-speed\.tsv`; .*two_threads\.time_ms/],
  ['a bad format', '{{one.share|%s}}', /allowed is a printf format/],
  ['a value in a formula', '$x = {{one.share}}$', /write \{\{=one\.share/],
  ['an unresolved reference', 'Two\nlines: @fig:lime.', /nothing is called @fig:lime; .*fig:line/, 1],
  ['a missing citation', 'See [@knuth1985].', /no entry knuth1985; .*knuth1984/],
  ['an unknown lesson', '{{lesson 1.7}}', /there is no lesson 1\.7; .*1\.1/],
  ['a part that is not printed', '```{.run part="Tale"}\n$ build/chapter1\n```', /starts with "Tale"/, 1],
  ['a chunk that prose names and nobody defines', 'See [[<<lime>>]].', /\[\[<<lime>>\]\]: there is no such chunk/],
  ['a diff of what comes later', 'So.\n\n{{diff one_twice}}\n\n<<later.c>>=\nint y;\n@',
    /\{\{diff one_twice\}\}: no chunk before this one has a function or struct one_twice, or, in one piece, the title one_twice; the nearest functions are/, 2],
  ['a diff without a difference', '<<same.c>>=\nint y;\n@\n\n{{diff same.c}}\n\n<<again.c>>=\nint y;\n@', /\{\{diff same\.c\}\}: nothing differs/, 4],
  ['a term defined twice', 'A [widget]{.term}. A\n[widget]{.term}.', /"widget" is defined here twice/, 1],
]]
for (const group of mistakes) {
  test('stops at ' + group.map(([what]) => what).join(', ') + ', with file and line, and leaves the pages', () => {
    const was = published()
    const lines = one.split('\n')
    const at = lines.indexOf('## A section {#sec:here}')
    const places = []
    let inserted = []
    for (const [, text, , offset = 0] of group) {
      places.push(at + inserted.length + 1 + offset)
      inserted = [...inserted, ...text.split('\n'), '']
    }
    lines.splice(at, 0, ...inserted)
    fs.writeFileSync(file('chapters/01-one.nw'), Buffer.from(lines.join('\n').replaceAll('\xe9', '\u0000')).map((byte) => byte || 0xe9))
    const run = make('html')
    write('chapters/01-one.nw', one)
    assert.notEqual(run.status, 0)
    group.forEach(([what, , message], i) => {
      const told = run.err.split('\n').filter((line) => message.test(line))
      assert.ok(told.length > 0, `${what}: ${run.err}`)
      assert.ok(told.some((line) => line.startsWith(`chapters/01-one.nw:${places[i]}:`)), `${what}, at ${places[i]}: ${told}`)
    })
    assert.ok(!fs.existsSync(file('build/touched')))
    assert.deepEqual(changed(was), [])
  })
}

test('what looks like TeX, HTML or YAML is text, and swallows nothing', () => {
  write('chapters/02-two.nw', two + '\nA \\emph{world} of \\begin{quote} it.\n\n<!-- hidden\n\n<<aside>>=\nint z;\n@\n\n-->\n\n---\na: b\n---\n\n'
    + '<<two.c>>=\nint w;\n<<aside>>\n@\n\nAs [[<<aside>>]] says. \\end{quote}\n')
  made('html')
  const html = page('02-two')
  write('chapters/02-two.nw', two)
  match(html, /A \\emph\{world\} of \\begin\{quote\} it\.[^]*&lt;!(?:--|–)\s+hidden[^]*id="chunk-aside"[^]*(?:--|–)&gt;[^]*id="chunk-two-c"/)
  match(html, /As <a href="#chunk-aside"[^>]*>⟨aside⟩<\/a> says\. \\end\{quote\}/)
})

test('a long paragraph takes no longer than its words', () => {
  write('chapters/02-two.nw', two + '\n' + 'many words '.repeat(30_000) + '\n')
  const run = spawnSync('make', ['html'], { cwd: book, timeout: 120_000, encoding: 'utf8' })
  write('chapters/02-two.nw', two)
  assert.equal(run.status, 0, String(run.signal) + run.stderr)
})

test('a suite that says what a case holds is believed', () => {
  write('tests/test_chapter1.c', suite.replace('nothing);', 'nothing); /* one_twice */'))
  made('html')
  match(page('01-one'), /Held by <a href="test-1\.html#case-nothing">“nothing”<\/a>/)
  write('tests/test_chapter1.c', suite)
  made('html')
})

test('a page shows what it refers to elsewhere, when pointed at', () => {
  match(page('02-two'), /<template data-of="01-one\.html#eq-sum">\s*<div id="eq-sum" class="equation">[^]*<\/math>[^]*<\/template>/)
  match(page('02-two'), /<template data-of="01-one\.html#fig-line">\s*<figure id="fig-line">[^]*<svg[^]*<\/template>/)
})

test('the PDF stops at a character that its fonts lack', () => {
  const bin = file('bin')
  write('bin/lualatex', '#!/bin/sh\nmkdir -p build/pdf\necho x >build/pdf/book.aux\necho x >build/pdf/book.pdf\n'
    + "echo 'Missing character: There is no 変 (U+5909) in font [lmroman]!' >build/pdf/book.log\n")
  fs.chmodSync(path.join(bin, 'lualatex'), 0o755)
  write('chapters/02-two.nw', two.replace('## Later', 'Hello 変.\n\n## Later'))
  const run = make('pdf', `PATH=${bin}:${process.env.PATH}`)
  write('chapters/02-two.nw', two)
  assert.notEqual(run.status, 0)
  match(run.err, /chapters\/02-two\.nw:\d+: the PDF's fonts have no 変/)
  assert.ok(!fs.existsSync(file('book/book.pdf')))
})

test('goals that build the same go one after the other', () => {
  for (let round = 0; round < 2; round++) {
    fs.rmSync(file('build'), { recursive: true })
    fonts()
    const run = make('-j4', 'html', 'quoted')
    assert.equal(run.status, 0, run.err + run.out)
  }
})

test('an id defined in two chapters stops the weave', () => {
  const was = published()
  write('chapters/02-two.nw', two.replace('{#sec:later}', '{#sec:here}'))
  const run = make('html')
  write('chapters/02-two.nw', two)
  assert.notEqual(run.status, 0)
  match(run.err, /chapters\/02-two\.nw:\d+: \{#sec:here\} .*chapters\/01-one\.nw/)
  assert.deepEqual(changed(was), [])
  made('html')
})

test('promote accepts what programs say; check-quoted notices a difference', () => {
  assert.notEqual(make('check-quoted').status, 0)
  made('promote')
  made('check-quoted')
  lacks(read('tests/values/01-one.txt'), /one\.idle/)
  match(read('tests/values/01-one.txt'), /(^|\n)\$ build\/chapter1\nHead\n[^]*\n\$ build\/chapter1 --values\none\.share\t0\.8314\n/)
  const name = 'tests/values/01-one.txt'
  write(name, read(name).replace('0.8314', '0.8315'))
  const run = make('check-quoted')
  assert.notEqual(run.status, 0)
  match(run.out + run.err, /-one\.share\t0\.8315\n\+one\.share\t0\.8314/)
  match(run.out + run.err, /make promote/)
})

test('a chapter that goes takes its page along, and its name from the others', () => {
  write('chapters/01-one.nw', one.replace('@ch:second, @sec:later, ', ''))
  made('html')
  match(page('01-one'), /02-two\.html/)
  fs.rmSync(file('chapters/02-two.nw'))
  made('html')
  lacks(page('01-one') + page('chunks') + page('identifiers'), /02-two\.html/)
  assert.deepEqual(fs.readdirSync(file('book/html')).filter((name) => !name.endsWith('.woff2')).sort(),
    ['01-one.html', 'bibliography.html', 'book.js', 'chunks.html', 'identifiers.html', 'path.html', 'search.js', 'style.css',
      'terms.html', 'test-1.html', 'tests.html'])
  write('chapters/01-one.nw', one)
  write('chapters/02-two.nw', two)
})
