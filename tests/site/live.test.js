// Figures that the reader moves, in a browser, from files: keys move the handles, the picture and
// the words follow; without JavaScript, or without the C, the printed figure is there.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'node:test'
import { open } from './browser.js'
import { figures, root, site } from './paths.js'

const build = (line) => execFileSync(path.join(root, 'build/live'), line.split(' '), { encoding: 'utf8' })
const said = (lines) => [...lines.matchAll(/^say\t(.*)$/gm)].map((m) => m[1]).join(' ')
const handles = (lines) => lines.split('\n').map((line) => line.split('\t')).filter(([kind]) => /^(range|choice|steps|again)$/.test(kind))
const axe = fs.readFileSync(path.join(root, 'tests/site/node_modules/axe-core/axe.min.js'), 'utf8')
async function clean(page, id) {
  await page.evaluate(axe)
  const found = await page.evaluate((id) => axe.run('#' + id, { preload: false }), id)
  assert.deepEqual(found.violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')), [])
}
const says = (page, id, words) => page.locator(`#${id} .says`, { hasText: words }).waitFor({ timeout: 10000 })
// What is drawn, as the lines that the C wrote: texts and boxes.
const drawn = (page, id) => page.evaluate((id) => [...document.querySelectorAll(`#${id} .live svg > *`)]
  .filter((e) => !e.matches('.cell'))
  .map((e) => e.matches('path') ? 'path' : e.nodeName + ' ' + (e.textContent || ['x', 'y', 'width', 'height', 'points', 'cx'].map((a) => e.getAttribute(a) ?? '').join(' '))), id)
function shapes(lines) {
  return lines.split('\n').map((line) => line.split('\t')).flatMap(([kind, ...f]) => kind === 'strip' ? [`rect ${f.slice(0, 4).join(' ')}  `] : kind === 'box'
    ? [`rect ${f.slice(0, 4).join(' ')}  `, ...+f[5] === -2 ? ['path'] : [], ...f[6] ? ['text ' + f[6]] : []]
    : kind === 'text' ? ['text ' + f[3]] : kind === 'line' ? [`polyline     ${f.slice(2).join(' ')} `] : kind === 'dot' ? ['circle      ' + f[0]] : [])
}

test('every chapter with figures that move has some', () => assert.ok(figures.length >= 5, String(figures)))

for (const width of [390, 1440])
  for (const colorScheme of ['light', 'dark'])
    test(`keys move each figure, and it says what the C says, at ${width} pixels, ${colorScheme}`, async () => {
      for (const { page: name, id, live } of figures) {
        const { page, trouble, close } = await open(name, { viewport: { width, height: 900 }, colorScheme })
        const box = page.locator('#' + id)
        assert.equal(await box.locator('.picture').isVisible(), false)
        const first = build(live)
        assert.equal(await box.locator('.says').textContent(), said(first))
        assert.deepEqual(await drawn(page, id), shapes(first))
        assert.equal(await page.evaluate(() => typeof wtgLessons), 'undefined', 'loaded before it is used')
        await clean(page, id)
        // Every handle by its keys, in their order, or the second one; what the C says of the values is what is there.
        const all = (width === 390) === (colorScheme === 'light')
        const numbers = handles(first).map((fields) => fields[2])
        const row = await box.locator('.handles > *').all()
        assert.equal(row.length, numbers.length)
        const reached = new Set()
        let now = first
        for (const [i, [kind, title, value, least, most, step]] of handles(first).entries()) {
          if (kind === 'again' || !all && i !== 1) continue
          const inputs = row[i].locator('input')
          const at = kind === 'choice' ? inputs.nth(+value) : inputs.first()
          await at.focus()
          reached.add(title)
          if (kind === 'choice') {
            const [, , , shut, ...options] = handles(now)[i]
            await page.keyboard.press('ArrowDown')          // round the options that can be had
            do numbers[i] = String((+numbers[i] + 1) % options.length); while (shut >> numbers[i] & 1)
          } else {
            const down = kind === 'steps' || +value === +most
            await page.keyboard.press(down ? 'ArrowLeft' : 'ArrowRight')
            numbers[i] = String(+value + (down ? -1 : 1) * (kind === 'steps' ? 1 : +step))
          }
          now = build([live, ...numbers].join(' '))
          await says(page, id, said(now))
          for (let n = 0; n < 60 && JSON.stringify(await drawn(page, id)) !== JSON.stringify(shapes(now)); n++)
            await page.waitForTimeout(50)
          assert.deepEqual(await drawn(page, id), shapes(now), `${live}: ${title}`)
          if (kind === 'range') assert.equal(await at.getAttribute('aria-valuetext'), handles(now)[i][6])
          if (kind === 'steps') assert.equal(await at.getAttribute('aria-valuetext'), `${numbers[i]} of ${least}`)
          assert.equal(await page.evaluate(() => document.activeElement.matches('input')), true, 'the focus is lost')
          const outline = await at.evaluate((input) => getComputedStyle(document.activeElement).outlineStyle + input.nodeName)
          assert.notEqual(outline, 'noneINPUT', 'no focus is seen')
        }
        assert.ok(reached.size > (all ? 1 : 0))
        await clean(page, id)
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page scrolls sideways')
        await box.getByRole('button', { name: 'As printed' }).focus()
        await page.keyboard.press('Enter')
        await says(page, id, said(first))
        await close()
        assert.deepEqual(trouble, [], live)
      }
    })

test('steps are made by a button, and by themselves only when asked', async () => {
  const { page: name, id } = figures.find(({ live }) => live === 'walk')
  const { page, trouble, close } = await open(name)
  const box = page.locator('#' + id), button = (text) => box.getByRole('button', { name: text, exact: true })
  const slider = box.locator('.steps input')
  await page.waitForTimeout(900)
  assert.equal(await slider.inputValue(), '24', 'it plays by itself')
  await button('From the start').click()
  await says(page, id, 'Of 0 choices 0 dropped')
  await button('Step').click()
  await says(page, id, 'Of 1 choices')
  await button('Play').click()
  await says(page, id, 'Of 3 choices')
  await button('Pause').click()
  const stopped = await slider.inputValue()
  await page.waitForTimeout(900)
  assert.equal(await slider.inputValue(), stopped)
  await close()
  assert.deepEqual(trouble, [])
  const still = await open(name, { reducedMotion: 'reduce' })
  assert.equal(await still.page.locator('#' + id).getByRole('button', { name: 'Play' }).isVisible(), false)
  assert.equal(await still.page.locator('#' + id).getByRole('button', { name: 'Step' }).isVisible(), true)
  await still.close()
})

test('be the router: what you place is scored, a full expert cannot be chosen, other tokens begin anew', async () => {
  const { page: name, id } = figures.find(({ live }) => live === 'router')
  const { page, trouble, close } = await open(name)
  const box = page.locator('#' + id), rows = box.locator('fieldset')
  const place = async (token, expert) => {
    await rows.nth(token).locator('input').nth(expert).check()
    await page.waitForTimeout(50)
  }
  for (let token = 0; token < 3; token++) await place(token, 0)
  await says(page, id, 'You placed 3 of 12')
  assert.equal(await rows.nth(3).locator('input').nth(0).isDisabled(), true)
  assert.equal(await rows.nth(2).locator('input').nth(0).isDisabled(), false)
  assert.equal((await box.locator('.says').textContent()).includes('best'), false, 'the answer is there before it is asked for')
  await rows.nth(12).locator('input').nth(1).check()
  await says(page, id, 'The best assignment')
  assert.equal(await box.locator('.says').textContent(), said(build('router 0 0 0 0 4 4 4 4 4 4 4 4 4 1')))
  await box.getByRole('button', { name: 'Other tokens' }).click()
  await says(page, id, 'You placed 0 of 12')
  assert.equal(await box.locator('.says').textContent(), said(build('router 1')))
  await close()
  assert.deepEqual(trouble, [])
})

test('where the C cannot be had, the printed figure is there, and says why', async () => {
  const { page: name, id } = figures[0]
  for (const [spoil, why] of [[(file) => fs.rmSync(file('lessons.js')), 'lessons.js is missing'],
    [(file) => fs.writeFileSync(file('lessons.js'), "var wtgLessons = 'AGFzbQEAAAA='"), ''],
    [(file) => fs.writeFileSync(file(name), fs.readFileSync(file(name), 'utf8').replace('data-lines="figure', 'data-lines="figur')), 'lessons.js is of another edition']]) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'live-'))
    for (const file of [name, 'book.js', 'cards.js', 'lessons.js', 'style.css']) fs.copyFileSync(path.join(site, file), path.join(folder, file))
    spoil((file) => path.join(folder, file))
    const { page, close } = await open(path.relative(site, path.join(folder, name)))
    const box = page.locator('#' + id)
    await box.locator('.handles input').first().focus()
    await page.keyboard.press('ArrowRight')
    await says(page, id, 'This figure cannot move: ' + why)
    assert.equal(await box.locator('.picture').isVisible(), true)
    assert.equal(await box.locator('.live input, .live button').count(), 0)
    await close()
    fs.rmSync(folder, { recursive: true })
  }
})

test('without JavaScript, and on paper, a figure is a picture, and has no handles', async () => {
  for (const { page: name, id } of figures) {
    const { page, trouble, close } = await open(name, { javaScriptEnabled: false })
    assert.equal(await page.locator(`#${id} .picture svg`).isVisible(), true)
    assert.equal(await page.locator(`#${id} input, #${id} button`).count(), 0)
    await close()
    assert.deepEqual(trouble, [])
    const print = await open(name, { viewport: { width: 700, height: 900 } })
    await print.page.emulateMedia({ media: 'print' })
    assert.equal(await print.page.locator(`#${id} svg:visible`).count(), 1)
    assert.equal(await print.page.locator(`#${id} input:visible, #${id} button:visible`).count(), 0)
    await print.close()
  }
})
