// What a page does beyond standing there. Without it everything can be read:
// uses of chunks are links, and cards, folds and contents open by themselves.
// No text is ever taken for markup: nodes are made, and filled with text.
'use strict'
{
const root = document.documentElement

// Storage may be forbidden; the page then forgets, quietly.
const memory = {
  get(key) { try { return localStorage.getItem(key) } catch { return null } },
  set(key, value) {
    try { value ? localStorage.setItem(key, value) : localStorage.removeItem(key) } catch { /* forgets */ }
  },
}

// Light, dark, or as the system has it. Set before the first paint.
const themes = ['system', 'light', 'dark']
const theme = () => root.dataset.theme ?? 'system'
function setTheme(name) {
  if (name === 'light' || name === 'dark') root.dataset.theme = name
  else delete root.dataset.theme
}
setTheme(memory.get('theme'))

// An element: make('p', { class: 'x' }, 'text', node, …)
function make(name, attributes, ...inside) {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, value)
  element.append(...inside)
  return element
}

function start() {
  const status = make('p', { class: 'status', role: 'status' })
  document.body.append(status)
  const say = (text) => { status.textContent = text }

  // Code -------------------------------------------------------------------

  // The code of a node as C: a use becomes a comment, as in tangled/.
  function codeOf(node) {
    if (node.nodeType === Node.TEXT_NODE) return node.data
    if (node.matches?.('.unfolded-number, .sign, .as-before, del')) return ''
    if (node.matches?.('.chunk-use'))
      return node.nextSibling?.dataset?.collects ? '' : node.textContent.replace(/^⟨(.*)⟩$/, '/* $1 */')
    const inside = [...node.childNodes].map(codeOf).join('')
    if (node.dataset?.collects) return inside.trimStart()      // a continued chunk's title is no comment
    return node.matches?.('.unfolded') ? '\n' + inside : inside
  }

  async function copy(text, button) {
    try {
      await navigator.clipboard.writeText(text)
    } catch {                             // an older way, from a page without rights
      const area = make('textarea', { class: 'away', 'aria-hidden': 'true' })
      area.value = text
      document.body.append(area)
      area.select()
      const copied = document.execCommand('copy')
      area.remove()
      button.focus()
      if (!copied) return say('The browser did not let the page copy.')
    }
    say('Copied.')
    button.textContent = 'Copied'
    setTimeout(() => { button.textContent = 'Copy' }, 1500)
  }

  for (const chunk of document.querySelectorAll('.chunk')) {
    const button = make('button', { type: 'button', class: 'copy',
      'aria-label': 'Copy ' + chunk.querySelector('.chunk-title').textContent.replace(/[\u202f+≡]+$/, '') }, 'Copy')
    button.addEventListener('click', () => copy(codeOf(chunk.querySelector('pre code')) + '\n', button))
    chunk.querySelector('.chunk-head').append(button)
  }
  document.addEventListener('copy', (event) => {
    const range = getSelection()?.rangeCount ? getSelection().getRangeAt(0) : null
    const at = range?.commonAncestorContainer
    const element = at?.nodeType === Node.ELEMENT_NODE ? at : at?.parentElement
    if (!element?.closest('.chunk pre code') || element.closest('.chunk-use')) return
    event.clipboardData.setData('text/plain', codeOf(range.cloneContents()))
    event.preventDefault()
  })

  // A chunk's use unfolds in place: all pieces of the chunk, indented as the use.
  let count = 0
  for (const use of document.querySelectorAll('.chunk-use, .as-before a')) closed(use)
  function closed(use) {
    use.setAttribute('role', 'button')
    use.setAttribute('aria-expanded', 'false')
    use.removeAttribute('aria-controls')
  }
  function unfold(use) {
    const before = use.previousSibling?.nodeType === Node.TEXT_NODE ? use.previousSibling.data : ''
    const indent = before.match(/[ \t]*$/)[0]
    const id = 'unfolded-' + ++count
    const box = make('span', { class: 'unfolded', id, role: 'group', 'aria-label': use.textContent })
    const first = document.querySelector(use.getAttribute('href').replace(/^#(.*)$/, (_, name) => '#' + CSS.escape(name)))
    for (let chunk = first; chunk; chunk = document.getElementById(chunk.dataset.next ?? '')) {
      if (chunk !== first) {
        box.append('\n')
        box.dataset.collects = 'yes'
      }
      box.append(make('a', { class: 'unfolded-number', href: '#' + chunk.id,
        'aria-label': 'defined in ' + chunk.querySelector('.chunk-number').textContent },
      chunk.querySelector('.chunk-number').textContent))
      const code = chunk.querySelector('pre code').cloneNode(true)
      for (const inner of code.querySelectorAll('.unfolded')) remove(inner)
      for (const inner of code.querySelectorAll('.sign, .as-before, del')) inner.remove()     // of a diff, the code
      for (const inner of code.querySelectorAll('.line, .same, ins')) inner.replaceWith(...inner.childNodes)
      code.normalize()
      for (const inner of code.querySelectorAll('[id]')) inner.removeAttribute('id')
      for (const inner of code.querySelectorAll('.chunk-use')) closed(inner)
      box.append(indent, ...code.childNodes)
    }
    const texts = document.createTreeWalker(box, NodeFilter.SHOW_TEXT)
    while (texts.nextNode()) {
      if (!texts.currentNode.parentElement.closest('.unfolded-number'))
        texts.currentNode.data = texts.currentNode.data.replace(/\n(?!\n)/g, '\n' + indent)
    }
    if (use.nextSibling?.nodeType === Node.TEXT_NODE && use.nextSibling.data.startsWith('\n')) {
      use.nextSibling.data = use.nextSibling.data.slice(1)   // the box ends the line now
      box.append('\n')
      box.dataset.line = 'ended'
    }
    use.after(box)
    use.setAttribute('aria-expanded', 'true')
    use.setAttribute('aria-controls', id)
  }
  function remove(box) {
    if (box.dataset.line) box.after('\n')
    box.remove()
  }
  function fold(use) {
    remove(document.getElementById(use.getAttribute('aria-controls')))
    closed(use)
    use.parentNode.normalize()
  }
  document.addEventListener('click', (event) => {
    const use = event.target.closest?.('.chunk-use, .as-before a')
    if (!use || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return
    event.preventDefault()
    const same = use.closest('.as-before')?.nextSibling
    if (same) use.setAttribute('aria-expanded', !(same.hidden = !same.hidden))
    else if (use.getAttribute('aria-expanded') === 'true') fold(use)
    else unfold(use)
  })
  document.addEventListener('keydown', (event) => {
    if (event.key !== ' ' || !event.target.matches?.('.chunk-use, .as-before a')) return
    event.preventDefault()
    event.target.click()
  })

  // A link into a fold opens it.
  function named(hash) {
    try { return document.getElementById(decodeURIComponent(hash.slice(1))) } catch { return null }   // "#100%"
  }
  function reveal() {
    const at = named(location.hash)
    if (!at) return
    for (let fold = at.closest('details:not([open])'); fold; fold = fold.parentElement.closest('details:not([open])'))
      fold.open = true
    if (at.matches('.chunk')) at.querySelector('details.fold')?.setAttribute('open', '')
    at.scrollIntoView()
  }
  addEventListener('hashchange', reveal)
  if (location.hash) reveal()

  // What scrolls sideways can be reached and scrolled by keys.
  function reachable() {
    for (const wide of document.querySelectorAll('.picture, .table, .formula')) {
      if (wide.scrollWidth > wide.clientWidth) wide.setAttribute('tabindex', '0')
      else wide.removeAttribute('tabindex')
    }
  }
  addEventListener('resize', reachable)
  addEventListener('load', reachable)

  // Pointed at, a link to an equation, a figure, a table or code shows it.
  let preview, soon
  function show(link) {
    const [file, id] = link.getAttribute('href').split('#')
    const there = (file ? document.querySelector(`template[data-of="${CSS.escape(file)}#${CSS.escape(id)}"]`)?.content.firstElementChild
      : named('#' + id)?.closest('.chunk, .equation, figure, .table'))
    if (!there || there.contains(link)) return
    const copy = there.cloneNode(true)
    if (!file) for (const inner of [copy, ...copy.querySelectorAll('[id]')]) inner.removeAttribute('id')
    for (const inner of copy.querySelectorAll('.copy, .chunk-foot')) inner.remove()
    preview = make('div', { class: 'preview' }, copy)
    preview.inert = true
    document.body.append(preview)
    const at = link.getBoundingClientRect(), room = root.clientWidth - preview.offsetWidth - 16
    preview.style.left = Math.max(8, Math.min(at.left, room)) + 'px'
    preview.style.top = scrollY + (at.bottom + preview.offsetHeight < innerHeight ? at.bottom + 6
      : Math.max(4, at.top - preview.offsetHeight - 6)) + 'px'
  }
  function hide() {
    clearTimeout(soon)
    preview?.remove()
    preview = null
  }
  for (const [comes, goes, wait] of [['mouseover', 'mouseout', 300], ['focusin', 'focusout', 600]]) {
    document.addEventListener(comes, (event) => {
      const link = event.target.closest?.('main a[href*="#"]:not(.chunk-use, .chunk-number, .unfolded-number)')
      if (!link || !matchMedia('(hover: hover)').matches) return
      hide()
      soon = setTimeout(show, wait, link)
    })
    document.addEventListener(goes, hide)
  }
  for (const event of ['click', 'keydown', 'scroll']) addEventListener(event, hide, { passive: true })

  // Contents: where the reader is --------------------------------------------

  const heads = [...document.querySelectorAll('main h2[id]')]
  let waiting = false
  function mark() {
    waiting = false
    const at = heads.findLast((head) => head.getBoundingClientRect().top < 120)
    for (const link of document.querySelectorAll('.chapters ul ul a')) {
      if (at && link.getAttribute('href') === '#' + at.id) {
        if (link.getAttribute('aria-current')) continue
        link.setAttribute('aria-current', 'location')
        const bar = link.closest('.sidebar')
        if (!bar) continue
        const place = link.getBoundingClientRect(), frame = bar.getBoundingClientRect()
        if (place.top < frame.top + 60 || place.bottom > frame.bottom - 20)
          bar.scrollTop += place.top - frame.top - frame.height / 3
      } else {
        link.removeAttribute('aria-current')
      }
    }
  }
  addEventListener('scroll', () => {
    if (!waiting) requestAnimationFrame(mark)
    waiting = true
  }, { passive: true })
  mark()

  // The tools ------------------------------------------------------------------

  const tools = document.querySelector('.tools')
  const button = (name) => tools.querySelector(`[data-do="${name}"]`)
  function showTheme() {
    button('theme').textContent = { system: '◐', light: '☀', dark: '☾' }[theme()]
    button('theme').setAttribute('aria-label', 'Theme: ' + theme())
    button('theme').title = `Theme: ${theme()} (t)`
  }
  function nextTheme() {
    setTheme(themes[(themes.indexOf(theme()) + 1) % themes.length])
    memory.set('theme', root.dataset.theme)
    showTheme()
    say('Theme: ' + theme())
  }
  const keys = [['/', 's', 'search the book'], ['←', '', 'the chapter before'], ['→', '', 'the next chapter'],
    ['t', '', 'theme: system, light, dark'], ['?', '', 'this help'], ['Enter', 'Space', 'unfold a chunk in its place'],
    ['Esc', '', 'close']]
  const help = make('dialog', { class: 'help', 'aria-label': 'Keys' }, make('h2', {}, 'Keys'),
    make('table', {}, make('tbody', {}, ...keys.map(([key, other, what]) => make('tr', {},
      make('th', { scope: 'row' }, make('kbd', {}, key), ...other ? [' or ', make('kbd', {}, other)] : []),
      make('td', {}, what))))),
    make('form', { method: 'dialog' }, make('button', {}, 'Close')))
  document.body.append(help)
  const act = {
    search: () => openSearch(),
    theme: nextTheme,
    help: () => help.showModal(),
  }
  for (const name of Object.keys(act)) button(name).addEventListener('click', act[name])
  showTheme()
  tools.hidden = false

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return
    const at = event.target
    if (at.closest?.('input, textarea, select, [contenteditable], dialog') || document.querySelector('dialog[open]')) return
    const turn = { ArrowLeft: 'prev', ArrowRight: 'next' }[event.key]
    if (turn) {
      // What scrolls sideways keeps its arrows.
      const wide = at.closest?.('pre, .table, .picture, .formula')
      const link = document.querySelector(`.turn a[rel="${turn}"]`)
      if (event.shiftKey || !link || (wide && wide.scrollWidth > wide.clientWidth)) return
      location.href = link.href
      return
    }
    const name = { '/': 'search', s: 'search', t: 'theme', '?': 'help' }[event.key]
    if (!act[name]) return
    event.preventDefault()
    act[name]()
  })

  // Search ---------------------------------------------------------------------

  let dialog, loading
  const base = document.querySelector('script[src$="book.js"]').src.replace(/book\.js$/, '')
  function load(file) {
    return new Promise((done, failed) => {
      const script = make('script', { src: base + file })
      script.addEventListener('load', done)
      script.addEventListener('error', failed)
      document.head.append(script)
    })
  }
  function openSearch() {
    dialog ??= searchDialog()
    dialog.showModal()
    dialog.querySelector('input').select()
  }
  function searchDialog() {
    const input = make('input', { type: 'search', 'aria-label': 'Search the book', placeholder: 'Search the book',
      autocomplete: 'off', spellcheck: 'false', maxlength: '200' })
    const list = make('ol', { class: 'found' })
    const told = make('p', { role: 'status' })
    const made = make('dialog', { class: 'search', 'aria-label': 'Search' },
      make('form', { method: 'dialog' }, input, make('button', {}, 'Close')), told, list)
    document.body.append(made)
    let records
    loading ??= load('search.js')
    loading.then(() => { records = wtgSearch; run() },
      () => { told.textContent = 'The index could not be loaded: search.js is missing beside this page.' })
    // A word counts where one begins with it, more where it ends there, too.
    const begins = (pattern) => new RegExp(`(?<![\\p{L}\\p{N}])(?:${pattern})(?<end>(?![\\p{L}\\p{N}]))?`, 'giu')
    // The word with one letter too many, missing or wrong.
    const nearly = (word) => [...word].flatMap((_, i) => [word.slice(0, i) + '.?' + word.slice(i + 1),
      word.slice(0, i) + '.' + word.slice(i)]).join('|')
    function weight(text, pattern) {
      let sum = 0
      for (const match of text.matchAll(pattern)) sum += match.groups.end === undefined ? 1 : 3
      return sum
    }
    function search(words) {
      let patterns = words.map(begins)
      patterns = patterns.map((pattern, i) => words[i].length > 4 && !records.some((record) => record[1].search(pattern) >= 0
        || record[3].search(pattern) >= 0) ? begins(nearly(words[i])) : pattern)
      const hits = records.map((record) => {
        const [, title, , text] = record, [plain, terms = ''] = text.split('\t')
        const weights = patterns.map((pattern) => 30 * weight(title, pattern) + 30 * weight(terms, pattern)
          + 6 * weight(plain, pattern) / (1 + plain.length / 400))
        return { record, rank: weights.filter(Boolean).length,
          score: weights.reduce((a, b) => a + b) * (title.startsWith('⟨') ? 0.3 : 1) }     // text before code
      })
      const most = Math.max(1, ...hits.map((hit) => hit.rank))       // only places with the most of the words
      return hits.filter((hit) => hit.rank === most).sort((a, b) => b.score - a.score)
    }
    function run() {
      const words = (input.value.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? []).filter((word) => word.length > 1)
      list.replaceChildren()
      if (!words.length) { told.textContent = ''; return }
      if (!records) { told.textContent = 'Loading the index …'; return }
      const hits = search(words)
      told.textContent = hits.length === 0 ? `Nothing found for “${input.value.trim()}”.`
        : `${hits.length} place${hits.length > 1 ? 's' : ''}${hits.length > 30 ? ', the best 30 below' : ''}`
      for (const { record: [place, title, where, text] } of hits.slice(0, 30)) {
        list.append(make('li', {}, make('a', { href: place }, ...marked(title, words)), ' ',
          make('span', { class: 'where' }, where), make('p', {}, ...marked(excerpt(text.split('\t')[0], words), words))))
      }
    }
    function excerpt(text, words) {
      const at = Math.max(0, Math.min(...words.map((word) => {
        const place = text.toLowerCase().indexOf(word)
        return place < 0 ? text.length : place
      })) % Math.max(text.length, 1) - 60)
      const from = at ? text.indexOf(' ', at) + 1 : 0
      return (from ? '… ' : '') + text.slice(from, from + 160) + (text.length > from + 160 ? ' …' : '')
    }
    function marked(text, words) {
      const found = new RegExp('(' + words.map((word) => word).join('|') + ')', 'giu')
      return text.split(found).map((part, i) => i % 2 ? make('mark', {}, part) : part)
    }
    input.addEventListener('input', run)
    made.addEventListener('keydown', (event) => {
      const links = [...list.querySelectorAll('a')]
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
      const at = links.indexOf(document.activeElement)
      if (event.key === 'Escape') {
        event.preventDefault()
        made.close()
      } else if (event.key === 'Enter' && event.target === input) {
        event.preventDefault()
        links[0]?.click()
      } else if (step && links.length) {
        event.preventDefault()
        if (at + step < 0) input.focus()
        else links[Math.min(at + step, links.length - 1)].focus()
      }
    })
    list.addEventListener('click', (event) => event.target.closest('a') && made.close())
    return made
  }
}

if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start)
else start()
}
