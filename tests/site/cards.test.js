// Cards in a browser, from files: predict, verify, again, export, import, progress.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'node:test'
import { accessible, open } from './browser.js'
import { root, site } from './paths.js'

const run = (program, args, options = {}) =>
  execFileSync(path.join(root, 'build', program), args, { encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'], ...options })
// The fields of each lesson that a list has: { id: { given: [line, …], … } }.
function listed(n, seed) {
  const lessons = {}
  let at
  for (const line of run(`chapter${n}`, ['--lessons', '--seed', String(seed)]).split('\n').filter(Boolean)) {
    const [field, ...rest] = line.split('\t')
    if (field === 'lesson') at = lessons[rest[0]] = {}
    ;(at[field] ??= []).push(rest.join('\t'))
  }
  return lessons
}
// What make progress says of a file of predictions.
function progress(text) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cards-'))
  try {
    const file = path.join(folder, 'where-tokens-go/predictions')
    fs.mkdirSync(path.dirname(file))
    fs.writeFileSync(file, text)
    const said = run('predict', ['--progress'], { env: { XDG_STATE_HOME: folder } })
    return said.slice(0, said.search(/^(They|These lines) are in|^No predictions yet/m))
  } finally { fs.rmSync(folder, { recursive: true }) }
}
// A terminal that is a pipe has no Unicode; the page has.
const plain = (text) => text.replace(/█/g, '#').replace(/░/g, ' ').replace(/ +$/gm, '')

const stored = (page) => page.evaluate(() => localStorage.getItem('predictions'))
const card = (page, id) => page.locator(`#lesson-${id.replace('.', '\\.')}`)
const verdict = (page, id, words) => card(page, id).locator('.verdict', { hasText: words }).waitFor()
// Of the cards those that are used; all of them, as they are at first, are looked at with their pages.
const clean = (page) => accessible(page, [A, X].map((id) => `[id="lesson-${id}"]`).concat('dialog'))
// Press Tab until what has the focus fits.
async function tab(page, fits, backward = false) {
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press(backward ? 'Shift+Tab' : 'Tab')
    if (await page.evaluate(fits)) return
  }
  assert.fail('Tab does not get to ' + fits)
}
const onButton = (text) => `document.activeElement.matches('button') && document.activeElement.textContent === '${text}'`

// Chapter 2's cards: three with a number, the first with a tolerance and a known mistake; and a choice.
const cards = Object.entries(listed(2, 1))
const numbers = cards.filter(([, lesson]) => lesson.kind[0] === 'number')
const [A, one] = numbers.find(([, lesson]) => lesson.tolerance[0] >= 1 && lesson.mistake)
const [B, C] = numbers.map(([id]) => id).filter((id) => id !== A)
const [X, chosen] = cards.find(([, lesson]) => lesson.kind[0] === 'choice')
const chapters = fs.readdirSync(path.join(root, 'tests')).flatMap((name) => name.match(/^test_chapter(\d+)\.c$/)?.[1] ?? [])
// Lines of a record: line('2.3', 'seed 1 …', '2.4', …)
const line = (...parts) => new RegExp('^' + parts.map((part, i) => i % 2 ? part + '\\n'
  : '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ ' + part.replace('.', '\\.') + ' ').join('') + '$')
const number = (text) => text.split(' ')[0]

