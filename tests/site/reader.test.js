// What a reader can do on a page: unfold, copy, search, turn, choose a theme,
// print; and what they can do without JavaScript.
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createRequire } from 'node:module'
import { open } from './browser.js'
import { root, site, unlike } from './paths.js'

const pages = fs.readdirSync(site).filter((name) => name.endsWith('.html')).sort()
const html = (name) => fs.readFileSync(path.join(site, name), 'utf8')
const top = '03-top-k.html'

async function on(name, options, steps) {
  const it = await open(name, options)
  try {
    await steps(it.page)
    assert.deepEqual(it.trouble, [], name)
  } finally {
    await it.close()
  }
}
// Playwright's own waiting evaluates text, which the pages' policy forbids.
async function until(page, condition, ...given) {
  for (let i = 0; i < 100; i++) {
    if (await page.evaluate(condition, ...given)) return
    await page.waitForTimeout(50)
  }
  assert.fail('waited in vain: ' + condition)
}
const copied = (page) => page.evaluate(() => navigator.clipboard.readText())
const reading = { permissions: ['clipboard-read', 'clipboard-write'] }

// A chunk that uses one, which uses another if any does: page and ids. It may be in a closed box.
const opened = (page) => page.evaluate(() => document.querySelectorAll('main details').forEach((box) => { box.open = true }))
function nested() {
  let found
  for (const name of pages) {
    const uses = new Map([...html(name).matchAll(/<div id="(chunk-[^"]*)" class="chunk[^]*?<\/pre>/g)].map(([text, id]) =>
      [id, [...text.matchAll(/class="chunk-use" href="#([^"]*)">⟨(.*?)⟩/g)].map((m) => ({ id: m[1], title: m[2] }))]))
    for (const [outer, inside] of uses)
      for (const use of inside) {
        found ??= { name, outer, use: use.id }
        if (uses.get(use.id)?.length) return { name, outer, use: use.id, inner: uses.get(use.id)[0].id }
      }
  }
  assert.ok(found, 'no page has a chunk in a chunk')
  return found
}

test('a use of a chunk unfolds in its place, again and again, and folds', async () => {
  const { name, outer, use: used, inner: deep } = nested()
  await on(name, {}, async (page) => {
    const line = (id) => page.evaluate((id) => document.getElementById(id).querySelector('pre code').textContent.trim().split('\n')[0], id)
    await opened(page)
    const chunk = page.locator('#' + outer)
    const before = await chunk.innerText()
    const use = chunk.locator(`.chunk-use[href="#${used}"]`).first()
    await use.focus()
    await page.keyboard.press('Enter')
    assert.equal(await use.getAttribute('aria-expanded'), 'true')
    const box = page.locator('#' + await use.getAttribute('aria-controls'))
    assert.ok((await box.evaluate((e) => e.textContent)).includes(await line(used)))
    if (deep) {
      const inner = box.locator(`.chunk-use[href="#${deep}"]`).first()
      await inner.focus()
      await page.keyboard.press('Space')
      // Deep inside, the code is indented as in the tangled file.
      const indent = await inner.evaluate((e) => e.previousSibling?.data?.match(/[ \t]*$/)[0] ?? '')
      assert.ok((await box.locator('.unfolded').first().evaluate((e) => e.textContent)).includes(indent + await line(deep)))
      await inner.focus()
    }
    assert.equal(await page.evaluate(() => document.querySelectorAll('[id]').length
      - new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size), 0)
    assert.equal(await page.evaluate(() => document.activeElement.className), 'chunk-use')
    await use.click()
    assert.equal(await use.getAttribute('aria-expanded'), 'false')
    assert.equal(await chunk.innerText(), before)
    assert.equal(new URL(page.url()).hash, '')
  })
})

test('unfolded and folded in any order, a chunk is what it was', () => on(nested().name, {}, async (page) => {
  const changed = await page.evaluate(() => {
    const changed = []
    const open = (use) => use.getAttribute('aria-expanded') === 'true'
    for (const chunk of document.querySelectorAll('.chunk')) {
      const code = chunk.querySelector('pre code'), before = code.textContent
      for (const use of code.querySelectorAll('.chunk-use')) {
        for (const again of [1, 2]) {
          use.click()
          const inner = document.getElementById(use.getAttribute('aria-controls')).querySelectorAll('.chunk-use')
          inner.forEach((nested) => nested.click())       // all open; then fold one of two, and the outer one
          inner.forEach((nested, i) => { if (i % 2 === 0 && open(nested)) nested.click() })
          use.click()
          if (code.textContent !== before) changed.push(`${chunk.id}: ${use.textContent}, ${again}`)
        }
      }
    }
    return changed
  })
  assert.deepEqual(changed, [])
}))

test('a hash that is no name stops nothing', async () => {
  for (const hash of ['#100%', '#%zz', '#%E0%A4%A', '#nowhere'])
    await on('index.html' + hash, {}, async (page) => assert.ok(await page.locator('[data-do="search"]').isVisible(), hash))
})

test('pointed at, a reference shows what it refers to, here and elsewhere', () => on('06-moe.html', {}, async (page) => {
  const preview = page.locator('.preview')
  const point = async (selector) => {             // scrolling takes a preview away, so it comes first
    const link = page.locator(selector).first()
    await link.scrollIntoViewIfNeeded()
    await page.waitForTimeout(300)
    await link.hover()
  }
  await point('main a.reference[href^="#eq-"]')
  await until(page, () => document.querySelector('.preview .equation math'))
  assert.equal(await page.locator('.preview [id]').count(), 0)
  await page.keyboard.press('Escape')
  assert.equal(await preview.count(), 0)
  await point('main a.reference[href*=".html#eq-"]')
  await until(page, () => document.querySelector('.preview .equation math'))
  await point('main > .chunk .chunk-foot a[href^="#chunk-"]')
  await until(page, () => document.querySelector('.preview .chunk pre'))
}))

test('copying a chunk copies its C, unfolded or not', async () => {
  const { name, outer } = nested()
  await on(name, reading, async (page) => {
    await opened(page)
    const chunk = page.locator('#' + outer)
    const tangled = fs.readFileSync(path.join(root, (await chunk.locator('.chunk-file').textContent()).split(',')[0]), 'utf8')
    await chunk.locator('.copy').click()
    await until(page, () => document.querySelector('.status').textContent === 'Copied.')
    const folded = await copied(page)
    assert.doesNotMatch(folded, /[⟨⟩]/)
    for (const title of await chunk.locator('.chunk-use').allTextContents())
      assert.ok(folded.includes(title.replace(/^⟨(.*)⟩$/, '/* $1 */')), title)
    for (;;) {
      const closed = chunk.locator('.chunk-use[aria-expanded="false"]')
      if (!await closed.count()) break
      await closed.first().click()
    }
    await chunk.locator('.copy').click()
    await until(page, async (folded) => await navigator.clipboard.readText() !== folded, folded)
    const whole = await copied(page)
    const lines = (text) => text.split('\n').map((line) => line.trim()).filter(Boolean).join('\n')
    assert.ok(lines(tangled).includes(lines(whole)), whole)
    // By hand, too: a selection holds no numbers and no buttons.
    await page.evaluate((id) => getSelection().selectAllChildren(document.querySelector(`#${id} pre code`)), outer)
    await page.keyboard.press('Control+c')
    assert.equal((await copied(page)).trimEnd(), whole.trimEnd())
  })
})

test('the search finds words, names and prefixes, on every page, and escapes markup', async () => {
  const finds = async (page, words) => {
    await page.locator('dialog.search input').fill(words)
    await until(page, () => !/Loading/.test(document.querySelector('dialog.search [role=status]').textContent))
    return page.locator('.found a').evaluateAll((links) => links.map((a) => a.getAttribute('href')))
  }
  await on('index.html', {}, async (page) => {
    await page.keyboard.press('/')
    assert.ok((await finds(page, 'kept mass')).slice(0, 3).some((place) => place.startsWith('03-top-k.html#sec-')))
    const [, name, there] = html('identifiers.html').match(/id="(\w+_backward)"[^]*?href="([^"#]+)#def-/)
    assert.ok((await finds(page, name)).some((place) => place.startsWith(there + '#chunk-')))
    assert.ok((await finds(page, 'auxil')).some((place) => place.startsWith('04-')))
    assert.ok((await finds(page, 'softmaxx')).length > 0, 'a slip of one letter')
    assert.deepEqual(await finds(page, 'xylophone'), [])
    assert.deepEqual(await finds(page, '<img src=x onerror=alert(1)>  '), [])
    assert.equal(await page.locator('dialog.search img').count(), 0)
    await finds(page, 'kept mass')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await page.waitForURL(/0\d-.*html/)
  })
  await on('terms.html', {}, async (page) => {
    await page.keyboard.press('s')
    assert.ok((await finds(page, 'entropy')).length > 0)
    await page.keyboard.press('Escape')
    assert.equal(await page.locator('dialog[open]').count(), 0)
  })
})

test('every place that the search knows exists', () => {
  const source = fs.readFileSync(path.join(site, 'search.js'), 'utf8')
  const records = new Function(source + '; return wtgSearch')()
  assert.ok(source.length < 600_000, `${source.length} bytes`)
  assert.ok(records.length > 100)
  for (const [place] of records) {
    const [file, id] = place.split('#')
    assert.ok(!id || html(file).includes(`id="${id}"`), place)
  }
})

test('keys turn pages, show help, and never steal typing', () => on('02-router.html', {}, async (page) => {
  await page.keyboard.press('?')
  assert.equal(await page.locator('dialog.help[open]').count(), 1)
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('Escape')
  await until(page, () => !document.querySelector('dialog[open]'))
  assert.match(page.url(), /02-router/)
  await page.keyboard.press('/')
  await page.keyboard.type('s/t?')
  assert.equal(await page.locator('dialog.search input').inputValue(), 's/t?')
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), undefined)
  await page.keyboard.press('ArrowLeft')
  await page.keyboard.press('Escape')
  await until(page, () => !document.querySelector('dialog[open]'))
  await page.keyboard.press('Control+ArrowRight')
  assert.match(page.url(), /02-router/)
  await page.keyboard.press('ArrowRight')
  await page.waitForURL(/03-top-k/)
  await page.keyboard.press('ArrowLeft')
  await page.waitForURL(/02-router/)
}))

