// The page The path, and how a reader stands at a chapter's end: in a browser, from files.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test from 'node:test'
import { accessible, open } from './browser.js'
import { site } from './paths.js'

const today = () => Math.floor(Date.now() / 864e5)
const date = (day) => new Date(day * 864e5).toISOString().slice(0, 10)
// Lines of a record, each so many days old.
const record = (...lines) => lines.map(([days, line]) => `${date(today() - days)}T10:00:00Z ${line}\n`).join('')
// Lessons 1.2 and 1.3 train, so their lines are known by their kind and tolerance; 2.6 is a choice.
const mine = record([9, '2.6 seed 1 choice 1 was 2 within 0 hints 0'], [8, '1.3 seed 1 number 0.1 was 0.9 within 0.03 hints 0'],
  [8, '1.2 seed 5 number 0.7 was 0.7 within 0.06 hints 0'], [2, '2.6 seed 1 choice 2 was 2 within 0 hints 1'])
const keep = (page, lines) => page.evaluate((text) => localStorage.setItem('predictions', text), lines)
const state = (page, id) => page.locator(`main .state[data-of="${id}"]`).first()
const loaded = (page) => page.evaluate(() => typeof wtgLessons !== 'undefined')

test('the path says what comes today and how each lesson stands, and a keyboard goes on with it', async () => {
  const { page, trouble, close } = await open('path.html', { viewport: { width: 390, height: 900 }, colorScheme: 'dark' })
  const box = page.locator('main div.today')
  await box.getByText(/Path 1: 0 of \d+ steps are done\. Next:/).waitFor()
  assert.equal(await box.locator('ul').first().locator('a').first().textContent(), await page.locator('#path-1 ~ ol a').first().textContent())
  assert.equal(await state(page, '1.1').textContent(), 'not done yet')
  assert((await box.innerText()).startsWith('Nothing is due again today.'))
  await accessible(page, ['main'])

  // Go on, predict, come back.
  for (let i = 0; i < 60 && !await page.evaluate(() => document.activeElement.matches('.go')); i++) await page.keyboard.press('Tab')
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Go on with 1.1')
  await page.keyboard.press('Enter')
  await page.waitForURL(/01-dense-ffn\.html#lesson-1\.1$/)
  for (let i = 0; i < 9 && !await page.evaluate(() => document.activeElement.matches('[id="lesson-1.1"] input')); i++) await page.keyboard.press('Tab')
  await page.keyboard.type('5')
  await page.keyboard.press('Enter')
  await page.locator('[id="lesson-1.1"] .verdict', { hasText: 'not right' }).waitFor()
  await page.goBack()
  await page.waitForURL(/path\.html$/)
  await page.locator('main .state.wrong[data-of="1.1"]', { hasText: /^not right, 100% off; again on / }).waitFor()
  assert.equal(await state(page, '1.1').textContent(), `not right, 100% off; again on ${date(today() + 1)}`)
  assert.match(await box.innerText(), /Path 1: 0 of \d+ steps are done\. Next:\n+1\.2 /)

  await keep(page, mine)
  await page.reload()
  await box.getByText('Due again, in this order:').waitFor()
  assert.deepEqual(await box.locator('ul').first().locator('li').allInnerTexts().then((texts) => texts.map((text) => text.split('\n'))),
    [[await page.locator('#path-2 ~ ol a').first().textContent(), `not right, 88.9% off; due since ${date(today() - 7)}`]])
  assert.equal(await state(page, '2.6').textContent(), `right, 0% off; 1 of 2 right; again on ${date(today() + 5)}`)
  assert.equal(await state(page, '1.2').textContent(), `right, 0% off; due since ${date(today() - 1)}`)
  assert.match(await page.locator('[data-of="1.2"]').getAttribute('class'), /^state due right$/)
  await accessible(page, ['main'])

  // The record is looked after here, too.
  await box.getByRole('button', { name: 'Your predictions' }).click()
  await page.locator('dialog input[type=file]').setInputFiles({ name: 'p', mimeType: 'text/plain', buffer: Buffer.from(record([0, '1.2 seed 5 number 0.1 was 0.7 within 0.06 hints 0'])) })
  await page.getByText('1 prediction imported').waitFor()
  await page.locator('main .state.wrong[data-of="1.2"]').first().waitFor()
  await close()
  assert.deepEqual(trouble, [])
})

test('a chapter ends with its lessons, and how they stand, once something was predicted', async () => {
  const { page, trouble, close } = await open('02-router.html', { viewport: { width: 1440, height: 900 } })
  const end = page.locator('.ends')
  await end.scrollIntoViewIfNeeded()
  assert.deepEqual((await end.locator('a').evaluateAll((links) => links.map((link) => link.getAttribute('href')))).sort(),
    (await page.locator('.lesson').evaluateAll((cards) => cards.map((card) => '#' + card.id))).sort())
  await page.waitForTimeout(100)
  assert(!await loaded(page) && !await end.locator('.state:not(:empty)').count(), 'somebody who predicted nothing is told nothing')
  await page.evaluate(() => scrollTo(0, 0))
  await keep(page, mine + '<img src=x onerror=alert(1)>\n' + mine.replace(/2\.6/g, '<b>2.6</b>'))
  await page.reload()
  assert(!await loaded(page), 'not before it is in sight')
  await end.scrollIntoViewIfNeeded()
  await end.locator('.state.right[data-of="2.6"]').waitFor()
  assert.equal(await end.locator('[data-of="2.6"]').textContent(), `right, 0% off; 1 of 2 right; again on ${date(today() + 5)}`)
  assert.equal(await end.locator('.state *').count(), 0)
  await accessible(page, ['.ends'])
  const choice = page.locator('[id="lesson-2.6"]')
  await choice.locator('input').first().check()
  await choice.getByRole('button', { name: 'Verify' }).click()
  await end.locator('.state.wrong[data-of="2.6"]', { hasText: '1 of 3 right' }).waitFor()
  await close()
  assert.deepEqual(trouble, [])
})

test('without JavaScript, or without the lessons, the path is a plain page that says where else', async () => {
  const { page, trouble, close } = await open('path.html', { javaScriptEnabled: false })
  assert(await page.locator('main div.today').getByText('make today', { exact: true }).isVisible())
  assert.equal(await page.locator('main button, main .state:not(:empty)').count(), 0)
  assert(await page.locator('#path-1 ~ ol a').count() > 10)
  await close()
  assert.deepEqual(trouble, [])

  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'path-'))
  for (const name of ['path.html', 'book.js', 'cards.js', 'style.css']) fs.copyFileSync(path.join(site, name), path.join(folder, name))
  const other = await open(path.relative(site, path.join(folder, 'path.html')))
  await other.page.getByText('This page cannot say how you stand: lessons.js is missing beside this page.').waitFor()
  assert.equal(await other.page.locator('main .state:not(:empty)').count(), 0)
  await other.close()
  fs.rmSync(folder, { recursive: true })
})
