// What Chromium is shown in cards.test.js, path.test.js and reader.test.js, shown to Firefox, the whole way once.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { open, test } from './firefox.js'
import { figures, root } from './paths.js'

const stored = () => localStorage.getItem('predictions')
const answers = execFileSync(path.join(root, 'build/chapter2'), ['--lessons'], { encoding: 'utf8' }).split('\nlesson\t')
const [id, right] = answers.filter((text) => /^kind\tnumber$/m.test(text)).map((text) =>
  [text.match(/^(?:lesson\t)?([\d.]+)/)[1], text.match(/^answer\t(\S+)/m)[1]])[0]

for (const [width, theme] of [[390, 'light'], [1440, 'dark']])
  test(`Firefox predicts, verifies, goes on and looks back, by keys, at ${width} pixels, ${theme}`, async () => {
    const { evaluate, press, type, until, trouble, close } = await open('02-router.html', { width })
    async function tab(fits) {
      for (let i = 0; i < 40; i++) {
        await press('Tab')
        if (await evaluate(fits)) return
      }
      assert.fail('Tab does not get to ' + fits)
    }
    const onButton = (text) => `document.activeElement.matches('button') && document.activeElement.textContent === '${text}'`
    const verdict = (words) => until((id, words) => document.getElementById('lesson-' + id).querySelector('.verdict').innerText.includes(words), id, words)
    await evaluate((id) => { localStorage.clear(); location.hash = 'lesson-' + id }, id)
    for (let i = 0; i < 3 && await evaluate(() => document.documentElement.dataset.theme) !== theme; i++) await press('t')
    const dark = await evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).every((part) => part < 128))
    assert.equal(dark, theme === 'dark')
    await tab(`document.activeElement.matches('[id="lesson-${id}"] input')`)
    await type('huh')
    await press('Enter')
    await verdict('Not counted')
    await evaluate(() => document.activeElement.select())
    await type(right)
    await press('Enter')
    await verdict(': right')
    assert.match(await evaluate(stored), new RegExp(`^\\S+ ${id} seed 1 number \\S+ was \\S+ within \\S+ hints 0\n$`))
    await tab(onButton('Again'))
    await press('Enter')
    await verdict('New numbers')
    await type(right)
    await press('Enter')
    await verdict('You said')
    assert.equal((await evaluate(stored)).split('\n').length, 3)
    await tab(onButton('Your predictions'))
    await press('Enter')
    await until(() => document.querySelector('dialog pre').textContent.includes(' of 2 '))
    // A file, imported as if it had been chosen.
    const file = '2026-01-01T00:00:00Z 2.1 seed 5 experts 1 was 1 within 0 hints 0\n<img src=x onerror=alert(1)>\n'
    await evaluate((text) => {
      const files = new DataTransfer(), input = document.querySelector('dialog input[type=file]')
      files.items.add(new File([text], 'predictions'))
      input.files = files.files
      input.dispatchEvent(new Event('change'))
    }, file)
    await until(() => document.querySelector('.told').innerText.includes('1 prediction imported'))
    assert.deepEqual(await evaluate(() => [...document.querySelector('.told').childNodes].map((p) => p.textContent).slice(1)),
      ['Line 2 is no prediction: <img src=x onerror=alert(1)>'])
    assert.equal((await evaluate(stored)).split('\n')[0] + '\n', file.split('\n')[0] + '\n')
    await press('Escape')
    assert(await evaluate(onButton('Your predictions')))
    assert.deepEqual(trouble, [])
    await close()

    // Another page of the book has the same record: the path says how it stands.
    const other = await open('path.html', { width })
    assert.equal((await other.evaluate(stored)).split('\n').length, 4)
    await other.until((id) => / of 2 right; /.test(document.querySelector(`main .state[data-of="${id}"]`).textContent), id)
    assert.match(await other.evaluate(() => document.querySelector('div.today').innerText), /Path 1: \d of \d+ steps are done\. Next:/)
    assert.equal(await other.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth), true)
    assert.deepEqual(other.trouble, [])
    await other.close()

    // Search, by keys.
    const front = await open('index.html', { width })
    await front.press('/')
    await front.type('capacity factr')
    await front.until(() => document.querySelectorAll('.found li a').length > 2)
    await front.press('ArrowDown')
    await front.press('ArrowDown')
    const there = await front.evaluate(() => document.activeElement.href)
    await front.press('Enter')
    await front.until((there) => location.href === there, there)
    await front.until(() => document.readyState === 'complete' && document.getElementById(location.hash.slice(1)))
    assert.deepEqual(front.trouble, [])
    await front.close()
  })

const says = (line) => [...execFileSync(path.join(root, 'build/live'), line.split(' '), { encoding: 'utf8' }).matchAll(/^say\t(.*)$/gm)]
  .map((m) => m[1]).join(' ')
for (const width of [390, 1440])
  test(`Firefox moves each figure, by keys, at ${width} pixels`, async () => {
    for (const { page, id, live } of figures) {
      const { evaluate, press, until, trouble, close } = await open(page, { width })
      const now = (id) => document.querySelector(`#${id} .says`).textContent
      assert.equal(await evaluate(now, id), says(live))
      assert.equal(await evaluate((id) => document.querySelector(`#${id} .picture`).checkVisibility(), id), false)
      const before = await evaluate((id) => document.querySelector(`#${id} .live svg`).innerHTML, id)
      await evaluate((id) => document.querySelector(`#${id} .handles :is(input[type=range], input:checked)`).focus(), id)
      await press('ArrowRight')
      await until((id, before) => document.querySelector(`#${id} .live svg`).innerHTML !== before, id, before)
      const numbers = await evaluate((id) => [...document.querySelectorAll(`#${id} .handles > *`)].map((box) => box.matches('.again') ? 0
        : box.matches('fieldset') ? [...box.querySelectorAll('input')].findIndex((input) => input.checked) : box.querySelector('input').value), id)
      const moved = says([live, ...numbers].join(' '))
      await until((id, moved) => document.querySelector(`#${id} .says`).textContent === moved, id, moved)
      assert.equal(await evaluate((id) => document.activeElement.matches(`#${id} .handles input`), id), true)
      assert.equal(await evaluate(() => document.documentElement.scrollWidth <= innerWidth), true)
      assert.deepEqual(trouble, [])
      await close()
    }
  })
