-- All chapters as read, tied together: what programs said, who refers to whom, who defines,
-- uses and tests what. Writes build/weave/NAME.json for each page of the book, and search.js.

local common, diff = dofile('book/common.lua'), dofile('book/diff.lua')
local mark, decode, near = common.mark, common.decode, common.near
local str = pandoc.utils.stringify
local book, quoted, labels, all_labels, works = nil, {}, {}, {}, {}

local function link(text, target, class)
  return pandoc.Link({ pandoc.Str(text) }, target, '', pandoc.Attr('', class and { class } or {}))
end
local function div(content, class, attributes) return pandoc.Div(content, pandoc.Attr('', { class }, attributes or {})) end
local function plain(text) return pandoc.Plain { pandoc.Str(text) } end
local function walk(blocks, filter) return pandoc.Pandoc(blocks).blocks:walk(filter) end
local function unlined(text) return (text:gsub('ː%d+', '')) end

-- "a", "a and b", "a, b, and c"
local function joined(items, comma)
  local out = pandoc.List()
  for i, item in ipairs(items) do
    if i > 1 then
      out:extend { pandoc.Str(comma or i == #items and (#items > 2 and ', and' or ' and') or ','), pandoc.Space() }
    end
    out:insert(item)
  end
  return out
end

local function sorted(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return a:lower() < b:lower() or a:lower() == b:lower() and a < b end)
  return keys
end

local function several(count, what) return ('%d %s%s'):format(count, what, count == 1 and '' or 's') end

-- What programs printed --------------------------------------------------------

local function read_quoted()
  for _, chapter in ipairs(book.chapters) do
    local run
    for line in (common.slurp('build/quoted/' .. chapter.name .. '.txt') or ''):gmatch('([^\n]*)\n') do
      local command = line:match('^%$ (.*)$')
      if command then
        run = {}
        quoted[command] = run
      elseif run then table.insert(run, line) end
    end
  end
end

local function output_of(chapter, run, line)
  if not quoted[run] then
    book.complain(chapter, line, ('build/quoted has no output of `%s`; run make quoted'):format(run))
  end
  return quoted[run] or {}
end

local function group(digits)
  local sign, whole, rest = digits:match('^([-+]?)(%d+)(.*)$')
  return sign and sign .. whole:reverse():gsub('(%d%d%d)', '%1,'):reverse():gsub('^,', '') .. rest or digits
end

-- A value mark's text, run, name and format.
local function value(chapter, spec)
  local run, name, format, line = spec:match('^(.-)\t(.-)\t(.-)\t(%d+)$')
  local found, names = nil, {}
  for _, l in ipairs(output_of(chapter, run, tonumber(line))) do
    local k, v = l:match('^([^\t]+)\t(.*)$')
    if k == name then found = v end
    names[#names + 1] = k
  end
  if not found then
    if quoted[run] then
      book.complain(chapter, tonumber(line), ('there is no value %s in `%s`; it prints %s'):format(name, run,
        #names > 0 and 'for example ' .. near(name, names) or 'no values'))
    end
    return '?', run, name, format
  end
  if format == '' then return found, run, name, format end
  if format == ',' then return group(found), run, name, format end
  local number = tonumber(found)
  local conversion = format:gsub('%%%%', ''):match('^[^%%]*%%[-+ #0]*%d*%.?%d*([dfgeEG])[^%%]*$')
  if not number or not conversion then
    book.complain(chapter, tonumber(line), ('%s in the format %q: the value is %q; allowed is a printf format '
      .. 'for one number such as %%.2f, %%.1f%%%% (a percentage) or ,'):format(name, format, found))
    return '?', run, name, format
  end
  if format:find('%%', 1, true) then number = number * 100 end
  return format:format(conversion == 'd' and math.floor(number + 0.5) or number), run, name, format
end

-- A run block: its lines begin with their number in the chapter.
local function transcript(chapter, block)
  local out, part = {}, block.attributes.part
  for line, text in (block.text .. '\n'):gmatch('(%d+)\t(.-)\n') do
    local run = text:match('^%$ (.+)$')
    if run then
      local on, any = not part, not part
      out[#out + 1] = text
      for _, l in ipairs(output_of(chapter, run, tonumber(line))) do
        if part and not any and l:sub(1, #part) == part then on, any = true, true end
        if part and l == '' then on = false end
        if on then out[#out + 1] = l end
      end
      if not any and quoted[run] then
        book.complain(chapter, tonumber(line), ('no line of `%s` starts with %q; give part="…" the start '
          .. 'of a line that it prints'):format(run, part))
      end
    end
  end
  return pandoc.CodeBlock((table.concat(out, '\n'):gsub('\n+$', '')), pandoc.Attr('', { 'run' }))
end

local reading = {}                   -- of each card: the minutes that its section takes up to it, as lint counts

local function lesson(chapter, id, line, section)
  local run = ('build/chapter%s --lessons'):format(id:match('^%w+'))
  local l, ids, here = nil, {}, false
  for _, text in ipairs(output_of(chapter, run, line)) do
    local field, rest = text:match('^(%a+)\t?(.*)$')
    if field == 'lesson' then
      here = rest == id
      ids[#ids + 1] = rest
      l = here and {} or l
    elseif here and field then
      l[field] = l[field] or {}
      if field:match('^[tqohm]') and field ~= 'trace' then      -- words: with their apostrophes
        rest = rest:gsub("(%a)'(%a)", '%1’%2'):gsub("s'(%s)", 's’%1')
      end
      table.insert(l[field], rest)
    end
  end
  if not l then
    if quoted[run] then
      book.complain(chapter, line, ('there is no lesson %s; `%s` has %s'):format(id, run, near(id, ids)))
    end
    return {}
  end
  local function one(field) return l[field] and l[field][1] or '' end
  local function paragraph(text) return pandoc.Para { pandoc.Str(text) } end
  local function drawn(blocks, list)
    local text = table.concat(list or {}, '\n')
    if text ~= '' then blocks:insert(pandoc.CodeBlock(text, pandoc.Attr('', { 'drawn' }))) end
  end
  local question = pandoc.List(l.question or {}):map(paragraph)
  drawn(question, l.given)
  if l.option then
    local items = pandoc.List(l.option):map(function(text) return { plain(text) } end)
    question:insert(div({ pandoc.OrderedList(items) }, 'options'))
  end
  if one('unit') ~= '' then question:insert(div({ paragraph('Answer in ' .. one('unit') .. '.') }, 'unit')) end
  local result = pandoc.List { pandoc.Strong { pandoc.Str(one('answer')) } }
  if one('kind') == 'number' and (tonumber(one('tolerance')) or 0) > 0 then
    result:extend { pandoc.Space(), pandoc.Span({ pandoc.Str('±\u{a0}' .. one('tolerance') .. ' counts as right') },
      pandoc.Attr('', { 'tolerance' })) }
  end
  local answer = pandoc.List { pandoc.Para(result) }
  drawn(answer, l.trace)
  local mistakes = pandoc.List(l.mistake or {}):map(function(m)
    local wrong, meaning = m:match('^(.-)\t(.*)$')
    return { { pandoc.Str('If you said ' .. (wrong or m)) }, { { plain(meaning or '') } } }
  end)
  if #mistakes > 0 then answer:insert(pandoc.DefinitionList(mistakes)) end
  local blocks = pandoc.List { div(question, 'question') }
  for _, text in ipairs(l.hint or {}) do blocks:insert(div({ paragraph(text) }, 'hint')) end
  blocks:insert(pandoc.Div(answer, pandoc.Attr('answer-' .. id, { 'answer' })))
  chapter.has_lessons = true
  table.insert(chapter.cards, { id = id, title = one('title'), text = table.concat(l.question or {}, ' '), section = section,
    paths = one('path'), minutes = tonumber(one('minutes')), page = chapter.page, chapter = chapter, read = tonumber(reading[id]) or 0 })
  return pandoc.Div(blocks, pandoc.Attr('lesson-' .. id, { 'lesson' }, { { 'number', id }, { 'title', one('title') },
    { 'minutes', one('minutes') }, { 'kind', one('kind') }, { 'run', run } }))
end

-- Code ---------------------------------------------------------------------------

local known = {}                     -- every name that some chapter defines

-- C as part(first, last) shows it, with f(name, word before it, as shown) in place of each
-- known name that is no part of a comment, a string or a member.
local function each_name(code, part, f)
  local function blank(text) return (' '):rep(#text) end
  local shape = code:gsub('\\.', '  '):gsub('/%*.-%*/', blank):gsub('"[^"\n]*"', blank):gsub('//[^\n]*', blank)
    :gsub("'[^'\n]*'", blank):gsub(common.OPEN .. '[%w_]*' .. common.CLOSE, blank)
  local out, from = {}, 1
  for first, name, after in shape:gmatch('%f[%w_]()([%a_][%w_]*)()') do
    local before = known[name] and shape:sub(math.max(first - 9, 1), first - 1)
    local new = before and not before:match('%.$') and not before:match('%->$')
      and f(name, before:match('%f[%w](%a+)%s+$'), part(first, after - 1))
    if new then
      out[#out + 1] = part(from, first - 1) .. new
      from = after
    end
  end
  return table.concat(out) .. part(from, #code + 1)
end

local TAGS = { struct = true, enum = true, union = true }

local function define(chapter)
  chapter.defs = {}
  for _, chunk in ipairs(chapter.chunks) do
    for _, name in ipairs(chunk.defines) do
      local def = chapter.defs[name] or { chunk = chunk, chapter = chapter, name = name,
        target = chapter.page .. '#def-' .. name, users = {} }
      chapter.defs[name], known[name] = def, true
      def.public = def.public or table.concat(chunk.files, ' '):find('%.h%f[%s\0]')
      for tag in pairs(TAGS) do
        if chunk.code:find(tag .. '%s+' .. name .. '%s*[{;]') and not chunk.code:find('%f[%w_]' .. name .. '%s*%(') then
          def.tag = true
        end
      end
    end
  end
end

-- The first that look(place) returns: in a chapter, in those before it from the nearest on, in
-- an appendix; prose may look ahead.
local function nearest(place, ahead, look)
  for j = place, 1, -1 do
    local found = look(j)
    if found then return found end
  end
  for j = place + 1, #book.chapters do
    local found = (ahead or book.chapters[j].name:match('^%a')) and look(j)
    if found then return found end
  end
end

-- The definition that a name means in a chapter: its own, else the nearest that is public.
local function definition(place, name, ahead)
  return known[name] and nearest(place, ahead, function(j)
    local def = book.chapters[j].defs[name]
    return def and (j == place or def.public) and def
  end)
end

-- What {{diff NAME, NAME}} compares a chunk with: for each name the function or the struct that
-- stands nearest before it, or else the one chunk of that title. Its text, and where it is.
local function predecessor(chapter, place, c)
  local texts, links, names = {}, pandoc.List(), {}
  for name in c.diff.of:gmatch('%f[^,%z][^,]+') do
    name = name:match('^%s*(.-)%s*$')
    local function look(j)
      local titled
      for k = j == place and c.place - 1 or #book.chapters[j].chunks, 1, -1 do
        local old = book.chapters[j].chunks[k]
        for _, piece in ipairs(book.suites.pieces_of(old.code)) do
          if piece.text:find('%f[%w]struct ' .. name .. ' {') then return { old, piece.text, j } end
          for _, defined in ipairs(piece.text:find('\n{') and piece.defines or {}) do
            if defined == name then return { old, piece.text, j } end
            names[#names + 1] = defined
          end
        end
        if old.title == name and #old.pieces == 1 then titled = { old, old.code, j } end
      end
      return titled
    end
    local found = nearest(place, false, look)
    if found then
      local old = found[1]
      texts[#texts + 1] = found[2]
      links:insert(pandoc.Span { pandoc.Code(name), pandoc.Str(' in '),
        link(old.number, book.chapters[found[3]].page .. '#' .. old.id) })
    else
      book.complain(chapter, c.diff.line, ('{{diff %s}}: no chunk before this one has a function or struct %s, or, '
        .. 'in one piece, the title %s; the nearest functions are %s'):format(c.diff.of, name, name, near(name, names)))
    end
  end
  return table.concat(texts, '\n\n'), links
end

-- What changes in a chunk from its predecessor: what part(first, last) of its code shows, with
-- marks; and attributes for the look. Of a long run that stays, the middle is folded.
local function changed(chapter, place, c)
  local before, links = predecessor(chapter, place, c)
  local signs, places = diff(before, c.code)
  if not signs:find('[^=]') then
    book.complain(chapter, c.diff.line, ('{{diff %s}}: nothing differs; say in words that it stays'):format(c.diff.of))
  end
  local function part(first, last)
    local out, from = {}, first
    for _, p in ipairs(places) do
      if p.at >= first and p.at <= last then
        out[#out + 1] = c.code:sub(from, p.at - 1) .. (p.old and mark('x', p.old) or mark('a', c.code:sub(p.at, p.to)))
        from = p.to and p.to + 1 or p.at
      end
    end
    return table.concat(out) .. c.code:sub(from, last)
  end
  return part, links, { { 'of', links[1] and links[1].content[3].target or '' }, { 'signs', (signs:gsub('==(====+)==', function(run) return '==' .. ('.'):rep(#run) .. '==' end)) },
    { 'before', (before:gsub(common.MARK, function(_, title) return '⟨' .. decode(title) .. '⟩' end)) } }
end

-- Names of files may be long: what a chunk is of, as paths.
local function chunk_div(chapter, place, c)
  local placed, used, shown, links, attributes = {}, {}, nil, nil, {}
  if c.diff then shown, links, attributes = changed(chapter, place, c) end
  local code = each_name(c.code, shown or function(first, last) return c.code:sub(first, last) end, function(name, word, text)
    local def = definition(place, name)
    if not def or def.tag and not TAGS[word] then return nil end
    if def.chunk == c then
      if placed[name] then return nil end
      placed[name] = true
      return mark('d', text .. '\tdef-' .. name)
    end
    if not used[name] and not pandoc.List(c.defines):includes(name) then
      used[name] = true
      table.insert(def.users, link(c.number, chapter.page .. '#' .. c.id))
    end
    return mark('i', text .. '\t' .. def.target)
  end):gsub(common.MARK, function(kind, text)
    local first = kind == 'u' and chapter.pieces[decode(text)]
    return first and mark('u', decode(text) .. '\t' .. first[1].id)
  end)
  local foot, anchors = pandoc.List(), {}
  local function add(inlines)
    if #foot > 0 then foot:insert(pandoc.Space()) end
    foot:extend(inlines)
  end
  local function note(what, items, class)
    if #items == 0 then return end
    local inlines = common.led(joined(items), pandoc.Str(what), pandoc.Space())
    inlines:insert(pandoc.Str('.'))
    add(class and { pandoc.Span(inlines, pandoc.Attr('', { class })) } or inlines)
  end
  local function to(other) return link(other.number, chapter.page .. '#' .. other.id) end
  local more = pandoc.List({ table.unpack(c.pieces, 2) }):map(to)
  if #more > 6 then more = { more[1], more[2], more[3], pandoc.Str('…'), more[#more] } end
  if c.index == 1 then note('Continued in', more) else note('Continues', { to(c.pieces[1]) }, 'continues') end
  note('Used in', pandoc.List({ table.unpack(c.users) }):map(to))
  local defines = {}
  for _, name in ipairs(c.defines) do
    defines[#defines + 1] = link(name, 'identifiers.html#' .. name, 'identifier')
    if chapter.defs[name].chunk == c and not placed[name] then anchors[#anchors + 1] = 'def-' .. name end
  end
  note('Defines', defines)
  local held = book.suites.held_by(chapter, c)
  if held then add(held) end
  local files = {}
  for _, file in ipairs(c.files) do
    files[#files + 1] = ('tangled/%s/%s=%s'):format(chapter.name, file, chapter.pieces[file][1].id)
  end
  local content = pandoc.List { pandoc.CodeBlock(code, pandoc.Attr('', { 'chunk-code' })), pandoc.Plain(foot) }
  if links then
    content:insert(pandoc.Plain(common.around(pandoc.Str('Changes from '), joined(links), pandoc.Str(': + added, − removed, ± changed.'))))
  end
  return pandoc.Div(content, pandoc.Attr(c.id, { 'chunk' }, pandoc.List({ { 'title', c.title }, { 'number', c.number },
    { 'files', table.concat(files, ' ') }, { 'prev', (c.pieces[c.index - 1] or {}).id or '' },
    { 'next', (c.pieces[c.index + 1] or {}).id or '' }, { 'anchors', table.concat(anchors, ' ') } }) .. attributes))
end

-- References and marks in the text --------------------------------------------------

local KINDS = { ch = 'Chapter', sec = 'Section', fig = 'Figure', tbl = 'Table', eq = 'Equation' }

local function reference(chapter, citation, id, line)
  local kind, l = id:match('^(%a+):'), labels[id]
  if not KINDS[kind] or not l then
    book.complain(chapter, line, ('nothing is called @%s; the nearest ids are %s'):format(id,
      KINDS[kind] and near(id, all_labels) or 'those that start with ch:, sec:, fig:, tbl: or eq:'))
    return pandoc.Str('?')
  end
  local what = kind == 'ch' and (l.number or ''):match('^%a') and 'Appendix' or KINDS[kind]
  local text = not l.number and (l.title or what) or citation.mode == 'SuppressAuthor' and l.number
    or what .. '\u{a0}' .. l.number
  if l.page ~= chapter.page then chapter.previews[id] = l end
  return link(text, l.page .. '#' .. l.anchor, 'reference')
end

local function cite(chapter, c)
  local ours, citations, theirs = {}, c.citations, nil
  for _, citation in ipairs(citations) do
    local id, line = citation.id:match('^(.-)ː(%d+)$')
    id, line = id or citation.id, tonumber(line)
    if id:match('^%a+:') then ours[#ours + 1] = reference(chapter, citation, id, line)
    else
      theirs = line
      citation.id = id
      if not works[id] then
        book.complain(chapter, line, ('book/references.bib has no entry %s; the nearest are %s'):format(id,
          near(id, sorted(works))))
      end
      if not chapter.cited[id] then table.insert(chapter.cited, id) end
      chapter.cited[id] = true
    end
  end
  if #ours == 0 then return pandoc.Cite(c.content, citations) end
  if theirs then book.complain(chapter, theirs, 'keep references to the book and citations in brackets of their own') end
  return joined(ours)
end

-- The text of marks where only text can stand.
local function plain_marks(chapter, text, where)
  return unlined(text:gsub(common.MARK, function(kind, encoded)
    local what = decode(encoded)
    if kind == 'q' then return what end
    if kind == 'p' then
      local shown = value(chapter, what)
      return where == 'a formula' and shown:gsub('%%', '\\%%'):gsub(',', '{,}') or shown
    end
    if kind == 'v' then
      local _, name, _, line = what:match('^(.-)\t(.-)\t(.-)\t(%d+)$')
      book.complain(chapter, tonumber(line), ('write {{=%s…}}, text alone, for a value in %s'):format(name, where))
    end
    return ''
  end))
end

local function marks(chapter, place, text)
  if not text:find(common.OPEN, 1, true) then return text:find('ː', 1, true) and pandoc.Str(unlined(text)) or nil end
  local out, at = pandoc.List(), 1
  while true do
    local first, last, kind, encoded = text:find(common.MARK, at)
    local before = text:sub(at, (first or 0) - 1)
    if before ~= '' then out:insert(pandoc.Str(unlined(before))) end
    if not first then return out end
    local what = decode(encoded)
    if kind == 'q' then
      local names = {}
      for name in what:gmatch('[%a_][%w_]*') do
        local def = definition(place, name, true)
        if def then names[#names + 1] = name .. '=' .. def.target end
      end
      out:insert(pandoc.Code(what, pandoc.Attr('', { 'quoted' }, { { 'names', table.concat(names, ' ') } })))
    elseif kind == 'u' then
      local title, line = what:match('^(.-)\t(%d+)$')
      local pieces = chapter.pieces[title]
      if pieces then out:insert(link('⟨' .. title .. '⟩', chapter.page .. '#' .. pieces[1].id, 'chunk-name'))
      else book.complain(chapter, tonumber(line), ('[[<<%s>>]]: there is no such chunk in this chapter'):format(title)) end
    elseif kind == 'v' then
      local shown, run, name, format = value(chapter, what)
      out:insert(pandoc.Span({ pandoc.Str(shown) }, pandoc.Attr('', { 'value' },
        { { 'run', run }, { 'name', name }, { 'format', format } })))
    else
      out:insert(pandoc.Str(plain_marks(chapter, text:sub(first, last))))
    end
    at = last + 1
  end
end

-- Inlines first, captions and headings too; then blocks, in the order of the text.
local function resolve(chapter, place)
  chapter.cards, chapter.cited, chapter.previews, chapter.terms = pandoc.List(), {}, {}, {}
  local function plainly(where)
    return function(x)
      local text = plain_marks(chapter, x.text, where)
      if text == x.text then return nil end
      x.text = text
      return x
    end
  end
  local inlines = {
    Str = function(s) return marks(chapter, place, s.text) end,
    Cite = function(c) return cite(chapter, c) end,
    Math = plainly('a formula'), Code = plainly('code'),
    Image = function(i)
      book.complain(chapter, chapter.lines['(' .. i.src], 'a figure stands alone in its paragraph')
    end,
  }
  local section, head = chapter.number or chapter.title, nil      -- where the walk is
  local means = {}                                     -- of symbols in a table's first column
  local function term(span)
    if not span.classes:includes('term') then return nil end
    local text, line, said = str(span.content), tonumber(span.attributes.line), span.attributes.means
    local id = 'term-' .. book.slug(text)
    if chapter.terms[id] then
      book.complain(chapter, line, ('the term %q is defined here twice; mark the first place only'):format(text))
    end
    chapter.terms[id] = true
    table.insert(chapter.terms, { text = text, symbol = #span.content == 1 and span.content[1].t == 'Math' and span.content[1],
      place = link(section, chapter.page .. '#' .. id, 'definition'),
      means = said and pandoc.utils.blocks_to_inlines(pandoc.read(said).blocks) or means[text] })
    return pandoc.Span(span.content, pandoc.Attr(id, { 'term' }))
  end
  chapter.heading = walk({ pandoc.Plain(chapter.heading) }, inlines)[1].content
  chapter.blocks = walk(chapter.blocks, inlines):walk {
    traverse = 'topdown',
    Header = function(h)
      section = h.attributes.number or not chapter.number and str(h.content) or section
      if h.level == 2 then head = { number = h.attributes.number, title = str(h.content), anchor = h.identifier } end
    end,
    Table = function(t)
      for _, row in ipairs(pandoc.utils.to_simple_table(t).rows) do
        walk(row[1], { Span = function(span)
          if row[2] then means[str(span.content)] = pandoc.utils.blocks_to_inlines(row[2]) end
        end })
      end
    end,
    Span = term,
    CodeBlock = function(c) return c.classes:includes('run') and transcript(chapter, c) or plainly('code')(c) end,
    Div = function(d)
      local class, a = d.classes[1], d.attributes
      if class == 'chunk' then return chunk_div(chapter, place, chapter.chunks[tonumber(a.place)]), false
      elseif class == 'lesson' then
        local id, line = a.place:match('^(.-)\t(.*)$')
        return lesson(chapter, id, tonumber(line), head), false
      elseif class == 'figure' and a.alt then
        d.attributes.alt = plain_marks(chapter, a.alt, 'alt="…"')
        return d
      end
    end,
  }
end

-- A lesson to be done: its claim, and a place for how the reader stands, which the page fills.
local function asked(card)
  return pandoc.List { link(card.id .. ' ' .. card.title, card.page .. '#lesson-' .. card.id, 'asked'), pandoc.Space(),
    pandoc.Span({}, pandoc.Attr('', { 'state' }, { { 'of', card.id } })) }
end

-- A chapter ends with its lessons, behind what can now be predicted.
local function end_with_lessons(chapter)
  local at
  for i, b in ipairs(chapter.blocks) do
    if b.t == 'Header' and b.level == 2 and b.identifier:match('%-end$') then at = i end
  end
  if not at or #chapter.cards == 0 then return end
  repeat at = at + 1
  until not chapter.blocks[at] or chapter.blocks[at].t == 'Header' or chapter.blocks[at].classes and chapter.blocks[at].classes[1] == 'back'
  chapter.blocks:insert(at, div({ pandoc.Para { pandoc.Str('The lessons that say whether you can:') },
    pandoc.BulletList(chapter.cards:map(function(card) return { pandoc.Plain(asked(card)) } end)) }, 'ends'))
end

-- Where the answers, the list of works and the back belong.
local function furnish(chapter)
  local blocks, at, headed = chapter.blocks, nil, false
  local function back(b) return b and b.t == 'Div' and b.classes[1] == 'back' end
  for i, b in ipairs(blocks) do
    if b.t == 'Header' and b.level == 2 and str(b.content):match('Further reading$') then at, headed = i, true end
    if back(b) then
      local lines, files, seen = 0, {}, {}
      pandoc.Pandoc(b.content).blocks:walk { Div = function(d)
        if d.classes[1] ~= 'chunk' then return end
        lines = lines + select(2, d.content[1].text:gsub('\n', '')) + 1
        for path in d.attributes.files:gmatch('([^%s=]+)=') do
          if not seen[path] then files[#files + 1] = path end
          seen[path] = true
        end
      end }
      b.attributes.files = table.concat(files, ' ')
      b.attributes.title = b.attributes.title .. (lines > 0 and (', %d line%s'):format(lines, lines > 1 and 's' or '') or '')
      blocks[i] = b
      at = at or i
      chapter.has_back = true
    end
  end
  at = at or #blocks + 1
  local placed = false
  blocks:walk { Div = function(d) placed = placed or d.identifier == 'refs' end }
  if #chapter.cited > 0 and not placed then
    local to = at
    if headed then
      repeat to = to + 1
      until not blocks[to] or back(blocks[to]) or blocks[to].t == 'Header' and blocks[to].level == 2
    else
      blocks:insert(to, pandoc.Header(2, { pandoc.Str('Further reading') },
        pandoc.Attr('further-reading-' .. chapter.name, { 'works' })))
      to = to + 1
    end
    blocks:insert(to, pandoc.Div({}, pandoc.Attr('refs')))
  end
  if chapter.has_lessons then blocks:insert(at, pandoc.Div({}, pandoc.Attr('answers', { 'answers' }))) end
end

-- The back of the book -----------------------------------------------------------------

local function heading(level, text, id) return pandoc.Header(level, { pandoc.Str(text) }, pandoc.Attr(id or '')) end
local function markdown(text) return pandoc.utils.blocks_to_inlines(pandoc.read(text).blocks) end

local function new_page(name, title, intro, ...)
  return { name = name, page = name .. '.html', title = title, heading = pandoc.List { pandoc.Str(title) },
    blocks = pandoc.List { pandoc.Para(markdown(intro)), ... } }
end

-- entries: key -> { head, defined = links, used = links }
local function index(entries)
  local items = {}
  for i, key in ipairs(sorted(entries)) do
    local e = entries[key]
    local line = pandoc.List { e.head }
    for _, part in ipairs { { 'defined', e.defined }, { 'used', e.used } } do
      if #part[2] > 0 then
        line:extend { pandoc.Space(), pandoc.Span({ pandoc.Str(part[1]) }, pandoc.Attr('', { 'what' })) }
        for j, l in ipairs(part[2]) do line:extend { j > 1 and pandoc.Str(',') or pandoc.Str(''), pandoc.Space(), l } end
      end
    end
    items[i] = { pandoc.Plain(line) }
  end
  return div({ pandoc.BulletList(items) }, 'index')
end

local function back_pages()
  local names, titles, terms, symbols, letters, cited, keys = {}, {}, {}, {}, 0, {}, {}
  local function add(list, key, head, defined, used)
    list[key] = list[key] or { head = head, defined = {}, used = {} }
    table.insert(list[key].defined, defined)
    for _, l in ipairs(used or {}) do table.insert(list[key].used, l) end
  end
  for _, c in ipairs(book.chapters) do
    for _, name in ipairs(sorted(c.defs)) do
      local def = c.defs[name]
      add(names, name, pandoc.Code(name, pandoc.Attr(name, { 'identifier' })),
        link(def.chunk.number, def.target, 'definition'), def.users)
    end
    for _, chunk in ipairs(c.chunks) do
      local used = pandoc.List({ table.unpack(chunk.index == 1 and chunk.users or {}) }):map(function(user)
        return link(user.number, c.page .. '#' .. user.id)
      end)
      add(titles, chunk.title .. ' ' .. c.name, pandoc.Span({ pandoc.Str('⟨' .. chunk.title .. '⟩') },
        pandoc.Attr('', { 'chunk-title' })), link(chunk.number, c.page .. '#' .. chunk.id, 'definition'), used)
    end
    for _, t in ipairs(c.terms) do
      if not t.symbol then add(terms, t.text:lower(), pandoc.Str(t.text), t.place)
      else
        local head = pandoc.List { t.symbol }
        if t.means then head:insert(pandoc.Space()) head:extend(t.means) end
        letters = letters + 1
        add(symbols, ('%06d'):format(letters), pandoc.Span(head), t.place)
      end
    end
    for _, key in ipairs(c.cited) do
      if not cited[key] then keys[#keys + 1] = '@' .. key end
      cited[key] = cited[key] or {}
      table.insert(cited[key], link(c.number or c.title, c.page .. '#', 'citing'))
    end
  end
  local who = pandoc.List()          -- who cites which work, for its entry
  for _, key in ipairs(sorted(cited)) do who:insert(pandoc.Div({ pandoc.Plain(joined(cited[key], ',')) }, pandoc.Attr('citing-' .. key))) end
  local works_page = new_page('bibliography', 'Bibliography', 'The works that the book cites, and the chapters that do.')
  if #keys > 0 then
    works_page.blocks:extend { div({ pandoc.Para(markdown('[' .. table.concat(keys, '; ') .. ']')), pandoc.Div(who) }, 'cited'),
      pandoc.Div({}, pandoc.Attr('refs')) }
  end
  return { works_page,
    new_page('chunks', 'Index of chunks', 'Every chunk of code, by its title: where it is defined and continued, '
      .. 'and the chunks that use it. A title that is a file name is a file under `tangled/`.', index(titles)),
    new_page('identifiers', 'Index of identifiers', 'Every name that a chapter defines for its readers: '
      .. 'the chunk that defines it, and the chunks that use it.', index(names)),
    new_page('terms', 'Index of terms and notation', 'Where each term is defined, and what each letter means, '
      .. 'by the section that says it.', heading(2, 'Notation', 'notation'), index(symbols),
      heading(2, 'Terms', 'terms'), index(terms)),
    book.suites.page(new_page, heading) }
end

-- The path --------------------------------------------------------------------------------

-- The lessons of a path as steps, { { card, … }, … }, in their order; those of path 0, which are of none, by chapter.
local function steps_of(number)
  local cards, steps = {}, pandoc.List()
  for place, chapter in ipairs(book.chapters) do
    for _, card in ipairs(chapter.cards) do
      local phase, step = card.paths:match('%f[%d]' .. number .. '%.(%d+)%.(%d+)')
      if number == 0 and card.paths == '' then phase, step = 0, place end
      if phase then cards[#cards + 1] = { 1000 * phase + step, #cards, card } end
    end
  end
  table.sort(cards, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
  for i, c in ipairs(cards) do
    if i == 1 or cards[i - 1][1] ~= c[1] then steps:insert(pandoc.List()) end
    steps[#steps]:insert(c[3])
  end
  return steps
end

-- A lesson of a path: how long it takes, and what of that is reading.
local function planned(card)
  local about = pandoc.List { pandoc.Str(several(card.minutes, 'minute')) }
  local s = card.section
  if s and s.number and card.read > 0 then
    about:extend { pandoc.Str((', %d of them to read'):format(card.read)), pandoc.Space(),
      link('Section\u{a0}' .. s.number, card.page .. '#' .. s.anchor, 'reference'), pandoc.Str(','), pandoc.Space(),
      pandoc.Emph { pandoc.Str(s.title) }, pandoc.Str(','), pandoc.Space(), pandoc.Str('first') }
  end
  about:insert(pandoc.Str('.'))
  local lines = asked(card)
  local state = lines:remove()
  lines[#lines] = pandoc.LineBreak()
  lines:extend(about)
  lines:extend { pandoc.Space(), state }
  return div({ pandoc.Para(lines) }, 'planned')
end

local function path_page()
  local laid_out
  for _, chapter in ipairs(book.chapters) do
    for _, chunk in ipairs(chapter.chunks) do laid_out = laid_out or chunk.code:match('PATH_STEPS = (%d+)') end
  end
  local page = new_page('path', 'The path', 'Each lesson of this book asks one question, and takes some minutes. Two paths '
    .. 'lead through them. A step is a day’s work. What you have done comes back: the next day if you were wrong, after a week '
    .. 'if you were right, and never two of one chapter in a row. Days begin at midnight, UTC.',
    heading(2, 'Today', 'today'), div({ pandoc.Para(markdown('In a terminal, `make today` says what comes next, and how you '
      .. 'stand; `make today ARGS="--path 2"` does so for the other path.')) }, 'today'))
  local function add(title, id, text, steps)
    if #steps == 0 then return end
    page.blocks:extend { heading(2, title, id), pandoc.Para(markdown(text)) }
    local items = steps:map(function(cards) return cards:map(planned) end)
    if id:match('%d$') then page.blocks:insert(pandoc.OrderedList(items)) return end
    for i, item in ipairs(items) do
      local chapter = steps[i][1].chapter
      page.blocks:extend { heading(3, chapter.number .. ' ' .. chapter.title, 'beside-' .. chapter.name), pandoc.BulletList(item:map(function(lesson) return { lesson } end)) }
    end
  end
  for number, what in ipairs { { 'Path 1: what a router wastes and drops', 'It opens the router piece by piece, until you can '
    .. 'predict how a capacity factor of 1.0 or 1.25 changes the slots that stay empty and the tokens that are dropped.' },
    { 'Path 2: where a token goes', 'It follows one token through a sparse layer, until you can predict which inputs land on which expert.' } } do
    local steps = steps_of(number)
    local missing = (tonumber(laid_out) or #steps) - #steps
    add(what[1], 'path-' .. number, what[2] .. (' It has %s%s: at one a day, %s.'):format(several(#steps, 'step'), missing > 0 and ' so far' or '', several(#steps, 'day'))
      .. (missing > 0 and (' It is laid out in %s; the other %d belong to chapters that are still to be written.'):format(laid_out, missing) or ''), steps)
  end
  add('Beside the paths', 'beside-the-paths', 'These belong to no path. They come back like the others.', steps_of(0))
  page.chunks, page.cards, page.previews = {}, {}, {}      -- it counts as a chapter: in the contents, in the search
  return page
end

-- Pages ----------------------------------------------------------------------------------

local function label_of(c)
  return c.number and (c.number:match('^%a') and 'Appendix ' or 'Chapter ') .. c.number or nil
end

-- An entry of the contents: a number, a title, a page.
local function entry(number, title, target, current)
  return pandoc.Plain { pandoc.Link(number and common.numbered(number, title) or title, target, '',
    pandoc.Attr('', {}, current and { { 'aria-current', 'page' } } or {})) }
end

local function contents(pages, here)
  local items = {}
  for i, p in ipairs(pages) do
    local item = pandoc.List { entry(p.number, { pandoc.Str(p.title) }, p.page .. '#', p == here) }
    local sections = {}
    for _, b in ipairs(p == here and p.chunks and p.blocks or {}) do
      if b.t == 'Header' and b.level == 2 then
        local title = pandoc.Pandoc({ pandoc.Plain(b.content) }).blocks:walk {
          Link = function(l) return l.content end, Span = function(s) return s.content end }
        table.insert(sections, { entry(b.attributes.number, title[1].content, p.page .. '#' .. b.identifier) })
      elseif b.t == 'Div' and b.classes[1] == 'back' then
        table.insert(sections, { entry(nil, { pandoc.Str(b.attributes.title) }, p.page .. '#' .. b.identifier) })
      end
    end
    if #sections > 0 then item:insert(pandoc.BulletList(sections)) end
    items[i] = item
  end
  return div({ pandoc.BulletList(items) }, 'chapters')
end

local function turn(p, rel)
  return p and pandoc.MetaInlines { pandoc.Link({ pandoc.Span { pandoc.Str(rel == 'prev' and 'Previous' or 'Next') }, pandoc.Space(),
    pandoc.Str((p.number and p.number .. ' · ' or '') .. p.title) }, p.page .. '#', '', pandoc.Attr('', {}, { { 'rel', rel } })) }
end

-- Equations, figures and tables of other pages that this one refers to, for their previews.
local function previews(chapter)
  local list = pandoc.List()
  for _, id in ipairs(sorted(chapter.previews)) do
    local l = chapter.previews[id]
    l.chapter.blocks:walk { Div = function(d)
      if d.identifier == l.anchor and d.identifier ~= '' and d.classes[1] ~= 'back' then
        list:insert(div({ d }, 'preview', { { 'of', l.page .. '#' .. l.anchor } }))
      end
    end }
  end
  if #list > 0 then chapter.blocks:insert(div(list, 'previews')) end
end

local function write_page(p, place, pages)
  local meta = { name = p.name, page = p.page, pagetitle = p.title, title = pandoc.MetaInlines(p.heading),
    contents = pandoc.MetaBlocks { contents(pages, p) }, number = p.number, label = label_of(p) }
  if p.page == 'index.html' then          -- with a list of the chapters, at its end or before its works
    local others = pages:filter(function(other) return other.chunks and other ~= p end)
    local at = #p.blocks + 1
    for i, b in ipairs(p.blocks) do if b.t == 'Header' and b.classes[1] == 'works' then at = i end end
    p.blocks:insert(at, div({ contents(others) }, 'contents'))
    meta.front = 'yes'
  end
  meta.back = p.has_back and 'yes' or nil
  if place then meta.previous, meta.next = turn(pages[place - 1], 'prev'), turn(pages[place + 1], 'next') end
  meta.pages = pages:map(function(other) return other.page end)          -- of the EPUB
  common.update('build/weave/' .. p.name .. '.json', pandoc.write(pandoc.Pandoc(p.blocks, meta), 'json'))
end

-- The search -------------------------------------------------------------------------------

local function json(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return ('\\u%04x'):format(c:byte()) end) .. '"'
end

local BLANK = { Math = function(m) return pandoc.Str((m.text:gsub('\\%a+', ' '):gsub('[{}]', ''))) end,
  Div = function(d) if d.classes[1] == 'chunk' or d.classes[1] == 'lesson' then return {} end end }
local function text_of(blocks)
  return (pandoc.write(pandoc.Pandoc(walk(blocks, BLANK)), 'plain'):gsub('%-%-%-+', ''):gsub('%s+', ' '))
end

local function search_records(chapter, records)
  local whole = (chapter.number and label_of(chapter) .. ' · ' or '') .. chapter.title
  local section
  local function add(anchor, title, where, text)
    records[#records + 1] = ('[%s,%s,%s,%s]'):format(json(chapter.page .. (anchor and '#' .. anchor or '')), json(title),
      json(where), json(text))
  end
  local function close()
    local defined = {}               -- where a term is defined, it counts like a title
    pandoc.Pandoc(section.blocks).blocks:walk { Span = function(s)
      if s.classes[1] == 'term' then defined[#defined + 1] = str(s.content) end
    end }
    add(section.anchor, section.title, section.where, text_of(section.blocks)
      .. (#defined > 0 and '\t' .. table.concat(defined, ' ') or ''))
  end
  local function each(blocks)
    for _, b in ipairs(blocks) do
      local class = b.t == 'Div' and b.classes[1]
      if b.t == 'Header' or class == 'back' then
        close()
        local title = class and b.attributes.title or (b.attributes.number and b.attributes.number .. ' ' or '')
          .. text_of { pandoc.Plain(b.content) }
        section = { anchor = b.identifier, where = whole, blocks = {}, title = title }
        if class then each(b.content) end
      elseif class ~= 'chunk' and class ~= 'lesson' then table.insert(section.blocks, b) end
    end
  end
  section = { title = chapter.title, where = label_of(chapter) or '', blocks = {} }
  each(chapter.blocks)
  close()
  for _, card in ipairs(chapter.cards) do
    add('lesson-' .. card.id, 'Lesson ' .. card.id .. ': ' .. card.title, whole, card.text)
  end
  for _, c in ipairs(chapter.chunks) do      -- of code, each word once
    local seen, list = {}, {}
    for word in c.code:gsub(common.MARK, ''):gmatch('[%a_][%w_]+') do
      if not seen[word] then list[#list + 1] = word end
      seen[word] = true
    end
    add(c.id, '⟨' .. c.title .. '⟩', 'code ' .. c.number .. ' · ' .. whole, table.concat(list, ' '))
  end
end

return function(read)
  book = read
  book.suites = dofile('book/suites.lua')(book, link, joined)
  for key in ('\n' .. (common.slurp('book/references.bib') or '')):gmatch('\n%s*@%a+%s*{%s*([^%s,]+)') do works[key] = true end
  read_quoted()
  for id, minutes in (common.slurp('build/weave/reading') or ''):gmatch('(%S+)\t(%d+)\n') do reading[id] = minutes end
  labels['sec:path'] = { page = 'path.html', anchor = '', title = 'The path', chapter = { source = 'book/resolve.lua', blocks = pandoc.Blocks {} } }
  all_labels[1] = 'sec:path'
  for _, chapter in ipairs(book.chapters) do
    for _, l in ipairs(chapter.labels) do
      if labels[l.id] then
        book.complain(chapter, l.line, ('{#%s} is defined in %s, too; ids are unique across the book: rename one')
          :format(l.id, labels[l.id].chapter.source))
      end
      labels[l.id] = l
      all_labels[#all_labels + 1] = l.id
    end
    define(chapter)
  end
  book.stop()
  book.suites.read()
  local pages, records = pandoc.List(), {}
  for place, chapter in ipairs(book.chapters) do
    resolve(chapter, place)
    end_with_lessons(chapter)
    furnish(chapter)
    pages:insert(chapter)
  end
  book.stop()
  pages:insert(math.min(2, #pages + 1), path_page())
  pages:extend(back_pages())
  for place, p in ipairs(pages) do
    if p.chunks then
      search_records(p, records)
      previews(p)
    end
    write_page(p, place, pages)
  end
  for _, p in ipairs(book.suites.pages(new_page)) do write_page(p, nil, pages) end
  common.update('build/weave/search.js', 'var wtgSearch=[' .. table.concat(records, ',\n') .. ']\n')
end
