// How you stand: behind each lesson of a chapter's end and of the page The path, from your predictions,
// and what comes today. The C says it; without this file there are the lessons alone.
'use strict'
{
const { ask, make, record, show } = globalThis.wtg
const today = () => Math.floor(Date.now() / 864e5)
const places = () => document.querySelectorAll('.state')
const link = (id) => {
  const there = [...places()].find((place) => place.dataset.of === id).parentElement.querySelector('a')
  return make('a', { href: there.getAttribute('href') }, there.textContent)
}

function fill(states) {
  for (const place of places()) {
    const { when, how, words } = states.get(place.dataset.of) ?? { when: '', how: '', words: '' }
    place.className = ['state', when, how].join(' ').trimEnd()
    place.textContent = words
  }
}

// What the page The path says first.
let box, told
function list(words, ids, states) {
  if (!ids.length) return []
  return [make('p', {}, words), make('ul', {}, ...ids.map((id) => make('li', {}, link(id), ' ',
    make('span', { class: 'how' }, states.get(id).words))))]
}
function say(plans, states) {
  const { reviews } = plans[0]                   // they are of no path
  const due = list('Due again, in this order:', reviews, states)
  told.replaceChildren(...due.length ? due : [make('p', {}, 'Nothing is due again today.')],
    ...plans.flatMap(({ done, steps, next }, i) => {
      const so = `Path ${i + 1}: ${done} of ${steps} steps ${steps === 1 ? 'is' : 'are'} done.`
      if (!next.length) return [make('p', {}, so + ' That is all there is of it.')]
      const first = link(next[0])
      first.className = 'go'
      first.replaceChildren('Go on with ' + next[0])
      first.setAttribute('aria-label', `Go on with path ${i + 1}: lesson ` + link(next[0]).textContent)
      return [...list(so + ' Next:', next, states), make('p', { class: 'do' }, first)]
    }))
}

async function refresh() {
  const lines = record.all(), day = today()
  try {
    const [states, ...plans] = await ask((c) => [c.states(lines, day), ...[1, 2].map((path) => c.plan(path, lines, day))])
    fill(states)
    if (box) say(plans, states)
  } catch (error) {
    if (box) told.replaceChildren(make('p', {}, `This page cannot say how you stand: ${error.message}.`))
  }
}

// The C is loaded when it is needed: on the page The path, or when a chapter's end comes into sight
// of somebody who has predicted something.
let needed = false
function need() {
  if (needed || !box && !record.all()) return
  needed = true
  refresh()
}
function start() {
  [box] = document.querySelectorAll('main div.today')
  const ends = document.querySelectorAll('.ends')
  if (box) {
    const mine = make('button', { type: 'button' }, 'Your predictions')
    mine.addEventListener('click', show)
    told = make('div', { role: 'status' })
    box.replaceChildren(told, make('p', { class: 'do' }, mine))
    need()
  } else if (ends.length) {
    const near = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && need(), { rootMargin: '400px' })
    for (const end of ends) near.observe(end)
  } else return
  for (const event of ['predicted', 'storage', 'pageshow']) addEventListener(event, () => needed && refresh())
}
if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start)
else start()
}
