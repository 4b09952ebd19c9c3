-- How a page looks: a document of book/read.lua as HTML. Also for the EPUB (pandoc's format is
-- json then): the same, without folds, with answers at the chapter's end.

local common = dofile('book/common.lua')
local EPUB = FORMAT == 'json'
local page, files, entry, has_back, verifies, previewing
local answers = pandoc.List()      -- of the EPUB's lessons

local function html(text)
  return (text:gsub('[&<>"]', { ['&'] = '&amp;', ['<'] = '&lt;', ['>'] = '&gt;', ['"'] = '&quot;' }))
end
local function raw(text) return pandoc.RawInline('html', text) end
local function block(text) return pandoc.RawBlock('html', text) end
local function around(open, content, close) return common.around(raw(open), content, raw(close)) end
local function framed(open, content, close) return common.around(block(open), content, block(close)) end

-- page.html#anchor, as seen from here; in the EPUB a page is the file of its place.
local function href(target)
  local to, anchor = target:match('^([%w-]*%.?h?t?m?l?)#(.*)$')
  if not to then return target end
  if to == '' then to = page end
  if EPUB then return files[to] .. (anchor ~= '' and '#' .. anchor or '') end
  if to == page then return '#' .. (anchor == '' and 'top' or anchor) end
  return to .. (anchor ~= '' and '#' .. anchor or '')
end

-- Code -----------------------------------------------------------------------

local function words(text) return common.worded(text, html, '<ins>%s</ins>', '<del>%s</del>') end

local function highlighted(text, language)
  return (common.highlight(text, language, 'html', function(kind, name, target)
    if kind == 'u' then return ('<a class="chunk-use" href="#%s">⟨%s⟩</a>'):format(target, html(name)) end
    if kind == 'd' then return ('<span class="definition" id="%s">%s</span>'):format(target, words(name)) end
    if kind == 'i' then return ('<a href="%s">%s</a>'):format(href(target), words(name)) end
    return words(common.mark(kind, name))
  end):gsub('</ins>(%s*)<ins>', '%1'))
end

local SIGNS = { ['+'] = { '+', 'added', 'ins' }, ['-'] = { '−', 'removed', 'del' }, ['~'] = { '±', 'changed', 'span' } }

