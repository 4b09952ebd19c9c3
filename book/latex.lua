-- How a chapter looks in print: a document of book/read.lua as LaTeX for book/book.tex.

local common = dofile('book/common.lua')
local page, entry
local answers = pandoc.List()      -- of the chapter's lessons, for its end

local function tex(text)           -- text as LaTeX
  return (pandoc.write(pandoc.Pandoc({ pandoc.Plain({ pandoc.Str(text) }) }), 'latex'):gsub('%s+$', ''))
end
local function tex_code(text)      -- characters of a program, as LaTeX
  local special = { ['\\'] = '\\textbackslash{}', ['^'] = '\\^{}', ['~'] = '\\~{}', ['-'] = '{-}' }
  return (text:gsub('[\\{}_%%&#$^~ -]', function(c) return special[c] or '\\' .. c end))
end
local function raw(text) return pandoc.RawInline('latex', text) end
local function block(text) return pandoc.RawBlock('latex', text) end
local function around(open, content, close) return common.around(raw(open), content, raw(close)) end
local function framed(open, content, close) return common.around(block(open), content, block(close)) end

-- A label, free of what means something else in verbatim text.
local function label(target)
  local to, anchor = target:match('^([%w-]*%.?h?t?m?l?)#(.*)$')
  to = (to == '' and page or to):gsub('%.html$', '')
  return ((to .. '.' .. (anchor == '' and 'top' or anchor)):gsub('-', ':'):gsub('_', '..'))
end
local function anchor(id) return '\\anchor{' .. label('#' .. id) .. '}' end
local function ref(target, text) return ('\\hyperref[%s]{%s}'):format(label(target), text) end

-- Code -----------------------------------------------------------------------

local function words(text) return common.worded(text, tex_code, '\\added{%s}', '\\removed{%s}') end

