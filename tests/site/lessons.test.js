// The lessons' C as WebAssembly says what the same C says as a program, byte for byte.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import test, { before } from 'node:test'
import vm from 'node:vm'
import { gunzipSync } from 'node:zlib'
import { root, site } from './paths.js'

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

test('the book\'s lessons are the same as a program and in a page, from 50 seeds, or 5 where they train', async () => {
  const ids = chapters.flatMap((n) => Object.entries(listed(n, 1)).map(([id, lesson]) => ({ id, lesson, train: slow(n).includes(id) })))
  // A seed's lessons one after the other: those that train share what they trained.
  const asked = seeds.flatMap((seed, i) => ids.filter(({ train }) => !train || i < 5).map(({ id }) => ({ id, seed })))
  for (const ask of asked) ask.number = await c((book) => book.number(ask.id))
  const program = run('page', [], { input: asked.map(({ number, seed }) => `${number} ${seed}\n`).join(''), maxBuffer: 1e8 }).split('\n\n')
  assert.equal(program.pop(), '')
  assert.equal(program.length, asked.length)
  for (const [i, { id, seed, number }] of asked.entries()) {
    const [[is, lesson]] = Object.entries(parsed(program[i]))
    assert.equal(is, id)
    assert.deepEqual(await c((book) => book.pose(number, seed)), lesson, `lesson ${id}, seed ${seed}`)
  }
  // And the program is the chapter's.
  for (const { id, lesson } of ids) assert.deepEqual(parsed(program[asked.findIndex((ask) => ask.id === id)])[id], lesson)
})

// What a reader would type who sees the answer as the book prints it.
const typed = (lesson, answer) => lesson.kind[0] === 'choice' ? answer[0] : lesson.unit ? answer.replace(/ [a-zA-Z].*$/, '')
  + (lesson.unit[0] === 'percent' ? '%' : '') : answer
const squeezed = (text) => text.replace('±', '+-').replace(/\s+/g, ' ')

// A terminal takes one answer to a lesson, and what it cannot read before that; so a chapter is gone through several times.
test('the page says of each answer, known mistake and odd line what the terminal says, and writes the same line', async () => {
  let compared = 0
  for (const n of chapters) {
    const lessons = Object.entries(listed(n, 7)).map(([id, lesson]) => ({ id, odd: [], answers: [], lesson }))
    for (const { id, lesson, odd, answers } of lessons) {
      const wrong = (lesson.mistake ?? []).map((line) => line.split('\t')[0])
      for (const answer of [...[...lesson.answer, ...wrong].map((text) => typed(lesson, text)), '0', '1e', '1,125', '3 3', '<b>'])
        await c((book) => {
          const number = book.number(id)
          book.pose(number, 7)
          const { heard, why } = book.read(number, answer)
          if (heard !== 'answer') odd.push({ answer, texts: [`Not counted: ${why}. Predict: ${book.example(number)}.`] })
          else {
            const { right, words, trace } = book.explain(number)
            assert.equal(right, /: right/.test(words[1]))
            answers.push({ answer, texts: [...words, ...trace.split('\n')], line: book.record(number, 0) })
          }
        })
    }
    for (let round = 0; round < Math.max(...lessons.map(({ answers }) => answers.length)); round++) {
      const asked = lessons.map(({ odd, answers }) => [...round ? [] : odd, answers[round] ?? answers[0]])
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lessons-'))
      try {
        const said = run('predict', [n, '--seed', '7'], { input: asked.flat().map(({ answer }) => answer + '\n').join(''), env: { XDG_STATE_HOME: folder } })
        // Each lesson begins with its id, on the line or two before its minutes.
        const parts = said.split(/^(?=\d+\.\d+ (?:.+\n){1,3}\d+ minutes, seed 7)/m)
        assert.equal(parts.length, lessons.length)
        const file = fs.readFileSync(path.join(folder, 'where-tokens-go/predictions'), 'utf8').split('\n')
        for (const [i, { id }] of lessons.entries()) {
          assert(parts[i].startsWith(id + ' '))
          for (const { answer, texts } of asked[i])
            for (const text of texts) assert(squeezed(parts[i]).includes(squeezed(text)), `lesson ${id}, ${answer}: ${text}\n${parts[i]}`)
          assert.equal(asked[i].at(-1).line.slice(20), file[i].slice(20) + '\n')
          compared++
        }
      } finally { fs.rmSync(folder, { recursive: true }) }
    }
  }
  assert(compared > 100)
})

test('when the C stops, its words are the message, and the next question gets a new C', async () => {
  await assert.rejects(c((book) => book.pose(9999, 1)), /page\.c:\d+: the book has no lesson \d+ behind its last/)
  assert((await c((book) => book.pose(0, 1))).question.length > 0)
})

test('no text is taken for markup: the script only makes nodes', () => {
  assert.doesNotMatch(fs.readFileSync(path.join(site, 'cards.js'), 'utf8'),
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