-- The lines of a diff. What is folded is there, to be copied and unfolded, and stands where the
-- link leads.
local function diffed(text, language, a)
  local out = {}
  common.changes(a.signs, highlighted(text, language), highlighted(a.before, language), function(sign, lines)
    local said, all = SIGNS[sign], table.concat(lines, '\n') .. '\n'
    if said then
      local indent = sign == '-' and all:match('^ *') or ''         -- not struck
      out[#out + 1] = ('<%s class="line"><span class="sign" role="img" aria-label="%s">%s %s</span>%s</%s>')
        :format(said[3], said[2], said[1], indent, all:sub(#indent + 1), said[3])
    elseif sign == '=' then out[#out + 1] = '<span class="same"><span class="sign">  </span>' .. all .. '</span>'
    else
      out[#out + 1] = ('<span class="as-before"><span class="sign">  </span><a href="%s">… %d lines as before</a>\n</span>'):format(href(a.of), #lines)
      if EPUB then for id in all:gmatch('%sid="([^"]*)"') do out[#out + 1] = '<span id="' .. id .. '"></span>' end
      else out[#out + 1] = '<span class="same" hidden>' .. all .. '</span>' end
    end
  end)
  return (table.concat(out):gsub('\n(</%a+>)$', '%1'))
end

local function pre(text)
  return '<pre class="sourceCode" tabindex="0"><code class="sourceCode">' .. text .. '</code></pre>'
end

local function chunk(d)
  local a, id, title = d.attributes, d.identifier, html(d.attributes.title)
  local paths, folds = {}, a.files ~= '' and not has_back and not EPUB
  for path, first in a.files:gmatch('([^%s=]+)=(%S+)') do
    folds = folds and (path:match('/lessons%d+%.c$') or path:match('/chapter%d+%.c$'))
    paths[#paths + 1] = first == id and path or ('<a href="#%s">%s</a>'):format(first, path)
  end
  local function chain(target, arrow, words)
    return target == '' and '' or (' <a class="chain" href="#%s" aria-label="%s ⟨%s⟩" title="%s">%s</a>')
      :format(target, words, title, words, arrow)
  end
  local anchors = (a.anchors:gsub('%S+', '<span id="%0"></span>'))
  local text, language = d.content[1].text, a.files:match('%.[ch]=') and 'c' or 'default'
  local code = pre(a.signs and diffed(text, language, a) or highlighted(text, language))
  if folds then           -- what runs the chapter and poses its lessons
    local _, more = text:gsub('\n', '')
    code = ('<details class="fold"><summary>%d line%s of code</summary>%s</details>'):format(more + 1, more > 0 and 's' or '', code)
  end
  local blocks = pandoc.List { block(('<div class="chunk-head"><a class="chunk-number" href="#%s">%s</a> <span class="chunk-title">'
    .. '⟨%s⟩&#8239;%s</span>%s%s <span class="chunk-file">%s</span>%s</div>'):format(id, a.number, title,
    a.prev == '' and '≡' or '+≡', chain(a.prev, '↑', 'Before this:'), chain(a.next, '↓', 'Continued:'),
    table.concat(paths, ', '), anchors)) }
  if a.signs then blocks:insert(pandoc.Div({ d.content[3] }, pandoc.Attr('', { 'chunk-against' }))) end
  blocks:insert(block(code))
  local foot = d.content[2].content:filter(function(i) return i.t ~= 'Span' end)   -- arrows say it
  while foot[1] and foot[1].t == 'Space' do foot:remove(1) end
  if #foot > 0 then blocks:insert(pandoc.Div({ pandoc.Plain(foot) }, pandoc.Attr('', { 'chunk-foot' }))) end
  return pandoc.Div(blocks, pandoc.Attr(id, a.prev ~= '' and { 'chunk', 'more' } or { 'chunk' },
    a.next ~= '' and { { 'data-next', a.next } } or {}))
end

local function quoted(c)
  return c.classes[1] == 'quoted' and raw('<code>' .. common.quoted(c, html, function(target, text)
    return ('<a href="%s">%s</a>'):format(href(target), text)
  end) .. '</code>') or nil
end

local function code_block(c)
  local class = c.classes[1]
  if class == 'chunk-code' then return nil
  elseif class == 'run' then
    local text = ('\n' .. html(c.text)):gsub('\n(%$ [^\n]*)', '\n<span class="command">%1</span>'):sub(2)
    return block('<pre class="run" tabindex="0"><code>' .. text .. '</code></pre>')
  elseif class == 'drawn' then return block('<pre tabindex="0"><code>' .. html(c.text) .. '</code></pre>')
  elseif class then return block((pre(highlighted(c.text, class)):gsub(' class="sourceCode"', '', 1))) end
  return block('<pre tabindex="0"><code class="sourceCode">' .. html(c.text) .. '</code></pre>')
end

-- Lessons --------------------------------------------------------------------

local function lesson(d)
  local a, id = d.attributes, d.identifier
  local title, hints, answer = html(a.title), pandoc.List(), nil
  local out = pandoc.List { block(('<section class="lesson" id="%s" aria-labelledby="%s-title" data-lesson="%s" data-kind="%s" '
    .. 'data-run="%s">\n<header><p class="lesson-label">Predict %s · %s minutes</p><h3 class="lesson-title" id="%s-title">%s</h3></header>')
    :format(id, id, a.number, a.kind, a.run, a.number, a.minutes, id, title)) }
  for _, part in ipairs(d.content) do
    if part.classes[1] == 'hint' then hints:insert(part)
    elseif part.classes[1] == 'answer' then answer = part
    else out:insert(part) end
  end
  local command = ('<code>make predict LESSON=%s</code>'):format(a.number)
  if EPUB then
    out:insert(block('<p class="unit">To verify in a terminal: ' .. command .. '</p>'))
    for i, hint in ipairs(hints) do
      hint.content[1].content:insert(1, raw(('<em>Hint %d.</em> '):format(i)))
      out:insert(hint)
    end
    out:insert(block(('<p class="hint"><a href="%s">Answer</a></p></section>'):format(href('#' .. answer.identifier))))
    answers:extend(framed(('<section id="%s"><h3><a href="%s">%s</a> %s</h3>'):format(answer.identifier, href('#' .. id),
      a.number, title), answer.content, '</section>'))
    return out
  end
  out:insert(block(('<div class="verify" data-lesson="%s"><p>Write your prediction down, or let the terminal take it '
    .. 'and verify: %s%s</p></div>'):format(a.number, command, verifies and '' or
    '. In a page it is verified where clang and wasi-libc are there when the book is woven: <code>./setup</code> installs them.')))
  for i, hint in ipairs(hints) do       -- each inside the one before: one by one
    out:insert(block(('<details class="hint"><summary>Hint%s</summary>'):format(#hints > 1 and (' %d of %d'):format(i, #hints) or '')))
    out:extend(hint.content)
  end
  out:insert(block(('</details>'):rep(#hints) .. '<details class="answer"><summary>Answer</summary>'))
  answer.content[1].content = around('<span class="result">', answer.content[1].content, '</span>')
  out:extend(answer.content)
  out:insert(block(('<p class="source">From <code>%s</code></p></details></section>'):format(html(a.run))))
  return out
end

-- Formulas -------------------------------------------------------------------

-- A formula as MathML. Fences that may stretch are set with wide gaps, so only those around
-- something tall do. MathML Core takes percentages, no bare factors, and of operators only. A
-- displayed one stands in a box that may scroll.
local function mathml(m)
  local text = pandoc.write(pandoc.Pandoc({ pandoc.Plain({ m }) }), 'html', { html_math_method = 'mathml' }):gsub('%s+$', '')
  local open, close = '<mo stretchy="true" form="prefix">', '<mo stretchy="true" form="postfix">'
  for at = #text, 1, -1 do
    local first, last = nil, nil
    if text:sub(at, at + #open - 1) == open then first, last = text:find(close, at, true) end
    if first then
      local inside = text:sub(at, first)
      local tall = inside:find('∑', 1, true)
      for _, what in ipairs { 'frac', 'table', 'under', 'over', 'sqrt' } do tall = tall or inside:find('<m' .. what) end
      local stretchy = tall and 'stretchy="true"' or 'stretchy="false"'
      text = text:sub(1, at - 1) .. '<mo ' .. stretchy .. ' form="prefix">' .. text:sub(at + #open, first - 1)
        .. '<mo ' .. stretchy .. ' form="postfix">' .. text:sub(last + 1)
    end
  end
  text = text:gsub('(<mi) minsize="[^"]*" maxsize="[^"]*"', '%1'):gsub('(m%a%asize)="([%d.]+)"', function(what, times) return ('%s="%g%%"'):format(what, 100 * times) end)
  return raw(m.mathtype == 'DisplayMath' and not EPUB and '<span class="formula">' .. text .. '</span>' or text)
end

-- No line ends between a formula and the bracket or the comma that touches it.
local function glue(inlines)
  local out = pandoc.List()
  for i, m in ipairs(inlines) do
    local before, after = out[#out], inlines[i + 1]
    local open = before and before.t == 'Str' and before.text:match('[(%[]$')
    local close = after and after.t == 'Str' and after.text:match('^[%p]+')
    if m.t == 'Math' and m.mathtype == 'InlineMath' and (open or close) then
      local whole = pandoc.List { m }
      if open then
        out[#out] = pandoc.Str(before.text:sub(1, -2))
        whole:insert(1, pandoc.Str(open))
      end
      if close then
        whole:insert(pandoc.Str(close))
        inlines[i + 1] = pandoc.Str(after.text:sub(#close + 1))
      end
      m = pandoc.Span(whole, pandoc.Attr('', { 'together' }))
    end
    out:insert(m)
  end
  return out
end

-- Figures and tables -----------------------------------------------------------

-- What a drawing has by default, or for nobody.
local function slim(text)
  text = text:gsub('%sstroke%-linecap="butt"', ''):gsub('%sstroke%-linejoin="miter"', '')
    :gsub('(<tspan) font%-family="[^"]*"%s*>', '%1>'):gsub('<tspan>([^<]*)</tspan>', '%1'):gsub('<g[^>]*>%s*<text>%s*</text>%s*</g>', ''):gsub('rgb%(%s*(%d+),%s*(%d+),%s*(%d+)%)', function(r, g, b)
      return ('#%02x%02x%02x'):format(r, g, b)
    end):gsub(" = '", "='"):gsub("%s+'/>", "'/>"):gsub('>%s+<', '><')
    :gsub("<polygon ([^>]-)%s+points='([%d.]+),([%d.]+) ([%d.]+),([%d.]+) ([%d.]+),([%d.]+) ([%d.]+),([%d.]+)'/>",
      function(look, x1, y1, x2, y2, x3, y3, x4, y4)      -- a box
        return y1 == y2 and x2 == x3 and y3 == y4 and x4 == x1 and
          ("<path %s d='M%s,%sH%sV%sH%sz'/>"):format(look, x1, y1, x2, y3, x1) or nil
      end)
  for _ = 1, 3 do text = text:gsub('<g[^>]*></g>', '') end
  if text:find('url(#', 1, true) then return text end
  return (text:gsub('<defs>(.-)</defs>', function(defs)
    local _, last = text:find('</defs>', 1, true)
    local all, kept, more = {}, {}, text:sub(last)
    for def, id in defs:gmatch('(<[^>]-%sid=[\'"]([^\'"]+)[\'"][^>]*/>)') do all[id] = def end
    while more ~= '' do
      local drawn = more
      more = ''
      for id in drawn:gmatch('href=[\'"]#([^\'"]+)') do
        if all[id] then
          table.insert(kept, 1, all[id])
          more, all[id] = more .. all[id], nil
        end
      end
    end
    return #kept > 0 and '<defs>' .. table.concat(kept) .. '</defs>' or ''
  end))
end

-- An SVG to stand in a page: ids made its own, black made the text's color.
local function svg(path, id, alt, class)
  local text = assert(common.slurp(path), path):gsub('<%?xml.-%?>', ''):gsub('<!DOCTYPE.->', ''):gsub('<!%-%-.-%-%->', '')
    :gsub('<title>.-</title>', ''):gsub('<desc>.-</desc>', '')
    :gsub('%sid=(["\'])([^"\']+)', ' id=%1' .. id .. '-%2'):gsub('url%(#', 'url(#' .. id .. '-')
    :gsub('xlink:href=([\'"])#', 'href=%1#' .. id .. '-'):gsub('%sxml:space="[^"]*"', ''):gsub('%scolor="black"', '')
  if not EPUB then text = text:gsub('%sxmlns:xlink="[^"]*"', '') end
  for _, black in ipairs { 'black', '#000000', 'rgb%(%s*0,%s*0,%s*0%)' } do
    text = text:gsub("(%a+)=(['\"])%s*" .. black .. "%s*['\"]", function(what, quote)
      return (what == 'fill' or what == 'stroke') and what .. '=' .. quote .. 'currentColor' .. quote or nil
    end)
  end
  return (slim(text):gsub('<svg', ('<svg class="%s" role="img" aria-label="%s"'):format(class, (html(alt):gsub('%%', '%%%%'))), 1))
end

local function figure(d)
  local a = d.attributes
  local path = 'build/figures/' .. a.file
  local one = a.live and not EPUB      -- a page draws it anew: one is enough for who cannot
  local drawn = svg(path .. (one and '.narrow.svg' or '.svg'), d.identifier, a.alt, one and 'one' or 'wide')
  if not EPUB and not one then drawn = drawn .. svg(path .. '.narrow.svg', d.identifier .. '-narrow', a.alt, 'narrow') end
  local moves = ''                 -- book/live.js begins with what the C says first
  if a.live and verifies and not previewing then
    local lines = common.slurp(path .. '.data') or ''
    assert(lines:match('^figure\t' .. a.live .. '\n'), path .. ': its data are not those of build/live ' .. a.live)
    moves = (' data-live="%s" data-lines="%s"'):format(a.live, html(lines))
  end
  return { block(('<figure id="%s"%s>\n<div class="picture">%s</div>'):format(d.identifier, moves, drawn)),
    pandoc.Plain(around(('<figcaption><span class="label">Figure %s.</span> '):format(a.number), d.content[1].content,
      '</figcaption></figure>')) }
end

local function numbered_table(d)
  local t = common.captioned(d.content[1], function(caption)
    return common.numbered('Table ' .. d.attributes.number .. '.', caption, 'label')
  end)
  return pandoc.Div({ t }, pandoc.Attr(d.identifier, { 'table' }))
end

-- The page's policy allows no style attribute: alignment and width as classes.
local function html_table(t)
  local text = pandoc.write(pandoc.Pandoc({ t }), 'html'):gsub('%sstyle="text%-align: (%a+);"', ' class="%1"')
    :gsub('<colgroup>.-</colgroup>%s*', ''):gsub('<table%sstyle="[^"]*"', '<table')
    :gsub('<th[^>]*>%s*</th>', '<td></td>')       -- a corner heads nothing
  if EPUB then return block(text) end
  return block((text:gsub('<th([^>]*)>%s*(<math.-</math>)%s*</th>', function(attributes, math)   -- said in words, too
    local said = math:gsub('<annotation.-</annotation>', ''):gsub('<[^>]*>', ' '):gsub('%s+', ' ')
    return ('<th%s><span class="away">%s</span>%s</th>'):format(attributes, said:match('^ ?(.-) ?$'),
      (math:gsub('<math', '<math aria-hidden="true"', 1)))
  end)))
end

-- Everything else ----------------------------------------------------------------

local function back(d)
  local title = html(d.attributes.title)
  if not EPUB then
    return pandoc.Div(framed(('<details><summary><h2 id="%s">%s</h2></summary>'):format(d.identifier, title), d.content,
      '</details>'), pandoc.Attr('', { 'back' }))
  end
  local where = d.attributes.files:gsub('%S+', '<code>%0</code>'):gsub(' ', ', ')
  return block(('<p>%s<strong>%s</strong>: %s.</p>'):format(table.concat(common.ids_within(d), ' '):gsub('%S+', '<span id="%0"></span>'),
    title, where))
end

local divs = {
  chunk = function(d) return chunk(d), false end,
  lesson = lesson, figure = figure, table = numbered_table, back = back,
  equation = function(d)
    return pandoc.Div({ pandoc.Plain { d.content[1].content[1],
      raw('<span class="number">(' .. d.attributes.number .. ')</span>') } }, pandoc.Attr(d.identifier, { 'equation' }))
  end,
  aside = function(d) return pandoc.Div(d.content, pandoc.Attr(d.identifier, { 'aside' }, { { 'role', 'note' } })) end,
  options = function(d) return pandoc.Div(d.content, pandoc.Attr('', { 'options' })) end,
  cited = function() return {} end,
  contents = function(d)
    return EPUB and {} or framed('<nav class="front" aria-label="Chapters">', d.content, '</nav>')
  end,
  answers = function()
    if EPUB then answers:insert(1, pandoc.Header(2, { pandoc.Str('Answers') }, pandoc.Attr('answers-' .. page:gsub('%.html', '')))) end
    return answers
  end,
  ['csl-entry'] = function(d)          -- pandoc's class would set a role that ARIA has retired
    return pandoc.Div({ pandoc.Para(entry(d)) }, pandoc.Attr(d.identifier, { 'bibliography' }))
  end,
}

local inlines = {
  Link = function(l)
    if EPUB and l.target:match('^test%-') then return l.content end
    l.target = href(l.target)
    return l
  end,
  Math = mathml, Code = quoted,
  Span = function(s)
    local a = s.attributes
    if s.classes[1] == 'value' then
      local attributes = { { 'data-run', a.run }, { 'data-name', a.name }, { 'title', a.name .. ' from ' .. a.run } }
      if a.format ~= '' then attributes[4] = { 'data-format', a.format } end
      return pandoc.Span(s.content, pandoc.Attr('', { 'value' }, attributes))
    elseif s.classes[1] == 'term' then
      return around('<dfn id="' .. s.identifier .. '">', s.content, '</dfn>')
    end
  end,
}

local function look(blocks)
  return pandoc.Pandoc(blocks).blocks:walk {
    Inlines = glue, CodeBlock = code_block,
    Header = function(h)
      local number = h.attributes.number
      h.attributes = {}
      if number then h.content = common.numbered(number, h.content) end
      return h
    end,
  }:walk {
    traverse = 'topdown',
    Div = function(d)
      if d.identifier == 'refs' then return pandoc.Div(d.content, pandoc.Attr('refs', { 'references' })) end
      local f = divs[d.classes[1]]
      if f then return f(d) end
    end,
  }:walk(inlines):walk { Table = html_table }
end

divs.previews = function(d)          -- pandoc asks nobody about blocks that come in a list
  local out = pandoc.List()
  previewing = true
  for _, shown in ipairs(EPUB and {} or d.content) do
    local inner = shown.content[1]
    local made = divs[inner.classes[1]](inner)
    out:extend(framed('<template data-of="' .. shown.attributes.of .. '">', made.t and { made } or made, '</template>'))
  end
  previewing = false
  return out
end

function Pandoc(doc)
  local meta, count = doc.meta, 0
  page, has_back, files, entry = pandoc.utils.stringify(meta.page), meta.back ~= nil, {}, common.entry(doc)
  verifies = meta.verifies ~= nil
  for _, other in ipairs(meta.pages) do        -- the EPUB has no tests, and its works with each chapter
    other = pandoc.utils.stringify(other)
    if other ~= 'bibliography.html' and other ~= 'tests.html' then
      count = count + 1
      files[other] = ('ch%03d.xhtml'):format(count)
    end
  end
  doc.blocks = look(doc.blocks)
  if EPUB then
    local title = pandoc.List(meta.title)
    if meta.number then title:insert(1, pandoc.Str(pandoc.utils.stringify(meta.number) .. ' ')) end
    doc.blocks:insert(1, pandoc.Header(1, title, pandoc.Attr('page-' .. pandoc.utils.stringify(meta.name))))
    return doc
  end
  for _, key in ipairs { 'title', 'previous', 'next' } do
    if meta[key] then meta[key] = pandoc.MetaInlines(look({ pandoc.Plain(meta[key]) })[1].content) end
  end
  meta.contents = pandoc.MetaBlocks(look(meta.contents))
  doc.meta = meta
  return doc
end
