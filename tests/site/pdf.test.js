// The printed book: pages, outline, fonts, values, and no line in the margin.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { root, site } from './paths.js'

const pdf = path.join(root, 'book/book.pdf')
const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 })
const plain = (text) => text.normalize('NFKC').replace(/\s+/g, ' ').replaceAll('’', "'")
let whole
const wholeText = () => (whole ??= plain(run('pdftotext', pdf, '-')))
const titles = fs.readdirSync(path.join(root, 'chapters')).filter((name) => name.endsWith('.nw')).sort()
  .map((name) => fs.readFileSync(path.join(root, 'chapters', name), 'utf8').match(/^# (.*?) *\{#ch:/m)[1])

test('the PDF has pages, a title and a language', () => {
  const info = run('pdfinfo', pdf)
  assert.ok(Number(info.match(/^Pages: *(\d+)/m)[1]) >= titles.length)
  assert.match(info, /^Title: *Where Tokens Go$/m)
  assert.match(info, /^Author: *\S/m)
})

test('the outline has every chapter', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'outline-'))
  try {
    run('pdftohtml', '-xml', '-i', '-q', pdf, path.join(folder, 'book'))
    const xml = fs.readFileSync(path.join(folder, 'book.xml'), 'utf8')
    const outline = plain(xml.slice(xml.indexOf('<outline>')).replace(/<[^>]*>/g, '\n').replaceAll('&amp;', '&'))
    assert.notEqual(xml.indexOf('<outline>'), -1)
    for (const title of [...titles, 'Bibliography', 'Index of chunks', 'Index of identifiers', 'Index of terms and notation'])
      assert.ok(outline.includes(plain(title)), title)
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
})

test('every font is embedded', () => {
  const fonts = run('pdffonts', pdf).trim().split('\n').slice(2)
  assert.ok(fonts.length > 0)
  for (const font of fonts) assert.match(font, / yes +(yes|no) +(yes|no) +\d+ +\d+ *$/, font)
})

test('a chunk says on which page it is used', () => {
  const text = plain(run('pdftotext', '-f', '10', pdf, '-'))
  const pages = fs.readdirSync(site).filter((name) => /^[\dA-Z]+-.*\.html$/.test(name) && !name.startsWith('test-'))
  const uses = pages.flatMap((name) => [...fs.readFileSync(path.join(site, name), 'utf8').split('class="back"')[0]
    .matchAll(/Used in <a [^>]*>([^<]*)</g)].map((m) => m[1]))
  assert.ok(uses.length > 0)
  for (const use of uses) assert.match(text, new RegExp(`Used in ${use} \\(p\\. \\d+\\)`))
})

test('a card has its hints, and its answer at the end of the chapter', () => {
  const text = wholeText()
  for (const there of [/PREDICT 3\.1 · \d+ MINUTES.*?Hint 1\. .*?Hint 3\. .*?Answer\. page \d+/, /Answers.*? 3\.1 .*?If you said/])
    assert.match(text, there)
})

test('the works are listed once, in the bibliography', () => {
  const text = wholeText()
  const works = [...fs.readFileSync(path.join(site, 'bibliography.html'), 'utf8').matchAll(/<a href="(https?:[^"]*)"/g)].map((m) => m[1])
  assert.ok(works.length > 10)
  for (const work of works) assert.equal(text.replaceAll(' ', '').split(work.replaceAll('&amp;', '&') + '.').length, 2, work)
})

test('the text has the values that the pages show', () => {
  const text = wholeText()
  let count = 0
  for (const name of fs.readdirSync(site).filter((n) => n.endsWith('.html'))) {
    for (const [, shown] of fs.readFileSync(path.join(site, name), 'utf8')
      .matchAll(/<span class="value"[^>]*>([^<]*)<\/span>/g)) {
      assert.ok(text.includes(plain(shown)), `${name}: ${shown}`)
      count++
    }
  }
  assert.ok(count > 0)
})

test('every figure is there, with its caption: none runs off its page', () => {
  const text = plain(run('pdftotext', pdf, '-'))
  const figures = fs.readdirSync(site).filter((name) => name.endsWith('.html')).flatMap((name) =>
    [...fs.readFileSync(path.join(site, name), 'utf8').matchAll(/<figcaption><span class="label">(Figure [^<]*\.)<\/span>\s*([A-Z][a-z]*)/g)])
  assert.ok(figures.length > 10)
  for (const [, label, word] of figures) assert.ok(text.includes(`${label} ${word}`), label)
})

test('no line runs into the margin, no glyph or reference is missing', () => {
  const log = fs.readFileSync(path.join(root, 'build/pdf/book.log'), 'latin1')
  assert.match(log, /Output written on/)
  assert.deepEqual(log.match(/^Overfull \\hbox.*(\n.*){2}/gm) ?? [], [])
  assert.deepEqual(log.match(/^Missing character.*|^LaTeX Warning: .*undefined.*/gm) ?? [], [])
})
