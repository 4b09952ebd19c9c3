// The woven book as its readers get it: links, valid HTML, numbers that the
// programs still say, and every page in a browser, from a file.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import jar from 'vnu-jar'
import { open } from './browser.js'
import { root, site, unlike } from './paths.js'

const pages = fs.readdirSync(site).filter((name) => name.endsWith('.html')).sort()
const chapters = fs.readdirSync(path.join(root, 'chapters')).filter((name) => name.endsWith('.nw')).sort()
const html = (name) => fs.readFileSync(path.join(site, name), 'utf8')
const suites = fs.readdirSync(path.join(root, 'tests')).filter((name) => name.startsWith('test_chapter'))
const pageOf = (suite) => suite.replace('test_chapter', 'test-').replace('.c', '.html')

test('every chapter has its page, and there is nothing else', () => {
  const expected = chapters.map((name) => name.startsWith('00-') ? 'index.html' : name.replace('.nw', '.html'))
  assert.deepEqual(fs.readdirSync(site).filter((name) => !name.endsWith('.woff2')).sort(),
    [...expected, ...suites.map(pageOf), 'path.html', 'bibliography.html', 'chunks.html', 'identifiers.html', 'terms.html', 'tests.html', 'style.css', 'book.js', 'search.js',
      'cards.js', 'lessons.js'].sort())
})

