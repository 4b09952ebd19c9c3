// The lessons' C as WebAssembly says what the same C says as a program, byte for byte.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test, { before } from 'node:test'
import vm from 'node:vm'
import { gunzipSync } from 'node:zlib'
import { figures, root, site } from './paths.js'

// The page's script, without a page: its function that calls the C.
let c
before(() => {
  const read = (name) => fs.readFileSync(path.join(site, name), 'utf8')
  globalThis.document = { currentScript: { src: 'cards.js' }, readyState: 'complete', querySelectorAll: () => [] }
  vm.runInThisContext(read('lessons.js') + read('cards.js'))
  c = globalThis.wtg.ask
})

const run = (program, args, options = {}) =>
  execFileSync(path.join(root, 'build', program), args, { encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'], ...options })

// Seeds like those of readers, and large ones; the first is the book's.
const seeds = [1, ...Array.from({ length: 24 }, (_, i) => 2 + 41051 * i), ...Array.from({ length: 25 }, (_, i) => 4294967295 - 97 ** 2 * i ** 3)]
const chapters = fs.readdirSync(path.join(root, 'tests')).flatMap((name) => name.match(/^test_chapter(\d+)\.c$/)?.[1] ?? [])
const suite = (n) => fs.readFileSync(path.join(root, `tests/test_chapter${n}.c`), 'utf8')
// A suite names the lessons of its chapter that train a model.
const slow = (n) => suite(n).match(/check_lessons\(&lessons\d+, \d+, "([\d. ]*)"\)/)[1].split(' ')

// The fields of each lesson that a list has: { id: { given: [line, …], … } }.
function parsed(list) {
  const lessons = {}
  let at
  for (const line of list.split('\n').filter(Boolean)) {
    const [field, ...rest] = line.split('\t')
    if (field === 'lesson') at = lessons[rest[0]] = {}
    ;(at[field] ??= []).push(rest.join('\t'))
  }
  return lessons
}
const listed = (n, seed) => parsed(run(`chapter${n}`, ['--lessons', '--seed', String(seed)]))

for (const n of chapters)
  test(`chapter ${n}'s lessons are the same as a program and in a page, from 50 seeds`, async () => {
    const train = slow(n)
    for (const [i, seed] of seeds.entries())
      for (const [id, lesson] of Object.entries(listed(n, seed))) {
        if (train.includes(id) && i >= 5) continue
        const here = await c((book) => book.pose(book.number(id), seed))
        assert.deepEqual(here, lesson, `lesson ${id}, seed ${seed}`)
      }
  })

// Lines for a figure of so many handles: the one without numbers, each end of each handle, and many
// from a seeded generator, with words that are no numbers.
function moved(live, handles) {
  let state = 20261125
  const below = (n) => ((state = Math.imul(state, 1664525) + 1013904223 >>> 0) >>> 8) % n
  const lines = [live, live + ' x nan', ...handles.flatMap((_, i) => [-99, 99].map((end) =>
    [live, ...handles.map(([, , value], j) => j === i ? end : value)].join(' ')))]
  while (lines.length < 400)
    lines.push([live, ...handles.map(([kind, , , least, most, step, ...rest]) => kind === 'range'
      ? +least + step * below(1 + Math.round((most - least) / step)) : below(kind === 'choice' ? rest.length + 2 : kind === 'steps' ? 1 + +least : 40))].join(' '))
  return lines
}

test('each figure that moves is the same as a program and in a page, wherever its handles are', async () => {
  const program = (input) => execFileSync(path.join(root, 'build/live'), { encoding: 'utf8', input, maxBuffer: 1 << 28 })
    .split(/^(?=figure\t)/m)
  assert.ok(figures.length > 0)
  for (const { page, live } of figures) {
    const [first] = program(live + '\n')
    const lines = moved(live, first.split('\n').map((line) => line.split('\t')).filter(([kind]) => /^(range|choice|steps|again)$/.test(kind)))
    const told = program(lines.join('\n') + '\n')
    assert.equal(told.length, lines.length)
    for (const [i, line] of lines.entries()) assert.equal(await c((book) => book.live(line)), told[i], line)
    assert.ok(new Set(told).size > 60, `${page}, ${live}: the handles move nothing`)
  }
  await assert.rejects(c((book) => book.live('nothing 1')), /the book has no figure "nothing 1"/)
})

// What a reader would type who sees the answer as the book prints it.
const typed = (lesson, answer) => lesson.kind[0] === 'choice' ? answer[0] : lesson.unit ? answer.replace(/ [a-zA-Z].*$/, '')
  + (lesson.unit[0] === 'percent' ? '%' : '') : answer
const squeezed = (text) => text.replace('±', '+-').replace(/\s+/g, ' ')

test('the page says of each answer, known mistake and odd line what the terminal says, and writes the same line', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lessons-'))
  let compared = 0
  try {
    for (const n of chapters)
      for (const [id, lesson] of Object.entries(listed(n, 7))) {
        const wrong = (lesson.mistake ?? []).map((line) => line.split('\t')[0])
        for (const answer of [...[...lesson.answer, ...wrong].map((text) => typed(lesson, text)), '0', '1e', '1,125', '3 3', '<b>']) {
          const terminal = run('predict', [id, '--seed', '7'], { input: answer + '\n', env: { XDG_STATE_HOME: folder } })
          const page = await c((book) => {
            const lesson = book.number(id)
            book.pose(lesson, 7)
            const { heard, why } = book.read(lesson, answer)
            if (heard !== 'answer') return { why: `Not counted: ${why}. Predict: ${book.example(lesson)}.` }
            return { ...book.explain(lesson), line: book.record(lesson, 0) }
          })
          for (const text of page.why ? [page.why] : [...page.words, ...page.trace.split('\n')])
            assert(squeezed(terminal).includes(squeezed(text)), `lesson ${id}, ${answer}: ${text}\n${terminal}`)
          if (page.why) continue
          const file = fs.readFileSync(path.join(folder, 'where-tokens-go/predictions'), 'utf8')
          assert.equal(page.line.slice(20), file.trimEnd().split('\n').at(-1).slice(20) + '\n')
          assert.equal(page.right, /: right/.test(page.words[1]))
          compared++
        }
      }
  } finally { fs.rmSync(folder, { recursive: true }) }
  assert(compared > 0)
})

test('when the C stops, its words are the message, and the next question gets a new C', async () => {
  await assert.rejects(c((book) => book.pose(9999, 1)), /page\.c:\d+: the book has no lesson \d+ behind its last/)
  assert((await c((book) => book.pose(0, 1))).question.length > 0)
})

test('no text is taken for markup: the script only makes nodes', () => {
  for (const name of ['cards.js', 'live.js'])
    assert.doesNotMatch(fs.readFileSync(path.join(root, 'book', name), 'utf8'),
      /innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|createContextualFragment|\beval\b|Function\(/)
})

test('the module asks its host for nothing but a way to say its last words', () => {
  const bytes = gunzipSync(Buffer.from(fs.readFileSync(path.join(site, 'lessons.js'), 'utf8').match(/'(.*)'/)[1], 'base64'))
  const asked = WebAssembly.Module.imports(new WebAssembly.Module(bytes)).map(({ name }) => name)
  assert.deepEqual(asked.filter((name) => !/^fd_(write|seek|close|fdstat_get)$/.test(name)), [])
})

test('a page with its script and its lessons stays under 700 kB', () => {
  const size = (name) => fs.statSync(path.join(site, name)).size
  const shared = size('cards.js') + size('lessons.js')
  for (const name of fs.readdirSync(site).filter((name) => /^\d.*\.html$/.test(name)))
    assert(size(name) + shared < 700e3, `${name}: ${size(name) + shared} bytes`)
})