// What axe looks at, it looks at in both color schemes.
for (const [width, colorScheme] of [[390, 'light'], [1440, 'dark']])
    test(`a keyboard predicts, verifies, goes on, exports, imports and looks back, at ${width} pixels`, async () => {
      const { page, trouble, close } = await open('02-router.html', { viewport: { width, height: 900 }, colorScheme })
      await page.evaluate((id) => { location.hash = 'lesson-' + id }, A)
      // What is shown of the answer when a prediction is written down.
      await page.evaluate(() => {
        const set = Storage.prototype.setItem
        Storage.prototype.setItem = function (key, value) {
          globalThis.shownThen = document.querySelector('main').innerText
          return set.call(this, key, value)
        }
      })
      assert.equal(await page.evaluate(() => typeof wtgLessons), 'undefined', 'loaded before it is used')
      const here = card(page, A)
      assert.equal(await here.locator('.answer').isVisible(), false)

      await tab(page, `document.activeElement.closest('[id="lesson-${A}"]') && document.activeElement.matches('input')`)
      await here.locator('.predict .unit', { hasText: 'such as' }).waitFor()
      await page.keyboard.type('huh')
      await page.keyboard.press('Enter')
      await verdict(page, A, 'Not counted')
      assert.equal(await stored(page), null)
      await tab(page, `document.activeElement.closest('[id="lesson-${A}"]') && document.activeElement.matches('summary')`)
      await page.keyboard.press('Enter')
      assert(await here.getByText(one.hint[0]).isVisible())
      assert.equal(await here.getByText(one.hint[1]).isVisible(), false)
      await tab(page, `document.activeElement.closest('[id="lesson-${A}"]') && document.activeElement.matches('input')`, true)
      await page.keyboard.press('Control+a')
      const [wrong, meaning] = one.mistake[0].split('\t')
      await page.keyboard.type(number(wrong))
      await page.keyboard.press('Enter')
      await verdict(page, A, 'not right')
      const then = await page.evaluate(() => globalThis.shownThen)
      assert(then.includes(one.question[0].slice(0, 40)) && !then.includes('Answer: ') && !then.includes(one.trace[0]))
      assert.match(await stored(page), line(A, 'seed 1 number \\S+ was \\S+ within \\S+ hints 1'))
      assert((await here.locator('.verdict').innerText()).includes(meaning))
      assert.equal(await here.locator('.judged pre').textContent(), one.trace.join('\n'))
      await page.keyboard.press('Enter')             // an answer is not taken back
      assert.equal((await stored(page)).split('\n').length, 2)
      await clean(page)

      await tab(page, onButton('Again'))
      await page.keyboard.press('Enter')
      await verdict(page, A, 'New numbers')
      const seed = (await here.locator('.verdict').innerText()).match(/SEED=(\d+)/)[1]
      const other = listed(2, seed)[A]
      assert.equal(await here.locator('.question pre').innerText(), other.given.join('\n'))
      await page.keyboard.type(number(other.answer[0]))   // the field has the focus
      await page.keyboard.press('Enter')
      await verdict(page, A, ': right')
      assert.equal(await here.locator('.judged pre').textContent(), other.trace.join('\n'))

      const choice = card(page, X)
      await page.evaluate((id) => { location.hash = 'lesson-' + id }, X)
      await tab(page, `document.activeElement.closest('[id="lesson-${X}"]') && document.activeElement.matches('input')`)
      await page.keyboard.press('Space')
      for (let i = 1; i < Number(chosen.answer[0][0]); i++) await page.keyboard.press('ArrowDown')
      await page.keyboard.press('Enter')
      await verdict(page, X, 'right')
      assert.match((await stored(page)).split('\n')[2] + '\n', line(X, 'seed 1 choice (\\d) was \\1 within 0 hints 0'))
      assert.equal(await choice.locator('input:enabled').count(), 1)

      await tab(page, onButton('Your predictions'))
      await page.keyboard.press('Enter')
      const box = page.locator('dialog.predictions')
      await box.getByText(X).waitFor()
      assert.equal(plain(await box.locator('pre').textContent()), plain(progress(await stored(page))))
      await clean(page)
      await tab(page, onButton('Export'))
      const [download] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')])
      const exported = fs.readFileSync(await download.path(), 'utf8')
      assert.equal(exported, await stored(page))
      await page.keyboard.press('Escape')
      assert(await page.evaluate(onButton('Your predictions')), 'the focus does not come back')
      await page.goto(page.url().replace(/02-router.*$/, '03-top-k.html'))
      assert.equal(await stored(page), exported, 'another page has another record')
      await close()
      assert.deepEqual(trouble, [])

      // Somebody else's browser, where one of the three was predicted already.
      const second = await open('02-router.html', { viewport: { width, height: 900 }, colorScheme })
      await second.page.evaluate((id) => { location.hash = 'lesson-' + id }, X)
      const lines = exported.split('\n')
      second.page.on('filechooser', () => {})         // heard from now on, not from when it is waited for
      await second.page.evaluate((text) => localStorage.setItem('predictions', text), lines[1] + '\n')
      await tab(second.page, onButton('Your predictions'))
      await second.page.keyboard.press('Enter')
      await tab(second.page, `document.activeElement.matches('input[type=file]')`)
      const [chooser] = await Promise.all([second.page.waitForEvent('filechooser'), second.page.keyboard.press('Enter')])
      const foreign = lines[0].replace('seed', '<img src=x onerror=alert(1)>')
      await chooser.setFiles({ name: 'p', mimeType: 'text/plain', buffer: Buffer.from('\ufeff' + foreign + '\r\n\r\n' + exported.replace(/\n/g, '\r\n') + lines[2].slice(0, 30)) })
      const told = second.page.locator('dialog .told')
      await told.getByText('2 predictions imported, 1 known already.').waitFor()
      assert.deepEqual((await told.locator('p').allTextContents()).slice(1),
        [1, 6].map((n, i) => `Line ${n} is no prediction: ${[foreign, lines[2].slice(0, 30)][i].slice(0, 40)}`))
      assert.equal(await stored(second.page), exported, 'the lines are those of both, in the order of their times')
      assert.equal(plain(await second.page.locator('dialog pre').textContent()), plain(progress(exported)))
      await clean(second.page)
      await second.close()
      assert.deepEqual(second.trouble, [])
    })

