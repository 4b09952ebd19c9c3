-- What the reader and the looks share: marks, files, near names, highlighted code.
local M = {}

-- A mark is a letter, then text with every odd byte as _XX, between two private-use
-- characters: it survives Markdown anywhere, in tables, formulas and attributes too.
M.OPEN, M.CLOSE = utf8.char(0xE000), utf8.char(0xE001)
M.MARK = M.OPEN .. '(%l)([%w_]*)' .. M.CLOSE

function M.mark(kind, text)
  return M.OPEN .. kind .. text:gsub('[^%w]', function(c) return ('_%02X'):format(c:byte()) end) .. M.CLOSE
end

function M.decode(text)
  return (text:gsub('_(%x%x)', function(h) return string.char(tonumber(h, 16)) end))
end

function M.slurp(path)
  local file = io.open(path, 'rb')
  local text = file and file:read('a')
  if file then file:close() end
  return text
end

-- Write a file only if its text changes, so that make sees no news.
function M.update(path, text)
  if M.slurp(path) == text then return end
  local file = assert(io.open(path .. '.tmp', 'wb'))
  file:write(text)
  file:close()
  assert(os.rename(path .. '.tmp', path))
end

-- A new list: its content, with something before it, and behind it.
function M.led(content, ...)
  local out = pandoc.List { ... }
  out:extend(content)
  return out
end
function M.around(first, content, last)
  local out = M.led(content, first)
  out:insert(last)
  return out
end

function M.numbered(number, content, class)
  return M.led(content, pandoc.Span({ pandoc.Str(number) }, pandoc.Attr('', { class or 'number' })), pandoc.Space())
end

-- A table, what leads(its caption) in place of that.
function M.captioned(t, leads)
  local caption = t.caption.long
  local first = caption[1]
  if first then
    first.content = leads(first.content)
    caption[1] = first
    t.caption.long = caption
  end
  return t
end

local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
    end
  end
  return row[#b]
end

-- Up to five of the names, nearest first, as words for a message.
function M.near(name, names)
  local list, out = {}, {}
  for _, n in ipairs(names) do
    list[#list + 1] = { n, distance(name, n) - (n:find(name, 1, true) and #n or 0) }
  end
  table.sort(list, function(a, b) return a[2] < b[2] or a[2] == b[2] and a[1] < b[1] end)
  for i = 1, math.min(5, #list) do out[i] = list[i][1] end
  return #out > 0 and table.concat(out, ', ') or 'none'
end

-- Code, highlighted by pandoc as 'html' or 'latex'. Its marks become what shown(kind, text,
-- target) returns; a word stands for each meanwhile.
function M.highlight(code, language, format, shown)
  local links = {}
  code = code:gsub(M.MARK, function(kind, text)
    links[#links + 1] = shown(kind, M.decode(text):match('^([^\t]*)\t?(.*)$'))
    return ('zz%dzz'):format(#links)
  end)
  local text = pandoc.write(pandoc.Pandoc({ pandoc.CodeBlock(code, pandoc.Attr('', { language })) }), format)
  if format == 'html' then
    text = text:match('<code[^>]*>(.*)</code>'):gsub('<a href="#cb[%d-]+"[^>]*></a>', '')
      :gsub('<span class="op">(.-)</span>', '%1')
    text = (text .. '\n'):gsub('(.-)\n', function(l) return (l:match('^<span id="cb[%d-]+">(.*)</span>$') or l) .. '\n' end)
      :sub(1, -2)
  end
  return (text:gsub('zz(%d+)zz', function(n) return links[tonumber(n)] end))
end

-- A name with what comes (a) and goes (x) in it: plain(text), and two formats.
function M.worded(text, plain, come, go)
  local out, at = {}, 1
  for first, kind, inner, after in text:gmatch('()' .. M.MARK .. '()') do
    out[#out + 1] = plain(text:sub(at, first - 1)) .. (kind == 'a' and come or go):format(plain(M.decode(inner)))
    at = after
  end
  return table.concat(out) .. plain(text:sub(at))
end

-- The lines of a diff, highlighted, in the order of reading: put(sign, lines), one line at a
-- time, but those together that are folded ('.').
function M.changes(signs, new, old, put)
  local come, go = (new .. '\n'):gmatch('(.-)\n'), (old .. '\n'):gmatch('(.-)\n')
  for run in signs:gsub('%.+', '\n%0\n'):gsub('[^.\n]', '\n%0'):gmatch('[^\n]+') do
    local lines = {}
    for sign in run:gmatch('.') do
      local old_line = sign ~= '+' and go()
      lines[#lines + 1] = sign == '-' and old_line or come()
    end
    put(run:sub(1, 1), lines)
  end
end

-- Code in prose, its names linked by link(target, text).
function M.quoted(c, plain, link)
  local targets = {}
  for name, target in (c.attributes.names or ''):gmatch('([^%s=]+)=(%S+)') do targets[name] = target end
  return (c.text:gsub('([^%a_]*)([%w_]*)', function(other, name)
    return plain(other) .. (targets[name] and link(targets[name], plain(name)) or plain(name))
  end))
end

-- The ids of all that a back holds.
function M.ids_within(div)
  local ids = { div.identifier }
  pandoc.Pandoc(div.content).blocks:walk { Header = function(h) ids[#ids + 1] = h.identifier end, Div = function(d)
    if d.identifier ~= '' then ids[#ids + 1] = d.identifier end
    for id in (d.attributes.anchors or ''):gmatch('%S+') do ids[#ids + 1] = id end
    for kind, text in (d.classes[1] == 'chunk' and d.content[1].text or ''):gmatch(M.MARK) do
      if kind == 'd' then ids[#ids + 1] = M.decode(text):match('\t(.*)$') end
    end
  end }
  return ids
end

-- An entry of the bibliography with who cites it.
function M.entry(doc)
  local who = {}
  doc.blocks:walk { Div = function(d)
    local key = d.identifier:match('^citing%-(.*)$')
    if key then who[key] = d.content[1].content end
  end }
  return function(d)
    local inlines = pandoc.utils.blocks_to_inlines(d.content)
    local cited = who[d.identifier:match('^ref%-(.*)$')]
    if cited then
      inlines:insert(pandoc.Str(' Cited in '))
      inlines:extend(cited)
      inlines:insert(pandoc.Str('.'))
    end
    return inlines
  end
end

return M
