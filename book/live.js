
// A figure that the reader moves: the C says which handles it has, what it shows and what it says
// (appendix A, figure.h); here it is drawn. What it says first is in the page, so that the C is
// loaded only when a handle is moved. Nothing is computed here.
{
const { make } = globalThis.wtg

// The picture -------------------------------------------------------------------
// Shapes by their kind; a tone of -1 is an empty place, one of -2 is crossed out.
const shape = (name, attributes, text) => {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  if (text) element.textContent = text
  return element
}
const anchors = { '-1': 'start', 0: 'middle', 1: 'end' }
const shapes = {
  box([x, y, width, height, color, tone, text]) {
    const [left, top, right, bottom] = [+x, +y, +x + +width, +y + +height]
    const parts = [shape('rect', { x, y, width, height, 'fill-opacity': Math.max(0, tone / 100),
      class: `e${color}` + (+tone === -1 ? ' empty' : '') })]
    if (+tone === -2) parts.push(shape('path', { d: `M${left} ${top}L${right} ${bottom}M${left} ${bottom}L${right} ${top}`, class: `e${color} cross` }))
    if (text) parts.push(shape('text', { x: (left + right) / 2, y: (top + bottom) / 2, 'text-anchor': 'middle' }, text))
    return parts
  },
  strip([x, y, width, height, color, ...tones]) {
    const cell = width / tones.length
    return [...tones.map((tone, i) => shape('rect', { x: +x + i * cell, y, width: cell, height, 'fill-opacity': tone / 100, class: `e${color} cell` })),
      shape('rect', { x, y, width, height, 'fill-opacity': 0, class: `e${color}` })]
  },
  text: ([x, y, anchor, text]) => [shape('text', { x, y, 'text-anchor': anchors[anchor] }, text)],
  line: ([color, dashed, ...at]) => [shape('polyline', { points: at.join(' '), class: `e${color}` + (+dashed ? ' dashed' : '') })],
  dot: ([x, y]) => [shape('circle', { cx: x, cy: y, r: 0.45 })],
}

// The handles -------------------------------------------------------------------
// Each is { box, show(fields), value }; it calls moved() when the reader has moved it.
const kinds = {
  range(id, moved) {
    const name = make('label', { for: id }), input = make('input', { type: 'range', id })
    const words = make('span', { class: 'now', 'aria-hidden': 'true' })
    input.addEventListener('input', moved)
    return {
      box: make('div', { class: 'slider' }, name, input, words),
      get value() { return input.value },
      set value(to) { input.value = to },
      show([title, value, least, most, step, said]) {
        name.textContent = title
        Object.assign(input, { min: least, max: most, step })
        input.value = value
        input.setAttribute('aria-valuetext', said)
        words.textContent = said
      },
    }
  },
  choice(id, moved) {
    const legend = make('legend'), box = make('fieldset', {}, legend)
    let options = []
    return {
      box,
      get value() { return options.findIndex(({ input }) => input.checked) },
      show([title, value, shut, ...texts]) {
        legend.textContent = title
        box.className = title.length < 3 ? 'choice brief' : 'choice'
        if (options.length !== texts.length) {
          for (const { label } of options) label.remove()
          options = texts.map((_, i) => {
            const input = make('input', { type: 'radio', name: id, value: i }), text = make('span')
            input.addEventListener('change', moved)
            return { input, text, label: make('label', {}, input, text) }
          })
          box.append(...options.map(({ label }) => label))
        }
        options.forEach(({ input, text }, i) => {
          text.textContent = texts[i]
          input.disabled = Boolean(shut >> i & 1)
          input.checked = i === +value
        })
      },
    }
  },
  // Steps go by themselves only if asked to, and where motion is welcome.
  steps(id, moved) {
    const slider = kinds.range(id, () => { stop(); moved() })
    const button = (text, what) => {
      const made = make('button', { type: 'button' }, text)
      made.addEventListener('click', what)
      return made
    }
    let most = 0, timer
    const to = (step) => { slider.value = step; moved() }
    function stop() {
      clearInterval(timer)
      timer = undefined
      play.textContent = 'Play'
    }
    function walk() {
      if (+slider.value >= most || document.hidden) return stop()
      to(+slider.value + 1)
    }
    const play = button('Play', () => {
      if (timer) return stop()
      if (+slider.value >= most) to(0)
      timer = setInterval(walk, 700)
      play.textContent = 'Pause'
    })
    const still = matchMedia('(prefers-reduced-motion: reduce)')
    const may = () => { play.hidden = still.matches; if (still.matches) stop() }
    still.addEventListener('change', may)
    may()
    const buttons = make('div', { class: 'buttons' }, button('From the start', () => { stop(); to(0) }),
      button('Step', () => { stop(); if (+slider.value < most) to(+slider.value + 1) }), play)
    return {
      box: make('div', { class: 'steps' }, slider.box, buttons), stop,
      get value() { return slider.value },
      show([title, value, end]) {
        most = +end
        slider.show([title, value, 0, end, 1, `${value} of ${end}`])
      },
    }
  },
  // The first handle, if there is one; the others begin anew with it.
  again(id, moved) {
    const button = make('button', { type: 'button' })
    let times = 0
    button.addEventListener('click', () => moved(1 + times))
    return {
      box: make('div', { class: 'buttons again' }, button),
      get value() { return times },
      show([title, value]) { times = +value; button.textContent = title },
    }
  },
}

// The figure --------------------------------------------------------------------

function figure(element) {
  const { live: name, lines } = element.dataset
  const picture = element.querySelector('.picture'), number = element.querySelector('.label').textContent.replace(/\.$/, '')
  const svg = shape('svg', { role: 'img', 'aria-labelledby': element.id + '-says' })
  const says = make('p', { class: 'says', id: element.id + '-says', role: 'status' })
  const row = make('div', { class: 'handles', role: 'group', 'aria-label': 'Handles of ' + number })
  const back = make('button', { type: 'button' }, 'As printed')
  const box = make('div', { class: 'live' }, svg, says, row, make('div', { class: 'buttons' }, back))
  const handles = []
  let proven = false, wanted, busy = false

  function show(text) {
    const shown = [], said = []
    let at = 0
    for (const line of text.split('\n')) {
      const [kind, ...fields] = line.split('\t')
      if (kind === 'size') svg.setAttribute('viewBox', `0 0 ${fields.join(' ')}`)
      else if (kind === 'say') said.push(fields[0])
      else if (shapes[kind]) shown.push(...shapes[kind](fields))
      else if (kinds[kind]) {
        if (!handles[at]) {
          handles[at] = kinds[kind](`${element.id}-${at}`, (only) => moved(Number.isInteger(only) ? only : undefined))
          row.append(handles[at].box)
        }
        handles[at++].show(fields)
      }
    }
    svg.replaceChildren(...shown)
    says.textContent = said.join(' ')
  }
  // No C, no motion: the printed figure is there.
  function failed(error) {
    for (const handle of handles) handle.stop?.()
    picture.hidden = false
    svg.remove()
    row.remove()
    back.remove()
    says.textContent = `This figure cannot move: ${error.message}.`
  }
  // One question at a time; of those that came meanwhile, the last.
  async function ask(line) {
    wanted = line
    if (busy) return
    busy = true
    try {
      while (wanted !== undefined) {
        const next = wanted
        wanted = undefined
        const text = await globalThis.wtg.ask((c) => {
          if (!proven && c.live(name) !== lines) throw Error('lessons.js is of another edition of the book')
          proven = true
          return c.live(next)
        })
        if (wanted === undefined) show(text)
      }
    } catch (error) { failed(error) }
    busy = false
  }
  const moved = (only) => ask([name, ...only === undefined ? handles.map(({ value }) => value) : [only]].join(' '))
  back.addEventListener('click', () => {
    for (const handle of handles) handle.stop?.()
    ask(name)
  })

  show(lines)
  picture.hidden = true
  picture.after(box)
}

const start = () => document.querySelectorAll('figure[data-live]').forEach(figure)
if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start)
else start()
}
