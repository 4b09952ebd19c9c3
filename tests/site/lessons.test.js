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

// mulberry32: below n, from a seed.
function random(seed) {
  return (n) => {
    let t = seed += 0x6D2B79F5
    t = Math.imul(t ^ t >>> 15, t | 1)
    t ^= t + Math.imul(t ^ t >>> 7, t | 61)
    return ((t ^ t >>> 14) >>> 0) % n
  }
}
// A reader's record over some weeks: right, wrong, of lessons from before, of none, and damaged.
async function past(below, today) {
  const ids = chapters.flatMap((n) => Object.keys(listed(n, 1)).filter((id) => !slow(n).includes(id)))
  const lines = []
  for (let i = below(40); i > 0; i--) {
    const id = ids[below(ids.length)], seed = 1 + below(5), time = new Date((today - below(18)) * 864e5 + below(864e5)).toISOString().slice(0, 19) + 'Z '
    const line = await c((book) => {
      const lesson = book.number(id), { answer, kind, unit, mistake } = book.pose(lesson, seed)
      for (const answered of [below(2) && mistake ? mistake[0].split('\t')[0] : answer[0], '1', '2'])
        if (book.read(lesson, typed({ kind, unit }, answered)).heard === 'answer') break
      return book.record(lesson, below(4)).slice(21, -1)
    })
    const odd = below(12)
    lines.push(time + (odd === 0 ? line.replace(/was \S+/, 'was 987654') : odd === 1 ? line.replace(/^\S+/, '99.9') : odd === 2 ? line.slice(0, 12) : line))
  }
  return lines.sort().map((line) => line + '\n').join('')
}

test('from the same record, page and terminal say the same of today and of all that was done, and the page\'s path is the C\'s', async () => {
  const below = random(14)
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lessons-')), file = path.join(folder, 'where-tokens-go/predictions')
  const html = fs.readFileSync(path.join(site, 'path.html'), 'utf8')
  fs.mkdirSync(path.dirname(file))
  const seen = { reviews: 0, changed: 0, due: 0 }
  try {
    for (let round = 0; round < 25; round++) {
      const today = Math.floor(Date.now() / 864e5)
      const lines = round ? await past(below, today) : ''
      fs.writeFileSync(file, lines)
      for (const way of [1, 2]) {
        const said = run('predict', ['--today', '--path', String(way)], { input: '', env: { XDG_STATE_HOME: folder } })
        const [page, plan] = await c((book) => [book.today(way, lines, today, 72), book.plan(way, lines, today)])
        assert.equal(said.slice(0, page.length + 1), page + '\n')
        assert(page.startsWith(`Path ${way}: ${plan.done} of ${plan.steps} steps are done.`))
        const told = page.split(/^Due again:|^Next:/m)[0].match(/^ {2}\d+\.\d+/gm).map((id) => id.trim())
        const shown = html.split('<h2 id="')[1 + way].match(/data-of="[^"]*/g).map((of) => of.slice(9))
        assert.deepEqual(shown, told, 'the order of the page')
        const states = await c((book) => book.states(lines, today))
        for (const id of told) assert(page.includes(` min  ${states.get(id).words}\n`))
        assert.deepEqual(plan.next.filter((id) => states.get(id).when), [])
        assert.deepEqual(plan.reviews.filter((id) => states.get(id).when !== 'due'), [])
        assert(plan.reviews.every((id, i) => !i || parseInt(id) !== parseInt(plan.reviews[i - 1])), 'a chapter is drilled')
        seen.reviews += plan.reviews.length
        seen.due += [...states.values()].filter(({ when }) => when === 'due').length
      }
      const all = run('predict', ['--progress'], { env: { XDG_STATE_HOME: folder } })
      const page = (await c((book) => book.progress(lines, 80))).replace(/█/g, '#').replace(/░/g, ' ').replace(/ +$/gm, '')
      assert(all.replace(/ +$/gm, '').startsWith(page))
      seen.changed += page.includes('that ask something else since then')
    }
  } finally { fs.rmSync(folder, { recursive: true }) }
  assert(seen.reviews > 20 && seen.due > seen.reviews && seen.changed > 3, JSON.stringify(seen))
})

test('when the C stops, its words are the message, and the next question gets a new C', async () => {
  await assert.rejects(c((book) => book.pose(9999, 1)), /page\.c:\d+: the book has no lesson \d+ behind its last/)
  assert((await c((book) => book.pose(0, 1))).question.length > 0)
})

test('no text is taken for markup: the script only makes nodes', () => {
  assert.doesNotMatch(fs.readFileSync(path.join(site, 'cards.js'), 'utf8'),
    /innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|createContextualFragment|\beval\b|Function\(/)
})

test('the module asks its host for nothing but a way to say its last words and to stop', () => {
  const bytes = gunzipSync(Buffer.from(fs.readFileSync(path.join(site, 'lessons.js'), 'utf8').match(/'(.*)'/)[1], 'base64'))
  const asked = WebAssembly.Module.imports(new WebAssembly.Module(bytes)).map(({ name }) => name)
  assert.deepEqual(asked.filter((name) => !/^(fd_(write|seek|close|fdstat_get)|proc_exit)$/.test(name)), [])
})

test('a page with its script and its lessons stays under 700 kB', () => {
  const size = (name) => fs.statSync(path.join(site, name)).size
  const shared = size('cards.js') + size('lessons.js')
  for (const name of fs.readdirSync(site).filter((name) => /^\d.*\.html$/.test(name)))
    assert(size(name) + shared < 700e3, `${name}: ${size(name) + shared} bytes`)
})