test('the theme follows the system until a reader chooses, and is remembered', () =>
  on(top, { colorScheme: 'dark' }, async (page) => {
    const dark = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).every((c) => c < 80))
    assert.equal(await dark(), true)
    await page.keyboard.press('t')
    assert.equal(await dark(), false)
    await page.reload()
    assert.equal(await dark(), false)
    await page.locator('[data-do="theme"]').click()
    assert.match(await page.locator('[data-do="theme"]').getAttribute('aria-label'), /dark/)
    await page.keyboard.press('t')
    await page.emulateMedia({ colorScheme: 'light' })
    assert.equal(await dark(), false)
    await page.emulateMedia({ colorScheme: 'dark' })
    assert.equal(await dark(), true)
  }))

test('without storage the page works all the same', async () => {
  const it = await open(top)
  await it.page.addInitScript(() => Object.defineProperty(window, 'localStorage', { get() { throw new Error('no') } }))
  await it.page.reload()
  await it.page.keyboard.press('t')
  assert.equal(await it.page.evaluate(() => document.documentElement.dataset.theme), 'light')
  assert.deepEqual(it.trouble, [])
  await it.close()
})

test('without JavaScript a card keeps its hints, its answer and its trace until asked', () => on(top, { javaScriptEnabled: false }, async (page) => {
  const card = page.locator('#lesson-3\\.1')
  for (const text of ['Hint 2 of', 'K / E.', 'If you said', 'From build'])
    assert.equal(await card.getByText(text).first().isVisible(), false, text)
  assert.match(await card.locator('.verify').innerText(), /make predict LESSON=/)
  for (const n of [1, 2, 3]) {
    await card.getByText(`Hint ${n} of 3`).focus()
    await page.keyboard.press('Enter')
  }
  assert.equal(await card.getByText('K / E.', { exact: true }).isVisible(), true)
  assert.equal(await card.locator('.result').isVisible(), false)
  await card.getByText('Answer', { exact: true }).click()
  assert.equal(await card.locator('.result').isVisible(), true)
}))