test('a storage that is full or forbidden is said, blocks nothing, and loses nothing', async () => {
  for (const [how, said] of [['full', 'its storage is full'], ['forbidden', 'it forbids this page to']]) {
    const { page, trouble, close } = await open('02-router.html')
    await page.evaluate((how) => {
      if (how === 'forbidden') {
        Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })
        return
      }
      for (let size = 5e6; size >= 1; size = Math.floor(size / 2)) {
        try { for (;;) localStorage.setItem('fill' + localStorage.length, 'x'.repeat(size)) } catch { /* smaller */ }
      }
    }, how)
    for (const said of ['1', '2']) {
      const here = card(page, said === '1' ? A : B)
      await here.locator('input').fill(said)
      await here.getByRole('button', { name: 'Verify' }).click()
      await here.locator('.verdict', { hasText: 'You said' }).waitFor()
    }
    assert((await card(page, B).locator('.verdict').innerText()).includes('The browser keeps nothing: ' + said))
    await card(page, B).getByRole('button', { name: 'Your predictions' }).click()
    await page.locator('dialog pre', { hasText: '2 of ' }).waitFor()
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export' }).click()])
    assert.match(fs.readFileSync(await download.path(), 'utf8'), line(A, '.*', B, '.*'))
    if (how === 'full') {                      // there is room again: the next one takes along those that wait
      await page.keyboard.press('Escape')
      await page.evaluate(() => localStorage.clear())
      await card(page, C).locator('input').fill('0.5')
      await card(page, C).getByRole('button', { name: 'Verify' }).click()
      await verdict(page, C, 'You said')
      assert.match(await stored(page), line(A, '.*', B, '.*', C, '.*'))
    }
    await close()
    assert.deepEqual(trouble, [])
  }
})

test('a record that is damaged or torn keeps its lines, and new ones are whole', async () => {
  const { page, trouble, close } = await open('02-router.html')
  const torn = 'not mine\n2026-01-01T00:00:00Z 2.3 seed 1 num'
  await page.evaluate((text) => localStorage.setItem('predictions', text), torn)
  await card(page, A).locator('input').fill('5')
  await card(page, A).locator('input').press('Enter')
  await verdict(page, A, 'You said')
  assert.equal((await stored(page)).slice(0, torn.length + 1), torn + '\n')
  assert.match((await stored(page)).slice(torn.length + 1), line(A, 'seed 1 number 5 was .*'))
  await card(page, A).getByRole('button', { name: 'Your predictions' }).click()
  const shown = page.locator('dialog pre', { hasText: 'Line 2 is no prediction' })
  assert.equal(plain(await shown.textContent()), plain(progress(await stored(page))))
  await close()
  assert.deepEqual(trouble, [])
})

// A generator with a seed; files that are hostile, of lines that are no records.
function random(seed) {
  return (n) => {                                // mulberry32
    let t = seed += 0x6D2B79F5
    t = Math.imul(t ^ t >>> 15, t | 1)
    t ^= t + Math.imul(t ^ t >>> 7, t | 61)
    return ((t ^ t >>> 14) >>> 0) % n
  }
}
function hostile(below) {
  const markup = ['<img src=x onerror="document.title=1">', '<script>document.title = 1</script>', '"><svg onload=alert(1)>',
    '&lt;b&gt;', 'javascript:alert(1)', '</pre></dialog><h1>x</h1>', '{{constructor}}', '${document.title = 1}', '\u202e\u0000\u0007', '\ud83d\ude00']
  const good = '2026-01-01T00:00:00Z 2.3 seed 1 number 5 was 6 within 1 hints 0'.split(' ')
  const lines = Array.from({ length: 1 + below(30) }, () => {
    const word = below(good.length), words = [...good]
    switch (below(8)) {
    case 0: return markup[below(markup.length)]
    case 1: return String.fromCharCode(...Array.from({ length: 1 + below(60) }, () => 1 + below(9) * (below(2) ? 1 : 7001)))
    case 2: words.splice(word, 1); break                           // a word is missing
    case 3: words[word] = markup[below(markup.length)]; break
    case 4: words[word] += ['x', '\u0000', '\u00e9', ',', '-', '\t'][below(6)]; break
    case 5: words[[3, 5, 7, 9, 11][below(5)]] = ['nan', 'inf', '0x10', '1e999', '', '99999999999999999999x'][below(6)]; break
    case 6: return 'x'.repeat(below(40) ? 1022 + below(4) : 70000)
    default: words.splice(word, 0, words[word])                     // a word is there twice
    }
    return words.join(' ')
  })
  return (below(4) ? '' : '\ufeff') + lines.join(['\n', '\r\n', '\n\n', '\n \n'][below(4)]) + (below(2) ? '\n' : '')
}

