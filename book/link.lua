-- Tie the chapters together. Input: the facts of every chapter, in the
-- book's order. For each, write build/weave/NAME.refs with what its page
-- shows of the others; and write the pages of the back: bibliography, indexes,
-- tests. Unchanged files keep their time stamps, so only pages with news are
-- woven again.

local common = dofile('book/common.lua')
local suites = dofile('book/suites.lua')
local FOLDER = 'build/weave/'

local function has(list, item)
  for _, x in ipairs(list) do if x == item then return true end end
  return false
end

local function public(chunk)
  for _, file in ipairs(chunk.files) do
    if file:match('%.h$') then return true end
  end
  return false
end

local function link(text, target, class)
  return pandoc.Link({ pandoc.Str(text) }, target, '', pandoc.Attr('', { class }))
end

local function sorted(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if a:lower() ~= b:lower() then return a:lower() < b:lower() end
    return a < b
  end)
  return keys
end

local function inlines(markdown)
  return pandoc.utils.blocks_to_inlines(pandoc.read(markdown).blocks)
end

local function index_list(entries)
  local items = {}
  for _, e in ipairs(entries) do
    local line = { e.head }
    local function part(words, links)
      if #links == 0 then return end
      line[#line + 1] = pandoc.Space()
      line[#line + 1] = pandoc.Span({ pandoc.Str(words) }, pandoc.Attr('', { 'what' }))
      for i, l in ipairs(links) do
        if i > 1 then line[#line + 1] = pandoc.Str(',') end
        line[#line + 1] = pandoc.Space()
        line[#line + 1] = l
      end
    end
    part('defined', e.defined)
    part('used', e.used)
    items[#items + 1] = { pandoc.Plain(line) }
  end
  return pandoc.Div({ pandoc.BulletList(items) }, pandoc.Attr('', { 'index' }))
end

local function heading(level, text, id)
  return pandoc.Header(level, { pandoc.Str(text) }, pandoc.Attr(id or '', { 'unnumbered' }))
end

local function index_page(name, title, intro, ...)
  local blocks = { heading(1, title), pandoc.Para(inlines(intro)), ... }
  local doc = pandoc.Pandoc(blocks, pandoc.Meta and pandoc.Meta { name = name, pagetitle = title }
    or { name = pandoc.MetaString(name), pagetitle = pandoc.MetaString(title) })
  local text = pandoc.write(doc, 'json')
  common.update(FOLDER .. name .. '.json', text)
end

function Reader(input)
  local chapters, labels, all_labels, failed = {}, {}, {}, false
  for _, source in ipairs(input) do
    chapters[#chapters + 1] = common.load(source.text, source.name)
  end
  for _, c in ipairs(chapters) do
    c.defs, c.by_id, c.title_chunk = {}, {}, {}
    for _, l in ipairs(c.labels) do
      if labels[l.id] then
        local path = 'chapters/' .. c.name .. '.nw'
        io.stderr:write(('%s:%d: {#%s} is defined in chapters/%s.nw, too; '
          .. 'ids are unique across the book: rename one\n'):format(
          path, common.line_of(path, '{#' .. l.id), l.id, labels[l.id].chapter))
        failed = true
      else
        labels[l.id] = { page = c.page, anchor = l.anchor, number = l.number or '',
          title = l.id:match('^ch:') and c.title or l.title, chapter = c.name }
        all_labels[#all_labels + 1] = l.id
      end
    end
    for _, chunk in ipairs(c.chunks) do
      c.by_id[chunk.id] = chunk
      for _, name in ipairs(chunk.defines) do
        local def = c.defs[name]
        if not def then
          def = { page = c.page, anchor = 'def-' .. name, chapter = c.name,
            number = chunk.number,
            tag = has(c.tags, name) and 1 or nil }
          c.defs[name] = def
        end
        if public(chunk) then def.public = true end
      end
    end
  end
  if failed then os.exit(1) end

  -- The definition that a name means in chapter i: its own, else that of the
  -- nearest chapter before it or of an appendix; prose may look ahead.
  local function definition(i, name, ahead)
    local own = chapters[i].defs[name]
    if own then return own end
    local order = {}
    for j = i - 1, 1, -1 do order[#order + 1] = j end
    for j = i + 1, #chapters do
      if ahead or chapters[j].name:match('^%a') then order[#order + 1] = j end
    end
    for _, j in ipairs(order) do
      local def = chapters[j].defs[name]
      if def and def.public then return def end
    end
  end

  -- The suites, and the cases that a function's chunk names.
  local all_suites, suite_of, defined = {}, {}, {}
  for _, c in ipairs(chapters) do
    local suite = c.number and suites.read(c.number, 'tests/test_chapter' .. c.number .. '.c')
    suite_of[c.name] = suite
    if suite then
      suite.title, suite.of = c.title, c.page
      all_suites[#all_suites + 1] = suite
    end
    for name in pairs(c.defs) do defined[name] = true end
  end
  for _, suite in ipairs(all_suites) do suites.rank(suite, defined) end
  local function tests_of(c)
    local tests = {}
    for _, chunk in ipairs(c.chunks) do
      for _, name in ipairs(chunk.bodies) do
        for _, suite in ipairs(suite_of[c.name] and { suite_of[c.name] } or all_suites) do
          tests[name] = tests[name] or suites.holding(suite, name)
        end
      end
    end
    return tests
  end

  local list = {}
  for i, c in ipairs(chapters) do
    list[i] = { name = c.name, page = c.page, number = c.number, title = c.title }
  end
  local uses = {}        -- "chapter name" of a definition -> links
  for i, c in ipairs(chapters) do
    local refs = { chapters = list, place = i, labels = {}, close = {}, idents = {},
      quotes = {}, tests = tests_of(c) }
    for _, id in ipairs(c.cites) do
      if labels[id] then refs.labels[id] = labels[id]
      else refs.close[id] = common.near(id, all_labels) end
    end
    for _, chunk in ipairs(c.chunks) do
      for _, use in ipairs(chunk.uses) do
        local name = use:match('(%S+)$')
        local def = definition(i, name)
        if def and (not def.tag or use ~= name) then
          refs.idents[name] = { page = def.page, anchor = def.anchor, tag = def.tag }
          if not has(chunk.defines, name) then
            local key = def.chapter .. ' ' .. name
            uses[key] = uses[key] or {}
            table.insert(uses[key], link(chunk.number, c.page .. '#' .. chunk.id))
          end
        end
      end
    end
    for _, name in ipairs(c.quotes) do
      local def = definition(i, name, true)
      if def then refs.quotes[name] = { page = def.page, anchor = def.anchor } end
    end
    common.update(FOLDER .. c.name .. '.refs', 'return ' .. common.write(refs))
  end

  local names, titles = {}, {}
  for _, c in ipairs(chapters) do
    for name, def in pairs(c.defs) do
      names[name] = names[name] or { head = pandoc.Code(name,
        pandoc.Attr(name, { 'identifier' })), defined = {}, used = {} }
      table.insert(names[name].defined, link(def.number,
        def.page .. '#' .. def.anchor, 'definition'))
      for _, l in ipairs(uses[c.name .. ' ' .. name] or {}) do
        table.insert(names[name].used, l)
      end
    end
    for _, chunk in ipairs(c.chunks) do
      local key = chunk.title .. ' ' .. c.name
      local e = titles[key]
      if not e then
        e = { head = pandoc.Span({ pandoc.Str('⟨' .. chunk.title .. '⟩') },
          pandoc.Attr('', { 'chunk-title' })), defined = {}, used = {} }
        titles[key] = e
        for _, id in ipairs(chunk.used) do
          local user = c.by_id[id]
          e.used[#e.used + 1] = link(user.number, c.page .. '#' .. id)
        end
      end
      e.defined[#e.defined + 1] = link(chunk.number, c.page .. '#' .. chunk.id,
        'definition')
    end
  end
  local entries = {}
  for _, key in ipairs(sorted(names)) do entries[#entries + 1] = names[key] end
  index_page('identifiers', 'Index of identifiers', 'Every name that a chapter '
    .. 'defines for its readers: the chunk that defines it, and the chunks that use it.',
    index_list(entries))
  entries = {}
  for _, key in ipairs(sorted(titles)) do entries[#entries + 1] = titles[key] end
  index_page('chunks', 'Index of chunks', 'Every chunk of code, by its title: '
    .. 'where it is defined and continued, and the chunks that use it. '
    .. 'A title that is a file name is a file under `tangled/`.', index_list(entries))

  -- Terms by the alphabet; symbols in the order of the book.
  local terms, symbols = {}, {}
  for _, c in ipairs(chapters) do
    for _, t in ipairs(c.terms) do
      local e
      local place = link(t.section or c.title, c.page .. '#' .. t.id, 'definition')
      if t.symbol then
        e = { head = pandoc.Math('InlineMath', t.text) }
        if t.means then
          local head = pandoc.List { e.head, pandoc.Space() }
          head:extend(inlines(t.means))
          e.head = pandoc.Span(head)
        end
        symbols[#symbols + 1] = { head = e.head, defined = { place }, used = {} }
      else
        local key = t.text:lower()
        terms[key] = terms[key] or { head = pandoc.Str(t.text), defined = {}, used = {} }
        table.insert(terms[key].defined, place)
      end
    end
  end
  entries = {}
  for _, key in ipairs(sorted(terms)) do entries[#entries + 1] = terms[key] end
  index_page('terms', 'Index of terms and notation', 'Where each term is defined, and what '
    .. 'each letter means, by the section that says it.', heading(2, 'Notation', 'notation'),
    index_list(symbols), heading(2, 'Terms', 'terms'), index_list(entries))

  local blocks = {}
  for _, suite in ipairs(all_suites) do
    blocks[#blocks + 1] = heading(2, suite.chapter .. ' · ' .. suite.title, 'suite-' .. suite.chapter)
    blocks[#blocks + 1] = suites.claims(suite)
    index_page('test-' .. suite.chapter, 'Tests: ' .. suite.title, ('`%s`, as it is, for '
      .. '[%s](%s#top). `make test%s` runs it, in three builds. [All claims](tests.html#suite-%s)'):format(
      suite.path, suite.title, suite.of, suite.chapter, suite.chapter),
      table.unpack(suites.blocks(suite)))
  end
  index_page('tests', 'The tests', 'What the book claims of its code, and what proves it. Each claim '
    .. 'leads to the case that would fail if it were not so.', table.unpack(blocks))

  -- The works that chapters cite, for citeproc to set, and who cites them.
  local cited, keys = {}, {}
  for _, c in ipairs(chapters) do
    for _, key in ipairs(c.cited) do
      if not cited[key] then
        cited[key] = {}
        keys[#keys + 1] = '@' .. key
      end
      table.insert(cited[key], { text = c.number or c.title, page = c.page })
    end
  end
  index_page('bibliography', 'Bibliography', 'The works that the book cites, and the chapters that do.',
    pandoc.Div({ pandoc.Para(inlines(#keys > 0 and '[' .. table.concat(keys, '; ') .. ']' or '')) },
    pandoc.Attr('', { 'cited' })))
  common.update(FOLDER .. 'book.refs', 'return ' .. common.write {
    chapters = list, labels = {}, close = {}, idents = {}, quotes = {}, tests = {}, cited = cited })
  return pandoc.Pandoc({})
end
