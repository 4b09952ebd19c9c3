-- A pandoc reader for the output of noweb's pipeline (markup, finduses,
-- noidx): a chapter in, a numbered document out. What needs the rest of
-- the book or a program's output stays a mark that filter.lua resolves.
--
-- A mark is a letter, then its text with every odd byte as _XX, between
-- two private-use characters; so it survives Markdown anywhere, in tables,
-- formulas and attributes too:
--   v  value {{…}}    p  value as plain text {{=…}}    q  quoted code [[…]]
--   c  code chunk     l  lesson
-- and in a chunk's code:  i  identifier    u  chunk use

local common = dofile('book/common.lua')
local OPEN, CLOSE, mark, decode = common.OPEN, common.CLOSE, common.mark, common.decode
local FROM = 'markdown-implicit_figures-table_attributes'
local ok = pcall(pandoc.read, '', FROM)
if not ok then FROM = 'markdown-implicit_figures' end

local source = '?'      -- the chapter's path, for messages
local failed = false

local function complain(line, message)
  io.stderr:write(('%s:%d: %s\n'):format(source, line, message))
  failed = true
end

local function slug(title)
  local s = title:lower():gsub("[^%w]+", '-'):gsub('^%-+', ''):gsub('%-+$', '')
  return s == '' and 'chunk' or s
end

-- {{1:name ARGS|format}} or {{measured TABLE name|format}} as a mark: run, name and format, tab-separated.
local function value_mark(inner, number, line)
  local kind, rest = 'v', inner
  if rest:sub(1, 1) == '=' then kind, rest = 'p', rest:sub(2) end
  local other, after = rest:match('^(%d+):(.*)$')
  if other then number, rest = other, after end
  local what, format = rest:match('^(.-)|(.*)$')
  if not what then what, format = rest, '' end
  local function marked(run, name)
    return mark(kind, table.concat({ run, name, format, line }, '\t')), run
  end
  local measurements, cell = what:match('^%s*measured%s+([%w-]+)%s+([%w_.-]+)%s*$')
  if measurements then return marked('book/measured figures/data/' .. measurements .. '.tsv', cell) end
  local name, args = what:match('^%s*([%w_.%-]+)%s*(.-)%s*$')
  if not name then
    complain(line, ('{{%s}} names no value; write {{name}}, {{name|%%.2f}} or '
      .. '{{name --option 1|%%.2f}}'):format(inner))
    return ''
  end
  if not tostring(number):match('^[1-9]%d*$') then
    complain(line, ('{{%s}}: this file has no program of its own; say which '
      .. "chapter's, as in {{1:%s}}"):format(inner, name))
    return ''
  end
  local run = ('build/chapter%s --values'):format(number)
  if args ~= '' then run = run .. ' ' .. args end
  return marked(run, name)
end