test('a thousand hostile files change nothing but a message, the terminal\'s; nor does one that is too large or empty', async () => {
  const { page, trouble, close } = await open('02-router.html')
  const mine = '2026-05-01T18:00:00Z 2.1 seed 1 experts 1 was 1 within 0 hints 0\n'
  await page.evaluate((text) => localStorage.setItem('predictions', text), mine)
  await card(page, A).getByRole('button', { name: 'Your predictions' }).click()
  await page.locator('dialog pre', { hasText: 'of 1 right' }).waitFor()
  const state = () => page.evaluate(() => {
    const copy = document.documentElement.cloneNode(true)
    copy.querySelector('.told').replaceChildren()
    return [copy.outerHTML, document.title, JSON.stringify(Object.entries(localStorage)), location.href]
  })
  const before = await state()
  const below = random(20261125)
  const files = Array.from({ length: 1000 }, () => hostile(below))
  const told = []
  for (let i = 0; i < files.length; i += 100)
    told.push(...await page.evaluate(async (files) => {
      const input = document.querySelector('dialog input[type=file]'), box = document.querySelector('.told'), said = []
      const { port1, port2 } = new MessageChannel()    // a timeout takes 4 ms
      const soon = () => new Promise((done) => { port1.onmessage = done; port2.postMessage('') })
      for (const text of files) {
        box.replaceChildren()
        const bytes = new DataTransfer()
        bytes.items.add(new File([text], 'predictions'))
        input.files = bytes.files
        input.dispatchEvent(new Event('change'))
        while (!box.children.length || input.value) await soon()
        said.push([...box.childNodes].map((p) => p.nodeName === 'P' && !p.children.length ? p.textContent : 'MARKUP'))
      }
      return said
    }, files.slice(i, i + 100)))
  assert.deepEqual(await state(), before)
  for (const [i, lines] of told.entries()) {
    assert.equal(lines[0], '0 predictions imported, 0 known already.', JSON.stringify(files[i].slice(0, 200)))
    if (i % 20 === 0) assert.equal(lines.slice(1).map((line) => line + '\n').join(''), progress(files[i]).replace(/^[^]*?(?=^Line|^$(?![^]*^Line))/m, ''))
  }
  await page.evaluate(() => {
    const large = new DataTransfer(), input = document.querySelector('input[type=file]')
    large.items.add(new File(['x'.repeat(10000001)], 'predictions'))
    input.files = large.files
    input.dispatchEvent(new Event('change'))
  })
  await page.getByText('Nothing was imported: it is larger than 10 MB').waitFor()
  await page.locator('input[type=file]').setInputFiles({ name: 'p', mimeType: 'text/plain', buffer: Buffer.alloc(0) })
  await page.getByText('0 predictions imported, 0 known already.').waitFor()
  assert.deepEqual(await state(), before)
  await close()
  assert.deepEqual(trouble, [])
})

test('commands that the terminal knows work in the field', async () => {
  const { page, trouble, close } = await open('02-router.html')
  const here = card(page, A), field = here.locator('input')
  const say = async (text, answer) => {
    await field.fill(text)
    await field.press('Enter')
    await verdict(page, A, answer)
  }
  for (const hint of one.hint) await say('?', hint)
  await say('?', 'There are no more hints.')
  await say('s', 'read on')
  await say('r', 'New numbers')
  assert.equal(await here.locator('details[open]').count(), 0)
  await say('1', 'You said')
  assert.match(await stored(page), / hints 0\n$/)
  await close()
  assert.deepEqual(trouble, [])
})

