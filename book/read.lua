-- The one reading: every chapter of the environment's CHAPTERS, through noweb's markup and
-- pandoc's Markdown, becomes a document without a format, build/weave/NAME.json, with numbers,
-- references, values, lessons and indexes resolved (book/resolve.lua). With RUNS set it only
-- writes build/quoted/NAME.runs: the commands that a chapter quotes, each with its line.
--
-- In prose, what needs the rest of the book or a program's output is a mark until then:
--   v  value {{…}}    p  value as plain text {{=…}}    q  quoted code [[…]]
--   c  code chunk     l  lesson                        u  chunk named in prose [[<<…>>]]
-- In code, u is a use, i a name that links, d one where it is defined, and in a diff x what
-- is gone, a what has come.
-- The key of a citation or reference carries its line: @fig:massː34.

local common = dofile('book/common.lua')
local OPEN, CLOSE, mark, decode = common.OPEN, common.CLOSE, common.mark, common.decode
local FROM = 'markdown-implicit_figures-raw_tex-raw_html-raw_attribute-latex_macros-yaml_metadata_block-native_divs-native_spans'
if pcall(pandoc.read, '', FROM .. '-table_attributes') then FROM = FROM .. '-table_attributes' end

local book = { chapters = {}, problems = {} }
function book.complain(chapter, line, message)
  table.insert(book.problems, ('%s:%d: %s\n'):format(chapter.source, line or 1, message))
end
function book.stop()              -- all that is wrong, at once, in order
  if #book.problems == 0 then return end
  local function key(p) local file, line = p:match('^(.-):(%d+):') return ('%s %06d'):format(file, line) end
  table.sort(book.problems, function(a, b) return key(a) < key(b) end)
  for i, p in ipairs(book.problems) do if p ~= book.problems[i - 1] then io.stderr:write(p) end end
  os.exit(1)
end

-- noweb's lines ----------------------------------------------------------------

-- {{1:name ARGS|format}} or {{measured TABLE name|format}}: kind, run, name, format.
local function value_of(chapter, inner, line)
  local kind, rest = 'v', inner
  local number = chapter.program or '0'
  if rest:sub(1, 1) == '=' then kind, rest = 'p', rest:sub(2) end
  local other, after = rest:match('^(%d+):(.*)$')
  if other then number, rest = other, after end
  local what, format = rest:match('^(.-)|(.*)$')
  what, format = what or rest, format or ''
  local measurements, cell = what:match('^%s*measured%s+([%w-]+)%s+([%w_.-]+)%s*$')
  if measurements then return kind, 'book/measured figures/data/' .. measurements .. '.tsv', cell, format end
  local name, args = what:match('^%s*([%w_.%-]+)%s*(.-)%s*$')
  if not name or args:match('[^%w%s.,=_/+-]') then
    book.complain(chapter, line, ('{{%s}} names no value; write {{name}}, {{name|%%.2f}} or '
      .. '{{name --option 1|%%.2f}}'):format(inner))
  elseif not number:match('^[1-9]') then
    book.complain(chapter, line, ('{{%s}}: this file has no program of its own; say which '
      .. "chapter's, as in {{1:%s}}"):format(inner, name))
  else
    return kind, ('build/chapter%s --values'):format(number) .. (args ~= '' and ' ' .. args or ''), name, format
  end
end

local function command_of(chapter, text, line)
  local run = text:match('^%$ (.+)$')
  if not run then
    if text:match('%S') then
      book.complain(chapter, line, ('in a run block, %q is no command; write only `$ command` '
        .. 'lines, the output is filled in'):format(text))
    end
  elseif not run:match('^build/chapter%d+%f[%s\0]') and not run:match('%f[%w]build/predict%f[%s\0]')
    and not run:match('where%-tokens%-go/predictions%f[%s\0]') then
    book.complain(chapter, line, ('`%s` runs no program of the book; a run block starts with '
      .. '$ build/chapterN, or runs build/predict'):format(run))
    return nil
  end
  return run
end