-- Read noweb's lines: prose as Markdown with marks, and the chunks.
local function read_noweb(input)
  local line, chunks, prose, text = 1, {}, {}, {}
  local chunk, quote, fence, number = nil, nil, nil, nil
  local runs = {}
  local function flush()
    local s = table.concat(text)
    text = {}
    local f = s:match('^%s*(```+)') or s:match('^%s*(~~~+)')
    if f and (not fence or f:sub(1, #fence) == fence) then
      fence = not fence and f or nil
    elseif not fence then
      local id = s:match('^%s*{{lesson%s+([%w.]+)%s*}}%s*$')
      if id then
        s = mark('l', id .. '\t' .. line) .. '\n'
        runs[('build/chapter%s --lessons'):format(id:match('^%w+'))] = true
      else
        s = s:gsub('{{(.-)}}', function(inner)
          if inner:match('^lesson%s') then
            complain(line, ('{{%s}} must stand alone on its line'):format(inner))
            return ''
          end
          local m, run = value_mark(inner, number, line)
          if run then runs[run] = true end
          return m
        end)
        if s:find('{{', 1, true) then
          complain(line, 'a value opens with {{ here and does not close; write {{name|format}} on one line')
        end
      end
    end
    prose[#prose + 1] = s
  end
  for l in input:gmatch('[^\n]*') do
    local word, rest = l:match('^@(%S+) ?(.*)$')
    if not word then
      if l ~= '' then
        complain(line, 'this is not the output of noweb: ' .. l)
      end
    elseif word == 'fatal' then
      complain(line, 'noweb stopped: ' .. rest)
    elseif word == 'file' then
      source = rest
      local name = source:match('([^/]+)%.nw$') or source
      number = name:match('^0*(%d+)') or name:match('^%w+')
    elseif word == 'begin' then
      local kind = rest:match('^%a+')
      if kind == 'code' then
        chunk = { line = line, text = {}, defines = {}, used = {}, seen = {} }
      end
    elseif word == 'end' then
      if rest:match('^code') then
        chunk.code = chunk.text
        chunks[#chunks + 1] = chunk
        prose[#prose + 1] = '\n\n' .. mark('c', tostring(#chunks)) .. '\n\n'
        chunk = nil
      elseif #text > 0 then
        flush()
      end
    elseif word == 'nl' then
      if chunk then
        if chunk.open then chunk.text[#chunk.text + 1] = { 'text', '\n' } end
        chunk.open = true
      else
        text[#text + 1] = '\n'
        flush()
      end
      line = line + 1
    elseif word == 'defn' then
      chunk.title = rest
    elseif word == 'use' then
      chunk.text[#chunk.text + 1] = { 'use', rest }
    elseif word == 'text' then
      if quote then quote[#quote + 1] = rest
      elseif chunk then chunk.text[#chunk.text + 1] = { 'text', rest }
      else text[#text + 1] = rest end
    elseif word == 'quote' then
      quote = {}
    elseif word == 'endquote' then
      text[#text + 1] = mark('q', table.concat(quote))
      quote = nil
    elseif word == 'xref' and chunk then
      local what, label = rest:match('^(%S+) ?(.*)$')
      if what == 'label' and not chunk.title then chunk.label = label
      elseif what == 'notused' then chunk.root = true
      elseif what == 'prevdef' then chunk.prev = label
      elseif what == 'nextdef' then chunk.next = label
      elseif what == 'useitem' then chunk.used[#chunk.used + 1] = label end
    elseif word == 'index' then
      local what, name = rest:match('^(%S+) ?(.*)$')
      if what == 'nl' then line = line + 1
      elseif chunk and what == 'defn' then
        chunk.defines[#chunk.defines + 1] = name
      elseif chunk and what == 'use' then
        chunk.text[#chunk.text + 1] = { 'ident', name }
      end
    end
  end
  return table.concat(prose), chunks, runs
end

-- After finduses, an identifier is followed by its own text. Walk the C and
-- keep as marks those that are code: not comments, strings or members.
local function code_with_marks(chunk)
  local out, state, ident, before = {}, 'code', nil, ''
  local uses = {}
  for _, piece in ipairs(chunk.text) do
    local kind, s = piece[1], piece[2]
    if kind == 'use' then
      out[#out + 1] = mark('u', s)
      before = ''
    elseif kind == 'ident' then
      ident = s
    elseif ident then
      local tag = before:match('struct%s*$') or before:match('enum%s*$')
        or before:match('union%s*$')
      local member = before:match('%.%s*$') or before:match('->%s*$')
      if state == 'code' and not member then
        local use = tag and 'struct ' .. ident or ident
        out[#out + 1] = mark('i', use)
        uses[use] = true
      else
        out[#out + 1] = s
      end
      before, ident = before .. s, nil
    else
      out[#out + 1] = s
      local i = 1
      while i <= #s do
        local c, two = s:sub(i, i), s:sub(i, i + 1)
        if state == 'code' then
          if two == '/*' then state, i = 'block', i + 1
          elseif two == '//' then state, i = 'line', i + 1
          elseif c == '"' or c == "'" then state = c end
        elseif state == 'block' then
          if two == '*/' then state, i = 'code', i + 1 end
        elseif state == 'line' then
          if c == '\n' then state = 'code' end
        elseif c == '\\' then i = i + 1
        elseif c == state then state = 'code' end
        i = i + 1
      end
      before = (before .. s):sub(-40)
    end
  end
  return table.concat(out):gsub('\n+$', ''), uses
end

local function plain_code(chunk)
  local out = {}
  for _, piece in ipairs(chunk.text) do
    if piece[1] == 'text' then out[#out + 1] = piece[2] end
  end
  return table.concat(out)
end

-- Ids, numbers and roots of the chunks.
local function settle(chunks, number)
  local by_label, by_title, count = {}, {}, {}
  for i, c in ipairs(chunks) do
    by_label[c.label or ''] = c
    by_title[c.title] = by_title[c.title] or {}
    table.insert(by_title[c.title], c)
    count[c.title] = (count[c.title] or 0) + 1
    c.index = count[c.title]
    c.id = 'chunk-' .. slug(c.title)
    if c.index > 1 then c.id = c.id .. '-' .. c.index end
    c.number = number and (number .. '.' .. i) or tostring(i)
  end
  local taken = {}
  for _, c in ipairs(chunks) do     -- two titles with one slug
    local id, n = c.id, 1
    while taken[id] do
      n = n + 1
      id = c.id .. '-' .. string.char(96 + n)
    end
    c.id, taken[id] = id, true
  end
  local function roots(title, found, seen)
    if seen[title] then return end
    seen[title] = true
    local first = by_title[title][1]
    if first.root then found[title] = true end
    for _, label in ipairs(first.used) do
      if by_label[label] then roots(by_label[label].title, found, seen) end
    end
  end
  for _, c in ipairs(chunks) do
    local found = {}
    roots(c.title, found, {})
    c.files = {}
    for file in pairs(found) do c.files[#c.files + 1] = file end
    table.sort(c.files)
  end
  return by_label
end

-- The functions whose bodies begin in a chunk.
local function bodies_of(code)
  local names = {}
  for head, name in ('\n' .. code):gmatch('\n(%a[^;{}()=#\n]-)([%w_]+)%([^;{}]*%)%s*{') do
    if not head:match('^static') then names[#names + 1] = name end
  end
  return names
end

-- What %def named: a tag (struct, enum, union) links only after its keyword.
local function kinds_of(chunks)
  local kinds = {}
  for _, c in ipairs(chunks) do
    local code = plain_code(c)
    for _, name in ipairs(c.defines) do
      local tag = false
      for _, word in ipairs { 'struct', 'enum', 'union' } do
        tag = tag or code:find(word .. '%s+' .. name .. '%s*[{;]')
      end
      local callable = code:find('%f[%w_]' .. name .. '%s*%(')
      kinds[name] = kinds[name] or (tag and not callable and 'tag' or 'name')
    end
  end
  return kinds
end

local function link(text, target)
  return pandoc.Link({ pandoc.Str(text) }, target)
end

local function joined(items)
  local out = {}
  for i, item in ipairs(items) do
    if i > 1 then
      out[#out + 1] = pandoc.Str(i == #items and (#items > 2 and ', and' or ' and')
        or ',')
      out[#out + 1] = pandoc.Space()
    end
    out[#out + 1] = item
  end
  return out
end

local function chunk_div(c, by_label, tangled)
  local code, uses = code_with_marks(c)
  local foot = {}
  local function note(words, items)
    if #items == 0 then return end
    if #foot > 0 then foot[#foot + 1] = pandoc.Space() end
    foot[#foot + 1] = pandoc.Str(words)
    foot[#foot + 1] = pandoc.Space()
    for _, item in ipairs(joined(items)) do foot[#foot + 1] = item end
    foot[#foot + 1] = pandoc.Str('.')
  end
  local function to(label)
    local other = by_label[label]
    return other and { link(other.number, '#' .. other.id) } or {}
  end
  -- The first piece lists all others; those only say, in print, where the first is.
  if c.prev then
    local first = c
    while by_label[first.prev] do first = by_label[first.prev] end
    note('Continues', to(first.label))
    foot = { pandoc.Span(foot, pandoc.Attr('', { 'continues' })) }
  else
    local pieces, at = {}, by_label[c.next]
    while at do
      pieces[#pieces + 1] = link(at.number, '#' .. at.id)
      at = by_label[at.next]
    end
    if #pieces > 6 then pieces = { pieces[1], pieces[2], pieces[3], pandoc.Str('…'), pieces[#pieces] } end
    note('Continued in', pieces)
  end
  local seen, used, ids = {}, {}, {}
  for _, label in ipairs(c.used) do
    local other = by_label[label]
    if other and not seen[other.id] then
      seen[other.id] = true
      used[#used + 1] = link(other.number, '#' .. other.id)
      ids[#ids + 1] = other.id
    end
  end
  note('Used in', used)
  local defines, names = {}, {}
  for name in pairs(uses) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(c.defines) do
    defines[#defines + 1] = link(name, 'identifiers.html#' .. name)
    defines[#defines].classes = { 'identifier' }
  end
  note('Defines', defines)
  local blocks = { pandoc.CodeBlock(code) }
  if #foot > 0 then blocks[2] = pandoc.Plain(foot) end
  return pandoc.Div(blocks, pandoc.Attr(c.id, { 'chunk' }, {
    { 'title', c.title }, { 'number', c.number }, { 'index', tostring(c.index) },
    { 'files', table.concat(c.files, ' ') }, { 'folder', tangled },
    { 'used', table.concat(ids, ' ') },
    { 'prev', by_label[c.prev] and by_label[c.prev].id or '' },
    { 'next', by_label[c.next] and by_label[c.next].id or '' },
    { 'defines', table.concat(c.defines, ' ') },
    { 'bodies', table.concat(bodies_of(plain_code(c)), ' ') },
    { 'uses', table.concat(names, ',') } }))
end

local function only_mark(block)
  if (block.t == 'Para' or block.t == 'Plain') and #block.content == 1
    and block.content[1].t == 'Str' then
    local kind, text = block.content[1].text:match(
      '^' .. OPEN .. '(%l)([%w_]*)' .. CLOSE .. '$')
    if kind then return kind, decode(text) end
  end
end

-- Take {#kind:name} from the end of inlines.
local function take_id(inlines, kind)
  local last = inlines[#inlines]
  local id = last and last.t == 'Str' and last.text:match('^{#(' .. kind .. ':[%w_-]+)}$')
  if not id then return end
  inlines:remove(#inlines)
  while #inlines > 0 and (inlines[#inlines].t == 'Space'
    or inlines[#inlines].t == 'SoftBreak') do inlines:remove(#inlines) end
  return id
end

local function anchor(id) return (id:gsub(':', '-')) end

-- A section ## Title {.back} becomes a Div: what the page shows as one closed box.
local function backs(blocks)
  local out, box = {}, nil
  for _, b in ipairs(blocks) do
    if b.t == 'Header' and b.level <= 2 then
      box = b.level == 2 and b.classes:includes('back') and pandoc.Div({}, pandoc.Attr(b.identifier, { 'back' },
        { { 'label', b.attributes.label }, { 'title', pandoc.utils.stringify(b.content) } })) or nil
      if box then
        out[#out + 1] = box
        goto continue
      end
    end
    if box then box.content:insert(b) else out[#out + 1] = b end
    ::continue::
  end
  return out
end

function Reader(input, opts)
  local markdown, chunks, runs = read_noweb(tostring(input))
  local name = source:match('([^/]+)%.nw$') or source
  local number = name:match('^(%w+)-')
  number = number and (tonumber(number) and tostring(math.tointeger(tonumber(number)))
    or number)
  if number == '0' then number = nil end
  local by_label = settle(chunks, number)
  local kinds = kinds_of(chunks)
  opts.columns = 100000      -- long marks must not give tables widths
  local doc = pandoc.read(markdown, FROM, opts)

  local counts, sections = { fig = 0, tbl = 0, eq = 0 }, {}
  local title, back
  local function next_number(kind)
    counts[kind] = counts[kind] + 1
    return number and (number .. '.' .. counts[kind]) or tostring(counts[kind])
  end
  local function header(h)
    if h.level == 1 then
      if not h.identifier:match('^ch:') then
        complain(1, 'the title needs an id: # Title {#ch:name}')
      elseif title then
        complain(1, 'a chapter has one # title; use ## for sections')
      end
      title = h.content
      h.attributes.number = number
    else
      if h.level == 2 then back = h.classes:includes('back') end
      if h.level < 4 and number and not back and not h.classes:includes('unnumbered') then
        local depth = h.level - 1
        sections[depth] = (sections[depth] or 0) + 1
        for deeper = depth + 1, 3 do sections[deeper] = 0 end
        local n = { number }
        for i = 1, depth do n[#n + 1] = tostring(sections[i] or 0) end
        h.attributes.number = table.concat(n, '.')
      end
    end
    h.attributes.label = h.identifier
    h.identifier = anchor(h.identifier)
    return h
  end
  local function paragraph(p)
    local kind, text = only_mark(p)
    if kind == 'c' then
      return chunk_div(chunks[tonumber(text)], by_label, 'tangled/' .. name .. '/')
    elseif kind == 'l' then
      local id, line = text:match('^(.-)\t(.*)$')
      return pandoc.Div({}, pandoc.Attr('lesson-' .. id, { 'lesson' },
        { { 'lesson', id }, { 'line', line } }))
    end
    if #p.content == 1 and p.content[1].t == 'Image' then
      local image = p.content[1]
      local id = image.identifier
      image.identifier = ''
      return pandoc.Div({ pandoc.Plain { image } }, pandoc.Attr(anchor(id),
        { 'figure' }, { { 'label', id }, { 'number', next_number('fig') } }))
    end
    for i, inline in ipairs(p.content) do      -- numbered formulas
      if inline.t == 'Math' and inline.mathtype == 'DisplayMath' then
        local after, j = p.content[i + 1], i + 1
        if after and (after.t == 'Space' or after.t == 'SoftBreak') then
          j = i + 2
          after = p.content[j]
        end
        local id, rest
        if after and after.t == 'Str' then
          id, rest = after.text:match('^{#(eq:[%w_-]+)}(.*)$')
        end
        if id then
          local blocks, head, tail = {}, pandoc.List(), pandoc.List()
          for k = 1, i - 1 do head:insert(p.content[k]) end
          if rest ~= '' then tail:insert(pandoc.Str(rest)) end
          for k = j + 1, #p.content do tail:insert(p.content[k]) end
          while #tail > 0 and (tail[1].t == 'Space' or tail[1].t == 'SoftBreak') do
            tail:remove(1)
          end
          if #head > 0 then blocks[#blocks + 1] = pandoc.Para(head) end
          blocks[#blocks + 1] = pandoc.Div({ pandoc.Plain { inline } },
            pandoc.Attr(anchor(id), { 'equation' },
              { { 'label', id }, { 'number', next_number('eq') } }))
          if #tail > 0 then
            local more = paragraph(pandoc.Para(tail))
            for _, b in ipairs(more.t and { more } or more) do blocks[#blocks + 1] = b end
          end
          return blocks
        end
      end
    end
    return p
  end
  local function table_block(t)
    local caption = t.caption.long
    local last = caption and caption[#caption]
    local id = t.attr and t.attr.identifier ~= '' and t.attr.identifier
    if last and last.content then
      id = take_id(last.content, 'tbl') or id
      t.caption.long[#caption] = last
    end
    if not id then return t end
    t.attr = pandoc.Attr()
    return pandoc.Div({ t }, pandoc.Attr(anchor(id), { 'table' },
      { { 'label', id }, { 'number', next_number('tbl') } }))
  end

  -- Numbers follow the order of the text, so each block in turn.
  local function each(blocks)
    local out = {}
    for _, b in ipairs(blocks) do
      local new
      if b.t == 'Header' then new = header(b)
      elseif b.t == 'Para' then new = paragraph(b)
      elseif b.t == 'Table' then new = table_block(b)
      else
        if b.t == 'Div' or b.t == 'BlockQuote' then
          b.content = each(b.content)
        elseif b.t == 'BulletList' or b.t == 'OrderedList' then
          local items = {}
          for i, item in ipairs(b.content) do items[i] = each(item) end
          b.content = items
        elseif b.t == 'CodeBlock' and b.classes:includes('run') then
          for command in b.text:gmatch('[^\n]+') do
            local run = command:match('^%$ (.+)$')
            if run and not run:match('^build/chapter%d+%f[%s\0]')
              and not run:match('%f[%w]build/predict%f[%s\0]')
              and not run:match('where%-tokens%-go/predictions%f[%s\0]') then
              complain(common.line_of(source, command), ('`%s` runs no program of the '
                .. 'book; a run block starts with $ build/chapterN, or runs build/predict'):format(command))
            elseif run then runs[run] = true end
          end
        end
        new = b
      end
      for _, x in ipairs(new.t and { new } or new) do out[#out + 1] = x end
    end
    return out
  end
  -- Terms and symbols where they are defined: [capacity]{.term}.
  local terms = {}
  doc = doc:walk { Span = function(span)
    if not span.classes:includes('term') then return nil end
    local id = 'term-' .. slug(pandoc.utils.stringify(span.content))
    if terms[id] then
      complain(common.line_of(source, pandoc.utils.stringify(span.content) .. ']{.term'),
        ('the term %q is defined here twice; mark the first place only'):format(
        pandoc.utils.stringify(span.content)))
    end
    terms[id], span.identifier = true, id
    return span
  end }
  doc.blocks = pandoc.List(backs(each(doc.blocks)))
  if not title then complain(1, 'there is no title: # Title {#ch:name}') end
  if failed then os.exit(1) end

  local commands = {}
  for run in pairs(runs) do commands[#commands + 1] = run end
  table.sort(commands)
  doc.meta.name = name
  doc.meta.source = source
  doc.meta.number = number
  doc.meta.commands = pandoc.MetaBlocks({ pandoc.CodeBlock(table.concat(commands, '\n')) })
  doc.meta.tags = pandoc.MetaBlocks({ pandoc.CodeBlock((function()
    local tags = {}
    for n, kind in pairs(kinds) do if kind == 'tag' then tags[#tags + 1] = n end end
    table.sort(tags)
    return table.concat(tags, '\n')
  end)()) })
  doc.meta.pagetitle = pandoc.utils.stringify(title)
  return doc
end