test('the contents say where the reader is; a link into closed code opens it', () => on(top, {}, async (page) => {
  await page.locator('#sec-mass').evaluate((e) => e.scrollIntoView())
  await until(page, () => document.querySelector('.sidebar [aria-current="location"]')?.hash === '#sec-mass')
  assert.equal(await page.locator('#chunk-lessons3-c pre').isVisible(), false)
  await page.evaluate(() => { location.hash = 'chunk-lessons3-c' })
  await until(page, () => document.querySelector('#chunk-lessons3-c pre').checkVisibility())
}))

test('captions stand in the margin where there is room, and in the text where not', async () => {
  for (const [width, beside] of [[1440, true], [900, false]]) {
    await on(top, { viewport: { width, height: 900 } }, async (page) => {
      const [caption, picture] = await Promise.all(['figcaption', '.picture'].map((what) =>
        page.locator('#fig-kept-mass ' + what).boundingBox()))
      assert.equal(caption.x >= picture.x + picture.width, beside)
      assert.equal(caption.y >= picture.y + picture.height, !beside)
    })
  }
})

test('lines of text have at most 80 characters', () => on(top, {}, async (page) => {
  const most = await page.evaluate(() => {
    const lengths = []
    for (const p of document.querySelectorAll('main > p')) {
      const range = document.createRange()
      if (p.querySelector('math')) continue
      range.selectNodeContents(p)
      const lines = new Set([...range.getClientRects()].map((r) => Math.round(r.bottom / 10)))
      if (lines.size > 2) lengths.push(p.textContent.length / (lines.size - 0.5))
    }
    return lengths.sort((a, b) => a - b)[Math.floor(lengths.length / 2)]
  })
  assert.ok(most > 60 && most < 80, String(most))
}))

