// A card asks, and the chapter's own C judges in the page. Without this file a card is to be
// read: question, hints, answer. No text is ever taken for markup: nodes are made, and filled.
'use strict'
{
const base = document.currentScript.src.replace(/cards\.js$/, '')

// An element: make('p', { class: 'x' }, 'text', node, …)
function make(name, attributes, ...inside) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, value)
  element.append(...inside)
  return element
}

// The C ------------------------------------------------------------------------
// lessons.js is data: page.c and what it calls (appendix A), as WebAssembly, gzipped, in base64.

let loaded, said
const lessons = () => loaded ??= load()

async function load() {
  if (typeof wtgLessons === 'undefined')
    await new Promise((done, failed) => {
      const script = make('script', { src: base + 'lessons.js' })
      script.addEventListener('load', done)
      script.addEventListener('error', () => failed(Error('lessons.js is missing beside this page')))
      document.head.append(script)
    })
  const packed = new Blob([Uint8Array.from(atob(wtgLessons), (c) => c.charCodeAt(0))])
  const bytes = await new Response(packed.stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer()
  const utf8 = { to: new TextEncoder(), from: new TextDecoder() }
  // C's library asks for a file's descriptor only for its last words, on stderr.
  const wasi = {
    fd_write(file, parts, count, wrote) {
      const view = new DataView(c.memory.buffer)
      let all = 0
      for (let i = 0; i < count; i++) {
        const at = view.getUint32(parts + 8 * i, true), length = view.getUint32(parts + 8 * i + 4, true)
        said += utf8.from.decode(new Uint8Array(c.memory.buffer, at, length))
        all += length
      }
      view.setUint32(wrote, all, true)
      return 0
    },
    fd_fdstat_get: () => 8, fd_seek: () => 8, fd_close: () => 8, // none is open
    proc_exit(status) { throw Error('exit ' + status) },          // too little memory
  }
  const { instance } = await WebAssembly.instantiate(bytes, { wasi_snapshot_preview1: wasi })
  const c = instance.exports
  c._initialize()
  const text = (at) => {
    const memory = new Uint8Array(c.memory.buffer)
    return utf8.from.decode(memory.subarray(at, memory.indexOf(0, at)))
  }
  const input = (bytes) => {
    const at = c.page_input(bytes.length)          // memory may grow, and is then another buffer
    new Uint8Array(c.memory.buffer, at).set(bytes)
  }
  const ids = Array.from({ length: c.page_lessons() }, (_, n) => text(c.page_id(n)))
  return {
    number: (id) => ids.indexOf(id),
    // A problem as { given: [line, …], … }.
    pose(lesson, seed) {
      const fields = {}
      for (const line of text(c.page_pose(lesson, BigInt(seed))).split('\n')) {
        const [field, ...rest] = line.split('\t')
        if (field) (fields[field] ??= []).push(rest.join('\t'))
      }
      return fields
    },
    example: (lesson) => text(c.page_example(lesson)),
    read(lesson, answer) {
      input(utf8.to.encode(answer))
      const heard = ['unreadable', 'answer', 'again', 'hint', 'skip', 'leave'][c.page_read(lesson)]
      return { heard, why: text(c.page_why()) }
    },
    record: (lesson, hints) => text(c.page_record(lesson, BigInt(Math.floor(Date.now() / 1000)), hints)),
    // What the terminal says: words, and the worked trace, which is indented.
    explain(lesson) {
      const lines = text(c.page_explain(lesson)).split('\n')
      const traced = (line) => line.startsWith('    ')
      return { right: c.page_passes(lesson) === 1, words: lines.filter((line) => line && !traced(line)),
        trace: lines.filter(traced).map((line) => line.slice(4)).join('\n') }
    },
    import(bytes) {
      input(bytes)
      const [records, strange] = text(c.page_import()).split(/^\n/m)
      return { records: records.split('\n').filter(Boolean), strange: strange.split('\n').filter(Boolean) }
    },
    progress(lines, columns) {
      input(utf8.to.encode(lines))
      return text(c.page_progress(columns))
    },
    // A figure's lines, from its name and its handles' numbers.
    live(line) {
      input(utf8.to.encode(line))
      return text(c.page_live())
    },
    // The path, on a day since 1970: as make today prints it; what comes on it; how all lessons stand.
    today(path, lines, day, columns) {
      input(utf8.to.encode(lines))
      return text(c.page_today(path, day, columns))
    },
    plan(path, lines, day) {
      input(utf8.to.encode(lines))
      const [[, done, steps], ...asked] = text(c.page_plan(path, day)).trimEnd().split('\n').map((line) => line.split('\t'))
      const those = (when) => asked.filter((line) => line[0] === when).map((line) => line[1])
      return { done: Number(done), steps: Number(steps), reviews: those('review'), next: those('next') }
    },
    states(lines, day) {
      input(utf8.to.encode(lines))
      return new Map(text(c.page_states(day)).trimEnd().split('\n').map((line) => {
        const [id, when, how, words] = line.split('\t')
        return [id, { when, how, words }]
      }))
    },
  }
}

// Call the C. If it stops, it is loaded anew the next time: nothing of it can be relied on.
async function ask(what) {
  said = ''
  try {
    return await what(await lessons())
  } catch (error) {
    loaded = undefined
    throw Error(said.trim() || error.message)
  }
}

// The record -------------------------------------------------------------------
// The terminal's lines, in localStorage. What it does not take waits here, and is tried again.

const record = {
  waiting: '',
  stored: () => localStorage.getItem('predictions') ?? '',
  all() {
    let text = ''
    try { text = this.stored() } catch { /* forbidden */ }
    return joined(text, this.waiting)
  },
  // Add lines, and sort them if they come from elsewhere; what went wrong, or ''.
  keep(lines, elsewhere = false) {
    this.waiting += lines
    setTimeout(() => dispatchEvent(new Event('predicted')))
    try {
      const text = joined(this.stored(), this.waiting)
      localStorage.setItem('predictions', elsewhere ? sorted(text) : text)
      this.waiting = ''
      return ''
    } catch (error) {
      const why = error.name === 'QuotaExceededError' ? 'its storage is full' : 'it forbids this page to'
      return `The browser keeps nothing: ${why}. Your predictions are kept until you leave this page; ` +
        'export them before you do.'
    }
  },
}
// A text that has lost its last newline gets it back.
const joined = (text, lines) => (text && !text.endsWith('\n') ? text + '\n' : text) + lines
// Lines begin with their time; those of the same time keep their order.
function sorted(text) {
  const lines = text.split('\n').filter(Boolean)
  return lines.sort((a, b) => Number(a.slice(0, 20) > b.slice(0, 20)) - Number(a.slice(0, 20) < b.slice(0, 20)))
    .map((line) => line + '\n').join('')
}

// Your predictions: how far you are, and in and out as a file.
let dialog
async function show() {
  dialog ??= predictions()
  dialog.told.replaceChildren()
  dialog.box.showModal()
  await dialog.refresh()
}
function predictions() {
  const progress = make('pre', { tabindex: '0', 'aria-label': 'Progress' })
  const told = make('div', { role: 'status', class: 'told' })
  const tell = (...lines) => told.replaceChildren(...lines.map((line) => make('p', {}, line)))
  const file = make('input', { type: 'file', id: 'predictions-file' })
  const out = make('button', { type: 'button' }, 'Export')
  const box = make('dialog', { class: 'predictions', 'aria-labelledby': 'predictions-title' },
    make('h2', { id: 'predictions-title' }, 'Your predictions'), progress,
    make('p', {}, 'They are lines of text, in this browser only. The terminal keeps the same lines in ',
      make('code', {}, '~/.local/state/where-tokens-go/predictions'), ', and ', make('code', {}, 'make progress'),
      ' reads there what you export here.'),
    make('div', { class: 'in-and-out' }, out,
      make('label', { for: 'predictions-file' }, 'Import '), file),
    told, make('form', { method: 'dialog' }, make('button', {}, 'Close')))
  document.body.append(box)
  const refresh = () => ask((c) => { progress.textContent = c.progress(record.all(), 80) })
    .catch((error) => tell(error.message))
  out.addEventListener('click', () => {
    const place = URL.createObjectURL(new Blob([record.all()], { type: 'text/plain' }))
    make('a', { href: place, download: 'predictions' }).click()
    setTimeout(() => URL.revokeObjectURL(place), 10000)
    tell('Exported as “predictions”.')
  })
  file.addEventListener('change', async () => {
    const chosen = file.files[0]
    if (!chosen) return
    try {
      if (chosen.size > 1e7) throw Error('it is larger than 10 MB, and no record of predictions is')
      const bytes = new Uint8Array(await chosen.arrayBuffer())
      const { records, strange } = await ask((c) => c.import(bytes))
      const known = new Set(record.all().split('\n'))
      const fresh = [...new Set(records)].filter((line) => !known.has(line))
      const trouble = fresh.length ? record.keep(fresh.map((line) => line + '\n').join(''), true) : ''
      const count = `${fresh.length} prediction${fresh.length === 1 ? '' : 's'} imported`
      tell(`${count}, ${records.length - fresh.length} known already.`, ...trouble ? [trouble] : [], ...strange)
      await refresh()
    } catch (error) {
      tell(`Nothing was imported: ${error.message}.`)
    }
    file.value = ''
  })
  return { box, told, refresh }
}

// The card ---------------------------------------------------------------------

const BOOK = 1 // the seed of the pages
const painted = () => new Promise((done) => setTimeout(done, 20))

function card(section) {
  const { lesson: id, kind } = section.dataset
  const name = (part) => `predict-${id}-${part}`
  const given = section.querySelector('.question pre code'), options = section.querySelector('.options ol')
  const hints = [...section.querySelectorAll('details.hint')]
  const asWoven = given.textContent
  let seed = BOOK, judged = false, busy = false

  // A choice is one of the options, anything else a field.
  const label = { experts: 'Your prediction: expert numbers, in order', set: 'Your prediction: expert numbers, in any order' }
  const field = make('input', { type: 'text', id: name('said'), autocomplete: 'off', autocapitalize: 'off',
    spellcheck: 'false', maxlength: '250', 'aria-describedby': name('example') })
  const choices = [...options?.children ?? []].map((item, i) => make('input', { type: 'radio', name: name('choice'), value: i + 1 }))
  const example = make('p', { class: 'unit', id: name('example') })
  const verify = make('button', {}, 'Verify')
  const again = make('button', { type: 'button' }, 'Other numbers')
  const mine = make('button', { type: 'button' }, 'Your predictions')
  const verdict = make('div', { class: 'verdict', role: 'status' })
  const trace = make('pre', { tabindex: '0', 'aria-label': 'How the code got there' })
  const form = make('form', { class: 'predict', autocomplete: 'off' },
    ...choices.length
      ? [make('fieldset', {}, make('legend', {}, 'Your prediction'), ...choices.map((choice, i) =>
        make('label', {}, choice, ' ', options.children[i].textContent)))]
      : [make('label', { for: name('said') }, label[kind] ?? 'Your prediction'), field, example],
    verify)
  section.classList.add('asks')
  section.querySelector('.verify').replaceChildren(form)
  section.querySelector('.answer').before(make('div', { class: 'judged' }, verdict, trace,
    make('p', { class: 'do' }, again, ' ', mine)))
  const controls = choices.length ? choices : [field]

  // The lesson's number in the C, if that poses what the page does.
  let number = -1
  function numberIn(c) {
    if (number >= 0) return number
    const found = c.number(id)
    if (found < 0 || c.pose(found, BOOK).given.join('\n') !== asWoven)
      throw Error('lessons.js is of another edition of the book')
    return number = found
  }
  // Words for the reader; the last ones may be right or not.
  function tell(words, how = '') {
    verdict.className = 'verdict ' + how
    verdict.replaceChildren(...words.map((line) => make('p', {}, line)))
  }
  function showTrace(text) {
    trace.textContent = text
    trace.hidden = !text
  }
  function pose(next, text) {
    seed = next
    given.textContent = text
    section.classList.toggle('anew', seed !== BOOK)
  }
  // No C, no verdict: the card is then one to be read.
  function failed(error) {
    section.classList.remove('asks')
    form.hidden = again.hidden = true
    showTrace('')
    pose(BOOK, asWoven)
    tell([`This page cannot verify: ${error.message}. The answer is below.`])
  }
  // One thing at a time, and the reader sees that it is being done.
  async function working(what) {
    if (busy) return
    busy = true
    form.setAttribute('aria-busy', 'true')
    await painted()
    try { await ask(what) } catch (error) { failed(error) }
    form.removeAttribute('aria-busy')
    busy = false
  }

  function poseAnew() {
    return working((c) => {
      let next = seed
      while (next === seed || next === BOOK) next = 1 + Math.floor(999999 * Math.random())
      pose(next, c.pose(numberIn(c), next).given.join('\n'))
      judged = false
      verify.hidden = false
      again.textContent = 'Other numbers'
      field.value = '', field.readOnly = false
      for (const choice of choices) choice.checked = choice.disabled = false
      for (const hint of hints) hint.open = false
      opened = 0
      showTrace('')
      tell([`New numbers, from seed ${seed}. In a terminal: make predict LESSON=${id} SEED=${seed}`])
      controls[0].focus()
      section.querySelector('.question').scrollIntoView({ block: 'nearest' })
    })
  }

  function judge() {
    const chosen = choices.find((choice) => choice.checked)
    const answer = choices.length ? chosen?.value ?? '' : field.value
    return working((c) => {
      const lesson = numberIn(c)
      c.pose(lesson, seed)
      const { heard, why } = c.read(lesson, answer)
      if (heard === 'again') return setTimeout(poseAnew)
      if (heard === 'hint') return tell([hint()])
      if (heard !== 'answer')
        return tell([heard === 'unreadable' ? `Not counted: ${why}. Predict: ${c.example(lesson)}.`
          : 'To skip a card, read on.'])
      const trouble = record.keep(c.record(lesson, opened))
      const { right, words, trace } = c.explain(lesson)
      judged = true
      field.readOnly = true
      for (const choice of choices) choice.disabled = !choice.checked
      if (document.activeElement === verify) (chosen ?? field).focus()
      verify.hidden = true
      again.textContent = 'Again'
      tell([...words, ...trouble ? [trouble] : []], right ? 'right' : 'wrong')
      showTrace(trace)
    })
  }

  // Hints are folds, one in the other; how many were seen is part of the record.
  let opened = 0
  hints.forEach((fold, i) => fold.addEventListener('toggle', () => {
    if (fold.open && !judged) opened = Math.max(opened, i + 1)
  }))
  function hint() {
    const next = hints.find((fold) => !fold.open)
    if (!next) return 'There are no more hints.'
    next.open = true
    return next.querySelector('p').textContent
  }

  showTrace('')
  if (record.all().includes(` ${id} seed `)) tell(['You have predicted this one before. Other numbers make it a new one.'])
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    if (!judged) judge()
  })
  again.addEventListener('click', poseAnew)
  mine.addEventListener('click', show)
  form.addEventListener('focusin', () => ask((c) => {
    example.textContent = c.example(numberIn(c))
  }).catch(failed), { once: true })
}

// For pages that ask more of the C, and for the tests.
globalThis.wtg = { ask, make, record, show }
const start = () => document.querySelectorAll('.lesson[data-lesson]').forEach(card)
if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start)
else start()
}
