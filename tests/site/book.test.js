// The EPUB, the archive, the spelling, and that building again gives the same bytes.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import crypto from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { root, site } from './paths.js'

const epub = path.join(root, 'book/book.epub')
const archive = path.join(root, 'build/where-tokens-go.tar.gz')
const pages = fs.readdirSync(site).filter((name) => name.endsWith('.html')).sort()
const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 })
const sum = (file) => crypto.createHash('sha256').update(fs.readFileSync(file)).digest('hex')

function temporary(use) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'book-'))
  try {
    return use(folder)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

test('epubcheck has nothing to say of the EPUB', () => {
  // The Debian command does not find its own jar everywhere.
  const jar = '/usr/share/java/epubcheck.jar'
  const check = fs.existsSync(jar) ? spawnSync('java', ['-jar', jar, epub], { encoding: 'utf8' })
    : spawnSync('epubcheck', [epub], { encoding: 'utf8' })
  assert.doesNotMatch(check.stdout + check.stderr, /^(FATAL|ERROR|WARNING|USAGE)/m)
  assert.equal(check.status, 0, check.stdout + check.stderr)
})

test('the EPUB has its cover, every chapter in its contents, words for its pictures', () => {
  const opf = run('unzip', '-p', epub, 'EPUB/content.opf')
  assert.match(opf, /<item[^>]*properties="cover-image"/)
  const nav = run('unzip', '-p', epub, 'EPUB/nav.xhtml')
  for (const name of pages.filter((name) => !/^(test|bib)/.test(name)))
    assert.ok(nav.includes(fs.readFileSync(path.join(site, name), 'utf8').match(/<title>(.*?)( · .*)?<\/title>/)[1]), name)
  const text = run('unzip', '-p', epub, 'EPUB/text/ch*.xhtml')
  const pictures = text.match(/<svg\b[^>]*>/g)
  assert.ok(pictures.length > 5)
  for (const picture of pictures) assert.match(picture, /aria-label="[^"]{20,}"/)
  assert.match(text, /<math /)
  assert.match(text, /id="answer-3\.1"/)
})

test('pages and EPUB woven again have the same bytes', () => temporary((folder) => {
  const copy = path.join(folder, 'copy')
  // What compilers made, what programs and noweb said and the fonts stay; all else is made anew.
  const left = /^(\.git|tests\/site\/node_modules|book\/(html|book\.(pdf|epub))|build\/html\/.*\.(html|js|css)|build\/(?!obj|wasm|weave|quoted|html|chapter\d|names|settings).*)$/
  fs.cpSync(root, copy, { recursive: true, preserveTimestamps: true,
    filter: (name) => !left.test(path.relative(root, name)) })
  const env = { ...process.env, GIT_DIR: path.join(root, '.git') }
  for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'MAKEOVERRIDES', 'TANGLED_IN', 'BUILD', 'FLAVOR', 'AUTHOR'])
    delete env[name]
  for (const goal of ['html', 'epub']) {
    const made = spawnSync('make', [goal], { cwd: copy, env, encoding: 'utf8' })
    assert.equal(made.status, 0, made.stdout + made.stderr)
  }
  for (const name of fs.readdirSync(site))
    assert.equal(sum(path.join(copy, 'book/html', name)), sum(path.join(site, name)), name)
  assert.equal(sum(path.join(copy, 'book/book.epub')), sum(epub))
}))

test('the archive holds the book, and runs with a C compiler, make and what POSIX has', () => temporary((folder) => {
  run('tar', '-xzf', archive, '-C', folder)
  const there = path.join(folder, 'where-tokens-go')
  for (const name of fs.readdirSync(site))
    assert.equal(sum(path.join(there, 'book/html', name)), sum(path.join(site, name)), name)
  assert.equal(sum(path.join(there, 'book/book.epub')), sum(epub))
  assert.ok(fs.statSync(path.join(there, 'book/book.pdf')).size > 1e5)
  const bin = path.join(folder, 'bin')
  fs.mkdirSync(bin)
  for (const tool of ['gcc', 'cc', 'ar', 'as', 'ld', 'make', 'sh', 'awk', 'sed', 'grep', 'cmp', 'diff', 'cat', 'cp', 'mv', 'rm', 'mkdir',
    'sort', 'uniq', 'tr', 'cut', 'head', 'tail', 'wc', 'touch', 'ls', 'env', 'expr', 'dirname', 'basename', 'mktemp', 'date', 'od',
    'sha256sum', 'printf', 'test', 'getconf', 'chmod', 'uname', 'find']) {
    const place = spawnSync('sh', ['-c', 'command -v ' + tool], { encoding: 'utf8' }).stdout.trim()
    if (place.startsWith('/')) fs.symlinkSync(place, path.join(bin, tool))
  }
  const made = spawnSync('make', ['chapter1', 'CFLAGS=-O1', 'ARGS=--steps 10'],
    { cwd: there, env: { PATH: bin, HOME: folder }, encoding: 'utf8' })
  assert.equal(made.status, 0, made.stdout + made.stderr)
  assert.match(made.stdout, /T = 256/)
}))

// Prose only: no code, no formulas, no transcripts, no names of people.
const prose = (html) => html.replace(/<(head|nav|pre|code|math|svg|script)\b[^]*?<\/\1>/g, ' ')
  .replace(/<div id="refs"[^]*?<\/div>\s*<\/div>/, ' ').replace(/<a\s+href="#ref-[^]*?<\/a>/g, ' ')
  .replace(/<[^>]*>/g, ' ').replace(/&#?\w+;/g, ' ').replaceAll('’', "'")

test('the spelling is American, or in tests/site/words.txt', () => {
  const known = new Set(fs.readFileSync(path.join(root, 'tests/site/words.txt'), 'utf8').split(/\s+/))
  const unknown = []
  for (const name of pages.filter((name) => !/^(chunks|identifiers|bibliography)\.html$/.test(name))) {
    const found = execFileSync('aspell', ['list', '--lang=en_US', '--encoding=utf-8', '--ignore=1'],
      { input: prose(fs.readFileSync(path.join(site, name), 'utf8')), encoding: 'utf8' })
    for (const word of new Set(found.trim().split('\n')))
      if (word && !known.has(word)) unknown.push(`${name}: ${word}`)
  }
  assert.deepEqual(unknown, [], 'correct these, or add what is right to tests/site/words.txt, sorted')
})

test('the list of words holds none that no page needs, and they are sorted', () => {
  const words = fs.readFileSync(path.join(root, 'tests/site/words.txt'), 'utf8').trim().split('\n')
  const all = pages.map((name) => prose(fs.readFileSync(path.join(site, name), 'utf8'))).join(' ')
  assert.deepEqual(words.filter((word) => !all.includes(word)), [])
  assert.deepEqual(words, [...new Set(words)].sort())
})