test('without JavaScript, uses are links, cards and folds open, contents are there', () =>
  on(top, { javaScriptEnabled: false, viewport: { width: 390, height: 800 } }, async (page) => {
    assert.equal(await page.locator('.tools').isVisible(), false)
    await page.locator('.menu summary').click()
    assert.ok(await page.locator('.menu a', { hasText: 'The router' }).isVisible())
    await page.locator('#lesson-3\\.1 .hint summary').first().click()
    assert.ok(await page.locator('#lesson-3\\.1 .hint p').first().isVisible())
    await page.locator('#chunk-lessons3-c summary, .back:has(#chunk-lessons3-c) > details > summary').click()
    assert.ok(await page.locator('#chunk-lessons3-c pre').isVisible())
    const use = page.locator('#chunk-lessons3-c .chunk-use, main > .chunk .chunk-use').first()
    const target = await use.getAttribute('href')
    await use.click()
    assert.equal(new URL(page.url()).hash, target)
  }))

test('on paper: the text, hints and answers, in black on white, without tools', () =>
  on(top, { colorScheme: 'dark' }, async (page) => {
    const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'print-')), 'page.pdf')
    await page.pdf({ path: file, format: 'A4' })
    const text = execFileSync('pdftotext', ['-layout', file, '-'], { encoding: 'utf8', maxBuffer: 1 << 26 })
    fs.rmSync(path.dirname(file), { recursive: true })
    const card = html(top).match(/<section class="lesson"[^]*?<\/section>/)[0]
    for (const there of ['Hint 1 of 3', card.match(/<\/summary>\s*<p>([\w ]*)/)[1], 'If you said'])
      assert.ok(text.replace(/\s+/g, ' ').includes(there), there)
    for (const hidden of ['Index of identifiers', 'Copy\n', '▸'])
      assert.ok(!text.includes(hidden), hidden)
    await page.emulateMedia({ media: 'print' })
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).color), 'rgb(0, 0, 0)')
  }))