test('where the lessons cannot be loaded, the card is one to be read, and says why', async () => {
  for (const [lessons, why] of [[null, 'lessons.js is missing'], ["var wtgLessons = 'AGFzbQEAAAA='", ''],
    ["var wtgLessons = '<b>'", ''], ['', ''], [['data-lesson="', 'data-lesson="9'], 'lessons.js is of another edition'],
    [[one.given[0], one.given[0] + ' 1'], 'lessons.js is of another edition']]) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cards-'))
    for (const name of ['book.js', 'cards.js', 'lessons.js', 'style.css']) fs.copyFileSync(path.join(site, name), path.join(folder, name))
    const whole = fs.readFileSync(path.join(site, '02-router.html'), 'utf8')        // of which one card is enough
    fs.writeFileSync(path.join(folder, '02-router.html'), whole.replace(/(<main[^>]*>)[^]*(<\/main>)/,
      (_, open, close) => open + whole.match(new RegExp(`<section class="lesson" id="lesson-${A}"[^]*?</section>`))[0] + close))
    if (lessons === null) fs.rmSync(path.join(folder, 'lessons.js'))
    else if (Array.isArray(lessons)) fs.writeFileSync(path.join(folder, '02-router.html'),
      fs.readFileSync(path.join(folder, '02-router.html'), 'utf8').replaceAll(...lessons))
    else fs.writeFileSync(path.join(folder, 'lessons.js'), lessons)
    const { page, close } = await open(path.relative(site, path.join(folder, '02-router.html')))
    const here = page.locator(`[id="lesson-${A}"]`)
    await here.locator('input').fill('5')
    await here.locator('.verdict', { hasText: 'This page cannot verify: ' + why }).waitFor()
    assert.equal(await here.locator('form').isVisible(), false)
    await here.locator('.answer summary').click()
    assert(await here.locator('.answer').getByText(one.trace[0]).isVisible())
    await close()
    fs.rmSync(folder, { recursive: true })
  }
})

test('without JavaScript a card has its question, hints and answer, and no form', async () => {
  const { page, trouble, close } = await open('02-router.html', { javaScriptEnabled: false })
  for (const here of await page.locator('.lesson').all()) {
    assert.equal(await here.locator('form, input, button').count(), 0)
    await here.locator('.answer > summary').click()
    assert(await here.locator('.answer pre').isVisible())
  }
  await close()
  assert.deepEqual(trouble, [])
})

test('on paper a card has its options and its answer; asked anew, what was judged', async () => {
  const { page, trouble, close } = await open('02-router.html', { viewport: { width: 700, height: 900 } })
  const shown = async (id) => {
    await page.emulateMedia({ media: 'print' })
    const parts = await Promise.all(['.options', '.answer', '.judged', '.predict'].map(async (part) =>
      await card(page, id).locator(part).isVisible() ? part : ''))
    await page.emulateMedia({ media: 'screen' })
    return parts.filter(Boolean)
  }
  assert.deepEqual(await shown(X), ['.options', '.answer'])
  await card(page, X).getByRole('button', { name: 'Other numbers' }).click()
  await verdict(page, X, 'New numbers')
  await card(page, X).locator('input').first().check()
  await card(page, X).getByRole('button', { name: 'Verify' }).click()
  await verdict(page, X, 'You said')
  assert.deepEqual(await shown(X), ['.options', '.judged'])
  await close()
  assert.deepEqual(trouble, [])
})

test('every card of the book can be verified', async () => {
  let verified = 0
  for (const name of fs.readdirSync(site).filter((name) => chapters.some((n) => name.startsWith(n.padStart(2, '0') + '-')))) {
    const { page, trouble, close } = await open(name)
    const told = await page.evaluate(async () => {
      const told = []
      for (const here of document.querySelectorAll('.lesson')) {
        const verdict = here.querySelector('.verdict'), form = here.querySelector('form')
        const tries = here.dataset.kind === 'choice' ? [''] : here.dataset.kind === 'number' ? ['1%', '2'] : ['1', '2']
        for (const said of tries) {
          verdict.replaceChildren()
          if (said) form.querySelector('input').value = said
          else form.querySelector('input').checked = true
          const judged = new Promise((done) => new MutationObserver((_, me) => { me.disconnect(); done() }).observe(verdict, { childList: true }))
          form.requestSubmit()
          await judged
          while (form.hasAttribute('aria-busy')) await new Promise((done) => setTimeout(done))
          if (!verdict.innerText.includes('Not counted')) break
        }
        told.push({ id: here.id, verdict: verdict.innerText, answer: here.querySelector('.answer strong').textContent })
      }
      return told
    })
    for (const { id, verdict, answer } of told)
      assert(/You said/.test(verdict) && verdict.includes('Answer: ' + answer), `${id}: ${verdict}, not ${answer}`)
    verified += told.length
    await close()
    assert.deepEqual(trouble, [])
  }
  assert(verified > 0)
})