local function code(text, language, labels)
  return common.highlight(text, language, 'latex', function(kind, name, target)
    if kind == 'u' then return ref('#' .. target, '\\chunkuse{' .. tex(name) .. '}') end
    if kind == 'i' then return ref(target, words(name)) end
    if kind ~= 'd' then return words(common.mark(kind, name)) end
    labels[#labels + 1] = anchor(target)
    return words(name)
  end)
end

local SIGNS = { ['='] = '\\stays{%s}', ['+'] = '\\sign{+}%s', ['-'] = '\\sign{−}%s', ['~'] = '\\sign{±}%s' }
local function diffed(a, new, old)
  local out = {}
  local first, inside, last = new:match('^(.-\n.-\n)(.-)(\n\\end{Highlighting}.*)$')
  common.changes(a.signs, inside, old:match('^.-\n.-\n(.-)\n\\end{Highlighting}'), function(sign, lines)
    local line = lines[1]
    if sign == '-' then line = line:gsub('^\\NormalTok{( +)', '%1\\NormalTok{'):gsub('^( *)(.*)$', '%1\\removed{%2}') end
    out[#out + 1] = SIGNS[sign] and SIGNS[sign]:format(line) or ('\\stays{\\textit{… %d lines as before}}'):format(#lines)
  end)
  return first .. table.concat(out, '\n') .. last
end

local function chunk(d)
  local a, labels, files = d.attributes, { anchor(d.identifier) }, {}
  for id in a.anchors:gmatch('%S+') do labels[#labels + 1] = anchor(id) end
  local language = a.files:match('%.[ch]=') and 'c' or 'default'
  local text = code(d.content[1].text, language, labels)
  if a.signs then text = diffed(a, text, code(a.before, language)) end
  for path in a.files:gmatch('([^%s=]+)=') do files[#files + 1] = '\\texttt{' .. tex_code(path) .. '}' end
  local _, lines = d.content[1].text:gsub('\n', '')
  local blocks = pandoc.List { block(('\\chunkhead{%d}{%s}{%s}{⟨%s⟩%s}{%s}'):format(math.min(lines + 4, 16), table.concat(labels),
    a.number, tex(a.title), a.prev == '' and '$\\equiv$' or '$+\\!\\equiv$', table.concat(files, ', '))) }
  if a.signs then blocks:insert(pandoc.Plain(around('\\chunkagainst{', d.content[3].content, '}'))) end
  local foot = d.content[2].content
  blocks:extend { block(text), #foot > 0 and pandoc.Plain(around('\\chunkfoot{', foot, '}')) or block('\\chunkend') }
  return blocks
end

local function quoted(c)
  return c.classes[1] == 'quoted' and raw('\\texttt{' .. common.quoted(c, tex_code, ref) .. '}') or nil
end

local function code_block(c)
  if c.classes[1] == 'run' or c.classes[1] == 'drawn' then return block('\\begin{Run}\n' .. c.text .. '\n\\end{Run}') end
end

-- Lessons: the question in its place, the answer at the end of the chapter ----------

local function lesson(d)
  local a = d.attributes
  local out = pandoc.List { block(('\\begin{lesson}{%s%s}{%s}{%s}'):format(anchor(d.identifier), a.number, tex(a.title), a.minutes)) }
  local hints, answer = pandoc.List(), nil
  for _, part in ipairs(d.content) do
    if part.classes[1] == 'hint' then hints:insert(part)
    elseif part.classes[1] == 'answer' then answer = part
    else out:extend(part.content) end
  end
  out:insert(block(('\\hint{In a terminal}{\\texttt{make predict LESSON=%s}}'):format(a.number)))
  for i, hint in ipairs(hints) do
    out:insert(pandoc.Plain(around(('\\hint{Hint%s}{'):format(#hints > 1 and ' ' .. i or ''), hint.content[1].content, '}')))
  end
  out:insert(block(('\\hint{Answer}{page~\\pageref{%s}}\\end{lesson}'):format(label('#' .. answer.identifier))))
  answers:insert(pandoc.Plain(around(('\\lessonanswer{%s%s}{%s}{'):format(anchor(answer.identifier),
    ref('#' .. d.identifier, a.number), tex(a.title)), answer.content[1].content, '}')))
  for i = 2, #answer.content do
    local b = answer.content[i]
    if b.t ~= 'DefinitionList' then answers:insert(b)
    else
      for _, item in ipairs(b.content) do
        answers:insert(pandoc.Plain(around('\\mistake{' .. tex(pandoc.utils.stringify(item[1])) .. '}{', item[2][1][1].content, '}')))
      end
    end
  end
  return out
end

-- Everything else ----------------------------------------------------------------

-- A table that is too wide for the page breaks its lines: columns of a few letters keep
-- their width, the others share what is left by what stands in them.
local LINE = 84                    -- letters of the width of a page
local function fit(t)
  local simple, longest, total = pandoc.utils.to_simple_table(t), {}, 0
  local function measure(cells)
    for i, cell in ipairs(cells) do
      local text = pandoc.utils.stringify(pandoc.Pandoc(cell).blocks:walk { Math = function(m)
        return pandoc.Str((m.text:gsub('\\[%a]+', 'x'):gsub('[{}_^%s\\]', '')))
      end })
      longest[i] = math.max(longest[i] or 1, utf8.len(text) or 1)
    end
  end
  measure(simple.headers)
  for _, row in ipairs(simple.rows) do measure(row) end
  for _, letters in ipairs(longest) do total = total + letters + 2 end
  if total <= LINE then return t end
  local left, wide, specs = LINE, 0, t.colspecs
  for _, letters in ipairs(longest) do
    if letters <= 12 then left = left - letters - 2 else wide = wide + letters end
  end
  for i, letters in ipairs(longest) do
    specs[i] = { specs[i][1], (letters <= 12 and letters + 2 or left * letters / wide) / LINE }
  end
  t.colspecs = specs
  return t
end

local function numbered_table(d)
  return common.captioned(d.content[1], function(caption)
    local name = pandoc.Strong { pandoc.Str('Table ' .. d.attributes.number .. '.') }
    return common.led(caption, raw(anchor(d.identifier)), name, pandoc.Space())
  end)
end

local function back(d)
  local ids, files = {}, {}
  for i, id in ipairs(common.ids_within(d)) do ids[i] = anchor(id) end
  for path in d.attributes.files:gmatch('%S+') do files[#files + 1] = '\\texttt{' .. tex_code(path) .. '}' end
  return block(('\\par\\addvspace{5pt}{\\raggedright\\noindent %s\\textbf{%s}: %s.\\par}'):format(table.concat(ids), tex(d.attributes.title), table.concat(files, ', ')))
end

local divs = {
  chunk = function(d) return chunk(d), false end,
  lesson = lesson, table = numbered_table, back = back,
  figure = function(d)
    local a = d.attributes
    return pandoc.Plain(around(('\\begin{figure}[htbp]\\centering%s\\fitgraphics{build/figures/%s.pdf}\\figurecaption{Figure %s}{')
      :format(anchor(d.identifier), a.file, a.number), d.content[1].content, '}\\end{figure}'))
  end,
  equation = function(d)
    return block(('\\begin{equation*}%s%s\\tag{%s}\\end{equation*}'):format(anchor(d.identifier),
      d.content[1].content[1].text, d.attributes.number))
  end,
  aside = function(d) return framed('\\begin{aside}', d.content, '\\end{aside}') end,
  answers = function()
    return #answers > 0 and framed('\\answers', answers, '\\par') or {}
  end,
  index = function(d)
    local out = pandoc.List()
    for _, item in ipairs(d.content[1].content) do out:insert(pandoc.Para(around('\\indexitem{}', item[1].content, ''))) end
    return framed('\\begin{bookindex}', out, '\\end{bookindex}')
  end,
  previews = function() return {} end, contents = function() return {} end, cited = function() return {} end,
  ['csl-entry'] = function(d)
    return pandoc.Para(common.led(entry(d), raw('\\reference{' .. label('bibliography.html#' .. d.identifier) .. '}')))
  end,
}

local function link(l)
  local to, target = l.target:match('^([%w-]*%.?h?t?m?l?)#(.*)$')
  if target and target:match('^ref%-') then return around('\\hyperref[' .. label('bibliography.html#' .. target) .. ']{', l.content, '}') end
  if not to then return nil end
  if to:match('^test%-') or to:match('^%a+%.html$') and to ~= 'index.html' and to ~= 'path.html' then return l.content end    -- in an index: no link back
  local out = around('\\hyperref[' .. label(l.target) .. ']{', l.content, '}')
  if l.classes[1] ~= 'reference' and (target:match('^chunk%-') or l.classes[1] == 'definition' or l.classes[1] == 'asked') then
    out:insert(raw('~{\\footnotesize(p.~\\pageref{' .. label(l.target) .. '})}'))
  end
  return out
end

local function chapter_head(meta)
  local number = meta.number and pandoc.utils.stringify(meta.number)
  local top = '}' .. anchor('')
  if number then
    local count, part = number:match('^(%d+)(%l*)$')
    return pandoc.Plain(around(('\\setcounter{chapter}{%d}%s\\chapter{'):format(count and count - 1 or number:byte() - 65,
      count and ('\\renewcommand\\thechapter{\\arabic{chapter}%s}\\renewcommand\\theHchapter{\\thechapter}'):format(part)
      or ''), meta.title, top))
  end
  local out = around('\\chapter*{', meta.title, top .. '\\addcontentsline{toc}{chapter}{')
  out:extend(around('', meta.title, '}\\markboth{'))
  out:extend(around('', meta.title, '}{'))
  out:extend(around('', meta.title, '}'))
  return pandoc.Plain(out)
end

function Pandoc(doc)
  page, entry = pandoc.utils.stringify(doc.meta.page), common.entry(doc)
  doc.blocks:insert(1, chapter_head(doc.meta))
  doc.blocks = doc.blocks:walk { CodeBlock = code_block }:walk {
    traverse = 'topdown',
    Header = function(h)
      if h.classes[1] == 'works' then return {} end
      if not h.attributes.number then h.classes = { 'unnumbered' } end
      h.identifier, h.attributes = label('#' .. h.identifier), {}
      return h
    end,
    Div = function(d)
      if d.identifier == 'refs' then return page == 'bibliography.html' and d.content:map(divs['csl-entry']) or {} end
      local f = divs[d.classes[1]]
      if f then return f(d) end
    end,
  }:walk { Table = fit }:walk { Code = quoted, Link = link, Span = function(s)
    if s.classes[1] == 'tolerance' then return around('(', s.content, ')') end
    if s.classes[1] ~= 'term' then return nil end
    local symbol = #s.content == 1 and s.content[1].t == 'Math'
    return around(anchor(s.identifier) .. (symbol and '{' or '\\emph{'), s.content, '}')
  end }
  return doc
end