test('every page is light, and its policy lets nothing out', () => {
  const shared = ['style.css', 'book.js'].reduce((sum, name) => sum + fs.statSync(path.join(site, name)).size, 0)
  for (const name of pages) {
    const size = fs.statSync(path.join(site, name)).size + shared
    assert.ok(size < 500_000, `${name}: ${size} bytes`)
    const policy = html(name).match(/Content-Security-Policy" content="([^"]*)"/)[1]
    assert.match(policy, /^default-src 'none'; /)
    assert.doesNotMatch(policy.replace("'wasm-unsafe-eval'", ''), /unsafe|\*|https?:/)
    assert.doesNotMatch(html(name), /<script(?![^>]*\ssrc=)|\son\w+=|\sstyle="/, name)
  }
})

test('a displayed formula scrolls in a box of its own, in every browser', () => {
  for (const name of pages) {
    const displayed = html(name).match(/<math display="block"/g)?.length ?? 0
    assert.equal(html(name).match(/<span class="formula"><math display="block"/g)?.length ?? 0, displayed, name)
  }
})

test('every picture has words, every formula MathML', () => {
  let formulas = 0
  for (const name of pages) {
    for (const [svg] of html(name).matchAll(/<svg\b[^>]*>/g))
      assert.match(svg, /role="img" aria-label="[^"]{20,}"/, name)
    assert.doesNotMatch(html(name), /<img(?![^>]*alt="[^"]+")|class="math (inline|display)"/, name)
    assert.doesNotMatch(html(name).replace(/<(pre|code|annotation)\b[^]*?<\/\1>/g, ''), /\$[^$\n]*\\[a-z]/, name)
    formulas += html(name).match(/<math /g)?.length ?? 0
  }
  assert.ok(formulas > 100)
})

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
for (const name of pages.filter(unlike)) {
  test(`${name} has no barrier that axe knows of`, async () => {
    await on(name, { colorScheme: 'light', viewport: { width: 1440, height: 900 }, bypassCSP: true }, async (page) => {
      await page.evaluate(() => {
        for (const fold of document.querySelectorAll('.lesson details, .menu')) fold.open = true
        document.querySelector('.chunk-use')?.click()
        // A picture is its words. And much of the same takes axe long: of each kind, by its name, its
        // classes and those around it, the first five will do; of formulas, wherever they are.
        for (const picture of document.querySelectorAll('svg[role="img"]')) picture.replaceChildren()
        const kinds = {}
        for (const element of document.querySelectorAll('main *')) {
          let kind = ''
          for (let e = element; e.isConnected && e !== document.body && kind !== ' math.'; e = e.parentElement) kind += ` ${e.localName}.${[...e.classList].join('.')}`
          kinds[kind] = (kinds[kind] ?? 0) + 1
          if (kinds[kind] > 5) element.remove()
        }
      })
      await page.evaluate(axe)
      for (const [colorScheme, width, rules] of [['light', 1440, {}],
        ['dark', 390, { runOnly: ['color-contrast', 'scrollable-region-focusable', 'target-size'] }]]) {
        await page.emulateMedia({ colorScheme })
        await page.setViewportSize({ width, height: 900 })
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))
        const found = await page.evaluate((rules) => axe.run({ preload: false, ...rules }), rules)
        assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3)
          .map((n) => n.html.slice(0, 160) + ' ' + n.failureSummary?.slice(0, 200)).join(' | ')}`), [], `${name}, ${colorScheme}`)
      }
    })
  })
}