local function no_diff(chapter)   -- no {{diff …}} waits for its chunk here
  if chapter.diff then
    book.complain(chapter, chapter.diff.line, ('{{diff %s}} stands right before a chunk: move it there'):format(chapter.diff.of))
  end
  chapter.diff = nil
end

-- A line of prose, with its marks. Fenced lines of a run block begin with their number.
local function prose_line(chapter, s, line)
  local fence, info = s:match('^%s*(```+)%s*(.-)%s*$')
  if not fence then fence, info = s:match('^%s*(~~~+)%s*(.-)%s*$') end
  local open = chapter.fence
  if fence and (not open or info == '' and fence:sub(1, #open.text) == open.text) then
    chapter.fence = not open and { text = fence, line = line, run = info:match('^run$') or info:match('^{%.run') } or nil
    return s
  elseif open then
    if not open.run then return s end
    local run = command_of(chapter, s, line)
    if run then table.insert(chapter.runs, { line = line, run = run }) end
    return line .. '\t' .. s
  end
  local lesson = s:match('^%s*{{lesson%s+([%w.]+)%s*}}%s*$')
  if lesson then
    table.insert(chapter.runs, { line = line, run = ('build/chapter%s --lessons'):format(lesson:match('^%w+')) })
    return mark('l', lesson .. '\t' .. line)
  end
  local of = s:match('^%s*{{diff%s+(.-)%s*}}%s*$')
  if of or s:find('%S') then no_diff(chapter) end
  if of then
    chapter.diff = { line = line, of = of:gsub(common.MARK, function(_, text) return decode(text):match('^[^\t]*') end) }
    return ''
  end
  s = s:gsub('{{(.-)}}', function(inner)
    if inner:match('^lesson%s') or inner:match('^diff%s') then
      book.complain(chapter, line, ('{{%s}} must stand alone on its line'):format(inner))
      return ''
    end
    local kind, run, name, format = value_of(chapter, inner, line)
    if not kind then return '' end
    table.insert(chapter.runs, { line = line, run = run, name = name })
    return mark(kind, table.concat({ run, name, format, line }, '\t'))
  end)
  if s:find('{{', 1, true) then
    book.complain(chapter, line, 'a value opens with {{ here and does not close; write {{name|format}} on one line')
  end
  for id in s:gmatch('{#([%w:_-]+)') do
    chapter.lines['{' .. id] = line
  end
  for file in s:gmatch('%]%(([%w-]+)%)') do chapter.lines['(' .. file] = line end
  return (s:gsub(']{%.term', ']{.term line=' .. line):gsub('()@(%a[%w:_-]*)', function(at, key)
    if s:sub(at - 1, at - 1):match('[%w@\\]') then return nil end
    local tail = key:match('[:_-]*$')
    return '@' .. key:sub(1, #key - #tail) .. 'ː' .. line .. tail
  end))
end

-- What noweb's markup says of all chapters: prose as Markdown, and chunks.
local function read_noweb(sources)
  local errors = 'build/weave/noweb.errors'
  local pipe = assert(io.popen('"$(sed -n "s/^LIB=//p" "$(command -v noweave)")/markup" ' .. sources .. ' 2>' .. errors))
  local chapter, chunk, line, quote, text
  for l in pipe:lines() do
    local word, rest = l:match('^@(%S+) ?(.*)$')
    if word == 'file' then
      local name = rest:match('([^/]+)%.nw$') or rest
      local number = name:match('^0*(%w+)-')
      number = number ~= '' and number ~= '0' and number or nil
      chapter = { source = rest, name = name, number = number, program = number and number:match('^%d+') or number, prose = {},
        page = name:match('^00%-') and 'index.html' or name .. '.html', chunks = {}, runs = {}, lines = {} }
      table.insert(book.chapters, chapter)
      line, chunk, text, quote = 1, nil, {}, nil
    elseif word == 'begin' and rest:match('^code') then
      chunk = { line = line, text = {}, defines = {}, uses = {}, diff = chapter.diff }
      chapter.diff = nil
      if chapter.fence then
        book.complain(chapter, chapter.fence.line, ('this block is still open at the code chunk in line %d: close it'):format(line))
        chapter.fence = nil
      end
    elseif word == 'end' then
      if chunk then
        table.insert(chapter.chunks, chunk)
        table.insert(chapter.prose, ('\n\n%s\n\n'):format(mark('c', tostring(#chapter.chunks))))
        chunk = nil
      elseif #text > 0 then
        table.insert(chapter.prose, prose_line(chapter, table.concat(text), line))
        text = {}
      end
    elseif word == 'nl' then
      if chunk then
        if chunk.open then table.insert(chunk.text, '\n') end
        chunk.open = true
      else
        local s = table.concat(text)
        table.insert(chapter.prose, prose_line(chapter, s, line) .. '\n')
        text = {}
      end
      line = line + 1
    elseif word == 'defn' then chunk.title = rest
    elseif word == 'use' then
      if quote then table.insert(text, mark('u', rest .. '\t' .. line))
      else
        table.insert(chunk.text, mark('u', rest))
        table.insert(chunk.uses, rest)
      end
    elseif word == 'text' then
      if not utf8.len(rest) then book.complain(chapter, line, 'is not UTF-8: save the chapter in that encoding') end
      table.insert(quote or chunk and chunk.text or text, rest)
    elseif word == 'quote' then quote = {}
    elseif word == 'endquote' then
      if #quote > 0 then table.insert(text, mark('q', table.concat(quote))) end
      quote = nil
    elseif word == 'index' and rest == 'nl' then line = line + 1
    elseif word == 'index' and chunk then table.insert(chunk.defines, rest:match('^defn (.*)$'))
    elseif word == 'fatal' then book.complain(chapter, line, 'noweb stopped: ' .. rest) end
  end
  pipe:close()
  for message in (common.slurp(errors) or ''):gmatch('[^\n]+') do
    table.insert(book.problems, (message:match('[^%s:]+:%d+: .*') or (sources .. ':1: ' .. message)) .. '\n')
  end
end

-- Chunks -----------------------------------------------------------------------

function book.slug(title)
  local s = title:lower():gsub('[^%w]+', '-'):gsub('^%-+', ''):gsub('%-+$', '')
  return s == '' and 'chunk' or s
end

-- Ids, numbers, pieces, users and files of the chunks.
local function settle(chapter)
  local pieces, taken = {}, {}
  for i, c in ipairs(chapter.chunks) do
    pieces[c.title] = pieces[c.title] or {}
    table.insert(pieces[c.title], c)
    c.code = table.concat(c.text):gsub('\n+$', '')
    c.place, c.pieces, c.index, c.users, c.files = i, pieces[c.title], #pieces[c.title], {}, {}
    c.number = (chapter.number and chapter.number .. '.' or '') .. i
    local id = 'chunk-' .. book.slug(c.title) .. (c.index > 1 and '-' .. c.index or '')
    c.id = id
    for letter in ('abcdefghijklmnopqrstuvwxyz'):gmatch('.') do      -- two titles with one slug
      if not taken[c.id] then break end
      c.id = id .. '-' .. letter
    end
    taken[c.id] = true
  end
  chapter.pieces = pieces
  for _, c in ipairs(chapter.chunks) do
    for _, title in ipairs(c.uses) do
      local first = pieces[title] and pieces[title][1]
      if not first then
        book.complain(chapter, c.line, ('chunk <<%s>> is used but nowhere defined'):format(title))
      elseif first.users[#first.users] ~= c then table.insert(first.users, c) end
    end
  end
  local function visit(title, file, seen)
    if seen[title] or not pieces[title] then return end
    seen[title] = true
    for _, c in ipairs(pieces[title]) do
      table.insert(c.files, file)
      for _, used in ipairs(c.uses) do visit(used, file, seen) end
    end
  end
  local roots = {}
  for title, list in pairs(pieces) do if #list[1].users == 0 then roots[#roots + 1] = title end end
  table.sort(roots)
  for _, title in ipairs(roots) do visit(title, title, {}) end
end

-- The document -------------------------------------------------------------------

local function only_mark(block)
  if (block.t == 'Para' or block.t == 'Plain') and #block.content == 1 and block.content[1].t == 'Str' then
    local kind, text = block.content[1].text:match('^' .. OPEN .. '(%l)([%w_]*)' .. CLOSE .. '$')
    return kind, kind and decode(text)
  end
end

local function space(inline) return inline and (inline.t == 'Space' or inline.t == 'SoftBreak') end

local function anchor(id) return (id:gsub(':', '-')) end

-- Number what is numbered, in the order of the text; chunks and lessons stay Divs to fill.
local function number_blocks(chapter, blocks)
  local counts, sections, in_back = { fig = 0, tbl = 0, eq = 0 }, {}, false
  chapter.labels = {}
  local function label(id, number, title)
    if id == '' then return end
    table.insert(chapter.labels, { id = id, anchor = id:match('^ch:') and '' or anchor(id), number = number, title = title,
      page = chapter.page, chapter = chapter, line = chapter.lines['{' .. id] })
  end
  local function attributes(id, class, kind)
    counts[kind] = counts[kind] + 1
    local number = (chapter.number and chapter.number .. '.' or '') .. counts[kind]
    label(id, number)
    return pandoc.Attr(anchor(id), { class }, { { 'number', number } })
  end
  local function header(h)
    local title = pandoc.utils.stringify(h.content)
    if h.level == 1 then
      if not h.identifier:match('^ch:') then
        book.complain(chapter, 1, 'the title needs an id: # Title {#ch:name}')
      elseif chapter.title then
        book.complain(chapter, 1, 'a chapter has one # title; use ## for sections')
      end
      chapter.title, chapter.heading = title, h.content
      label(h.identifier, chapter.number, title)
      return {}
    end
    if h.level == 2 then in_back = h.classes:includes('back') end
    local number
    if h.level < 4 and chapter.number and not in_back and not h.classes:includes('unnumbered') then
      local depth = h.level - 1
      sections[depth] = (sections[depth] or 0) + 1
      for deeper = depth + 1, 3 do sections[deeper] = 0 end
      number = chapter.number
      for i = 1, depth do number = number .. '.' .. (sections[i] or 0) end
    end
    label(h.identifier, number, title)
    h.identifier, h.attributes = anchor(h.identifier), { number = number }
    return h
  end
  local paragraph
  function paragraph(p)
    local kind, text = only_mark(p)
    if kind == 'c' then
      chapter.chunks[tonumber(text)].placed = true
      return pandoc.Div({}, pandoc.Attr('', { 'chunk' }, { { 'place', text } }))
    elseif kind == 'l' then
      return pandoc.Div({}, pandoc.Attr('', { 'lesson' }, { { 'place', text } }))
    elseif #p.content == 1 and p.content[1].t == 'Image' then
      local image = p.content[1]
      local id, alt, line = image.identifier, image.attributes.alt, chapter.lines['(' .. image.src]
      if not id:match('^fig:') then
        book.complain(chapter, line, ('the figure %s needs an id: {#fig:name alt="…"}'):format(image.src))
      end
      if not alt or alt == '' then
        book.complain(chapter, line, ('the figure %s needs alt="…": say what it shows'):format(image.src))
      end
      local scripts = { 'figures/' .. image.src .. '.gp', 'figures/' .. image.src .. '.dot' }
      if image.src:match('^%w+') ~= chapter.name:match('^%w+')
        or not common.slurp(scripts[1]) and not common.slurp(scripts[2]) then
        book.complain(chapter, line, ('there is no figure %s; a script %s or %s draws it, its name starts with %s-')
          :format(image.src, scripts[1], scripts[2], chapter.name:match('^%w+')))
      end
      local attr = attributes(id, 'figure', 'fig')
      attr.attributes.file, attr.attributes.alt = image.src, alt
      if image.classes:includes('live') then
        local name = image.src:match('^%w+%-(.*)$')
        if not ('\n' .. (common.slurp(scripts[1]) or '')):find('\n# data: build/live ' .. name .. '\n', 1, true) then
          book.complain(chapter, line, ('the figure %s is .live, so its script draws what moves: # data: build/live %s'):format(image.src, name))
        end
        attr.attributes.live = name
      end
      return pandoc.Div({ pandoc.Plain(image.caption) }, attr)
    end
    local content = p.content                  -- asked for once: each time it is made anew
    for i, inline in ipairs(content) do      -- numbered formulas
      local j = space(content[i + 1]) and i + 2 or i + 1
      local after = inline.t == 'Math' and inline.mathtype == 'DisplayMath' and content[j]
      local id, rest
      if after and after.t == 'Str' then id, rest = after.text:match('^{#(eq:[%w_-]+)}(.*)$') end
      if id then
        local head, tail = { table.unpack(content, 1, i - 1) }, pandoc.List { table.unpack(content, j + 1) }
        local blocks = pandoc.List(#head > 0 and { pandoc.Para(head) } or {})
        blocks:insert(pandoc.Div({ pandoc.Plain { inline } }, attributes(id, 'equation', 'eq')))
        if rest ~= '' then tail:insert(1, pandoc.Str(rest)) end
        while space(tail[1]) do tail:remove(1) end
        local more = #tail > 0 and paragraph(pandoc.Para(tail)) or {}
        return blocks .. (more.t and { more } or more)
      end
    end
    return p
  end
  local function table_block(t)
    local caption = t.caption.long
    local last = caption and caption[#caption]
    local id = t.attr.identifier
    local inlines = last and last.content
    local str = inlines and inlines[#inlines]
    local own = str and str.t == 'Str' and str.text:match('^{#(tbl:[%w_-]+)}$')
    if own then
      id = own
      repeat inlines:remove(#inlines) until not space(inlines[#inlines])
      last.content = inlines
      t.caption.long[#caption] = last
    end
    if id == '' then return t end
    t.attr = pandoc.Attr()
    return pandoc.Div({ t }, attributes(id, 'table', 'tbl'))
  end
  return blocks:walk { traverse = 'topdown', Header = header, Table = table_block, Para = function(p)
    return paragraph(p), false       -- what it makes is done
  end }
end

-- A section ## Title {.back} becomes a Div.
local function gather_backs(blocks)
  local out, box = pandoc.List(), nil
  for _, b in ipairs(blocks) do
    local head = b.t == 'Header' and b.level == 2
    if head then box = nil end
    if head and b.classes:includes('back') then
      box = pandoc.Div({}, pandoc.Attr(b.identifier, { 'back' }, { { 'title', pandoc.utils.stringify(b.content) } }))
      out:insert(box)
    else
      (box and box.content or out):insert(b)
    end
  end
  return out
end

local function read_chapter(chapter, opts)
  no_diff(chapter)
  settle(chapter)
  local doc = pandoc.read(table.concat(chapter.prose), FROM, opts)
  local ok, blocks = true, number_blocks(chapter, doc.blocks)
  if not chapter.title then book.complain(chapter, 1, 'there is no title: # Title {#ch:name}') end
  for _, c in ipairs(chapter.chunks) do
    if not c.placed then
      book.complain(chapter, c.line, ('chunk <<%s>> is on no page: what stands around it swallows it; '
        .. 'set it apart with an empty line, outside of lists and tables'):format(c.title))
    end
  end
  chapter.blocks = gather_backs(blocks)
end

function Reader(_, opts)
  read_noweb(os.getenv('CHAPTERS'))
  if os.getenv('RUNS') then
    for _, chapter in ipairs(book.chapters) do
      local lines = {}
      for _, r in ipairs(chapter.runs) do
        lines[#lines + 1] = ('%s:%d\t%s\t%s\n'):format(chapter.source, r.line, r.run, r.name or '*')
      end
      common.update('build/quoted/' .. chapter.name .. '.runs', table.concat(lines))
    end
    return pandoc.Pandoc({})
  end
  book.stop()
  opts.columns = 100000      -- long marks must not give tables widths
  for _, chapter in ipairs(book.chapters) do read_chapter(chapter, opts) end
  book.stop()
  dofile('book/resolve.lua')(book)
  book.stop()
  return pandoc.Pandoc({})
end