test('every link and fragment resolves, without a network', () => {
  const ids = Object.fromEntries(pages.map((name) =>
    [name, new Set([...html(name).matchAll(/\sid="([^"]*)"/g)].map((m) => m[1]))]))
  const lost = []
  let count = 0
  for (const name of pages) {
    for (const [, tag, target] of html(name).matchAll(/<(\w+)\s[^>]*?(?:href|src)="([^"]*)"/g)) {
      if (/^data:/.test(target) || (tag === 'a' && /^https?:/.test(target))) continue
      const [file, fragment] = target.split('#')
      const there = file || name
      if (!fs.existsSync(path.join(site, there)) || (fragment && !ids[there]?.has(decodeURIComponent(fragment))))
        lost.push(`${name} -> ${target}`)
      count++
    }
  }
  assert.deepEqual(lost, [])
  assert.ok(count > pages.length)
})

test('every claim of a suite is on the page of the tests, and its case on its own', () => {
  let count = 0
  for (const name of suites) {
    const text = fs.readFileSync(path.join(root, 'tests', name), 'utf8')
    const there = pageOf(name)
    for (const [, claim, test] of text.matchAll(/check_case\(\s*"((?:[^"\\]|\\.)*)",\s*(\w+)\)/g)) {
      assert.ok(unescaped(html('tests.html')).includes(`<a href="${there}#case-${test}">${claim.replace(/\\(.)/g, '$1')}</a>`), claim)
      count++
    }
    assert.equal(html(there).replace(/<[^>]*>/g, '').match(/CU_ASSERT/g)?.length, text.match(/CU_ASSERT/g)?.length, name)
  }
  assert.ok(count > 100)
})

// The checker does not know CSP 3's 'wasm-unsafe-eval', without which no browser runs the cards' program.
test('the HTML is valid', () => {
  const run = spawnSync('java', ['-jar', jar, '--errors-only', '--format', 'gnu', '--filterpattern', ".*'wasm-unsafe-eval'.*",
    ...pages.map((name) => path.join(site, name))], { encoding: 'utf8' })
  assert.equal(run.stderr.replaceAll(pathToFileURL(site).href, ''), '')
  assert.equal(run.status, 0)
})

// The checker knows MathML 3, where a bare number was a factor; browsers know MathML Core.
test('sizes in formulas have units', () => {
  const sizes = pages.flatMap((name) => [...html(name).matchAll(/\s(?:min|max)size="([^"]*)"/g)].map((m) => `${name}: ${m[1]}`))
  assert.ok(sizes.length > 0)
  assert.deepEqual(sizes.filter((size) => !/\d(%|r?em|px)$/.test(size)), [])
})

test('ids are unique on each page', () => {
  for (const name of pages) {
    const ids = [...html(name).matchAll(/\sid="([^"]*)"/g)].map((m) => m[1])
    assert.deepEqual(ids.filter((id, i) => ids.indexOf(id) !== i), [], name)
  }
})

const unescaped = (text) => text.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
// What the programs say is in tests/values; `make check-quoted`, which runs
// before the page checks, has just proved it.
const outputs = new Map()
for (const name of fs.readdirSync(path.join(root, 'tests/values')))
  for (const part of fs.readFileSync(path.join(root, 'tests/values', name), 'utf8').split(/^\$ /m).slice(1)) {
    const end = part.indexOf('\n')
    outputs.set(part.slice(0, end), (outputs.get(part.slice(0, end)) ?? '') + part.slice(end + 1))
  }
function output(command) {
  assert.ok(outputs.has(command), `tests/values has no run of ${command}`)
  return outputs.get(command)
}

function formatted(value, format) {
  if (format === '') return value
  if (format === ',') return value.replace(/^-?\d+/, (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ','))
  const number = format.includes('%%') ? Number(value) * 100 : Number(value)
  return execFileSync('printf', [format, format.match(/%[^%a-z]*d/) ? String(Math.round(number)) : String(number)],
    { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } })
}

test('each value on a page is what its program says now', () => {
  let count = 0
  for (const name of pages) {
    for (const [, attributes, shown] of html(name).matchAll(/<span class="value"([^>]*)>([^<]*)<\/span>/g)) {
      const data = (key) => unescaped(attributes.match(new RegExp(`data-${key}="([^"]*)"`))?.[1] ?? '')
      const line = output(data('run')).split('\n').find((l) => l.startsWith(data('name') + '\t'))
      assert.ok(line, `${name}: ${data('run')} has no ${data('name')}`)
      assert.equal(shown, formatted(line.split('\t')[1], data('format')), `${name}: ${data('name')}`)
      count++
    }
  }
  assert.ok(count > 0, 'no page shows a value')
})

test('each transcript on a page is what its program prints now', () => {
  let count = 0
  for (const name of pages) {
    for (const [, text] of html(name).matchAll(/<pre class="run"[^>]*><code>([^]*?)<\/code><\/pre>/g)) {
      const parts = unescaped(text.replace(/<[^>]*>/g, '')).split(/^\$ (.*)$/m).slice(1)
      for (let i = 0; i < parts.length; i += 2) {
        const printed = parts[i + 1].replace(/^\n|\n$/g, '')
        assert.ok(output(parts[i]).includes(printed), `${name}: ${parts[i]}`)
        assert.notEqual(printed, '', `${name}: ${parts[i]}`)
        count++
      }
    }
  }
  assert.ok(count > 0, 'no page shows a transcript')
  for (const suite of suites.filter((name) => /\d/.test(name))) output('build/chapter' + suite.match(/\d+/)[0])   // `make` has run each
})

for (const name of pages.filter(unlike)) {
  test(`${name} in a browser, at three widths, light and dark`, async () => {
    const shots = process.env.SHOTS
    const { page, trouble, close } = await open(name, { viewport: { width: 390, height: 900 } })
    for (const width of [390, 900, 1440]) {
      await page.setViewportSize({ width, height: 900 })
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme })
        const where = `${name} at ${width} px, ${colorScheme}`
        assert.deepEqual(trouble, [], where)
        const wide = await page.evaluate(() => {
          const room = document.documentElement.clientWidth
          if (document.documentElement.scrollWidth <= room) return []
          return [...document.querySelectorAll('main *, nav *, header *')]
            .filter((e) => e.getBoundingClientRect().right > room + 1).slice(0, 5).map((e) => e.outerHTML.slice(0, 120))
            .concat('the page scrolls sideways')
        })
        assert.deepEqual(wide, [], where)
        // Only on a phone may code and formulas scroll inside themselves.
        if (width > 390) {
          const scrolling = await page.evaluate(() => [...document.querySelectorAll('pre, .formula, .table')]
            .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)
            .map((e) => `${e.scrollWidth} px in ${e.clientWidth}: ${e.textContent.trim().slice(0, 100)}`))
          assert.deepEqual(scrolling, [], where)
        }
        const contrast = await page.evaluate(() => {
          const of = (color) => {
            const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map((c) => {
              c /= 255
              return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
            })
            return 0.2126 * r + 0.7152 * g + 0.0722 * b
          }
          const style = getComputedStyle(document.body)
          const behind = of(style.backgroundColor)
          return [...document.querySelectorAll('p, a, code span, figcaption, summary')].map((e) => {
            const text = of(getComputedStyle(e).color)
            return (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05)
          }).reduce((a, b) => Math.min(a, b), 21)
        })
        assert.ok(contrast >= 4.5, `${where}: text has a contrast of ${contrast.toFixed(1)} only`)
        if (shots) await page.screenshot({ path: `${shots}/${name}-${width}-${colorScheme}.png`, fullPage: true })
      }
    }
    await close()
  })
}
