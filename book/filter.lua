-- Second look at a chapter: resolve every mark and reference and set chunks,
-- values, transcripts, lessons and figures for HTML or LaTeX. Options come as
-- metadata: refs (the file that link.lua wrote) and quoted (the programs'
-- output). Whatever cannot be resolved is reported with the chapter's file
-- and line, all at once, and nothing is written.

local common = dofile('book/common.lua')
local EPUB = FORMAT == 'json'       -- HTML, on its way into one EPUB
local HTML = EPUB or FORMAT:match('html') ~= nil
local str = pandoc.utils.stringify

local source, name, refs, page = '', '', nil, ''
local quoted, quoted_path = {}, ''
local problems, bibliography = {}, {}
local answers = {}                -- of the PDF's lessons, for the chapter's end

-- Messages -----------------------------------------------------------------

local function complain(line, message)
  local key = line .. message
  if problems[key] then return end
  problems[key] = true
  problems[#problems + 1] = { line, ('%s:%d: %s\n'):format(source, line, message) }
end

local function line_of(text) return common.line_of(source, text) end

-- What programs printed ------------------------------------------------------

local function read_quoted(path)
  quoted_path = path
  local run
  for line in ((common.slurp(path) or '')):gmatch('([^\n]*)\n') do
    local command = line:match('^%$ (.*)$')
    if command then
      run = command
      quoted[run] = {}
    elseif run then
      table.insert(quoted[run], line)
    end
  end
end

local function output_of(run, line)
  if not quoted[run] then
    complain(line, ('%s has no output of `%s`; run make quoted'):format(quoted_path, run))
    return {}
  end
  return quoted[run]
end

local FORMATS = 'a printf format for one number such as %.2f, %.1f%% (a percentage) or ,'

local function group(digits)
  local sign, whole, rest = digits:match('^([-+]?)(%d+)(.*)$')
  if not sign then return digits end
  whole = whole:reverse():gsub('(%d%d%d)', '%1,'):reverse():gsub('^,', '')
  return sign .. whole .. rest
end

local function value(spec)
  local run, key, format, line = spec:match('^(.-)\t(.-)\t(.-)\t(%d+)$')
  line = tonumber(line)
  local found, names
  names = {}
  for _, l in ipairs(output_of(run, line)) do
    local k, v = l:match('^([^\t]+)\t(.*)$')
    if k == key then found = v end
    names[#names + 1] = k
  end
  if not found then
    if quoted[run] then
      complain(line, ('there is no value %s in `%s`; it prints %s'):format(key, run,
        #names > 0 and 'for example ' .. common.near(key, names) or 'no values'))
    end
    return '?', run, key, format
  end
  local text = found
  if format == ',' then
    text = group(found)
  elseif format ~= '' then
    local number = tonumber(found)
    local conversion = format:gsub('%%%%', ''):match('^[^%%]*%%[-+ #0]*%d*%.?%d*([dfgeEG])[^%%]*$')
    if not number or not conversion then
      complain(line, ('%s in the format %q: the value is %q; allowed is %s'):format(
        key, format, found, FORMATS))
      return '?', run, key, format
    end
    if format:find('%%', 1, true) then number = number * 100 end
    if conversion == 'd' then number = math.floor(number + 0.5) end
    text = format:format(number)
  end
  return text, run, key, format
end

-- Links ----------------------------------------------------------------------

local function tex(text)          -- text as LaTeX
  return (pandoc.write(pandoc.Pandoc({ pandoc.Plain({ pandoc.Str(text) }) }), 'latex')
    :gsub('%s+$', ''))
end

local function tex_code(text)     -- characters of a program, as LaTeX
  local special = { ['\\'] = '\\textbackslash{}', ['{'] = '\\{', ['}'] = '\\}',
    ['_'] = '\\_', ['%'] = '\\%', ['&'] = '\\&', ['#'] = '\\#', ['$'] = '\\$',
    ['^'] = '\\^{}', ['~'] = '\\~{}', [' '] = '\\ ', ['-'] = '{-}' }
  return (text:gsub('[\\{}_%%&#$^~ -]', special))
end

local function html(text)
  return (text:gsub('[&<>"]', { ['&'] = '&amp;', ['<'] = '&lt;', ['>'] = '&gt;',
    ['"'] = '&quot;' }))
end

local function label_of(target_page, anchor)
  return common.label(target_page:gsub('%.html$', '') .. '.' .. (anchor == '' and 'top' or anchor))
end

local function raw(text)
  return pandoc.RawInline(HTML and 'html' or 'latex', text)
end

local function raw_block(text)
  return pandoc.RawBlock(HTML and 'html' or 'latex', text)
end

-- The pages in the book's order; in the EPUB a page is the file of its place.
local INDEXES = { { page = 'chunks.html', title = 'Index of chunks' },
  { page = 'identifiers.html', title = 'Index of identifiers' },
  { page = 'terms.html', title = 'Index of terms and notation' } }
local BACK = pandoc.List { { page = 'bibliography.html', title = 'Bibliography' } }
BACK:extend(INDEXES)
BACK:insert { page = 'tests.html', title = 'The tests' }
local function epub_file(target_page)
  for i, c in ipairs(refs.chapters) do
    if c.page == target_page then return ('ch%03d.xhtml'):format(i) end
  end
  for i, index in ipairs(INDEXES) do
    if index.page == target_page then return ('ch%03d.xhtml'):format(#refs.chapters + i) end
  end
end

local function href(target_page, anchor)
  if EPUB then return epub_file(target_page) .. (anchor ~= '' and '#' .. anchor or '') end
  local place = target_page == page and '' or target_page
  if anchor ~= '' then return place .. '#' .. anchor end
  return place == '' and '#top' or place
end

local function spanned_page(label)        -- "(p. 12)"
  return '~{\\footnotesize(p.~\\pageref{' .. label .. '})}'
end

-- Code -----------------------------------------------------------------------

-- Quoted code [[…]]: known names link to their definitions.
local function quoted_code(code)
  local out, at = {}, 1
  local function plain(text)
    if text == '' then return end
    out[#out + 1] = HTML and html(text) or tex_code(text)
  end
  while at <= #code do
    local first, last, word = code:find('([%a_][%w_]*)', at)
    if not first then break end
    plain(code:sub(at, first - 1))
    local def = refs.quotes[word]
    if def and HTML then
      out[#out + 1] = ('<a href="%s">%s</a>'):format(href(def.page, def.anchor), word)
    elseif def then
      out[#out + 1] = ('\\hyperref[%s]{%s}'):format(label_of(def.page, def.anchor),
        tex_code(word))
    else
      plain(word)
    end
    at = last + 1
  end
  plain(code:sub(at))
  local text = table.concat(out)
  return raw(HTML and '<code>' .. text .. '</code>' or '\\texttt{' .. text .. '}')
end

-- Highlight code by pandoc; words of the form zzNzz stand for links.
local function highlight(code, language)
  local block = pandoc.CodeBlock(code, pandoc.Attr('', { language }))
  local text = pandoc.write(pandoc.Pandoc({ block }), HTML and 'html' or 'latex')
  if not HTML then return text end
  local inner = text:match('<code[^>]*>(.*)</code>')
  inner = inner:gsub('<a href="#cb[%d-]+"[^>]*></a>', ''):gsub('<span class="op">(.-)</span>', '%1')
  local lines = {}
  for l in (inner .. '\n'):gmatch('(.-)\n') do
    lines[#lines + 1] = l:match('^<span id="cb[%d-]+">(.*)</span>$') or l
  end
  return table.concat(lines, '\n')
end

local first_chunk = {}            -- title -> id of its first chunk
local own_defs = {}               -- name -> id of the chunk that defines it

local has_back = false            -- then what runs and poses is in its boxes, not folded one by one
local function folded(files)
  if has_back then return false end
  for file in files:gmatch('%S+') do
    if not file:match('^lessons%d+%.c$') and not file:match('^chapter%d+%.c$') then return false end
  end
  return files ~= ''
end

-- "Held by" the cases that would fail if the functions of a chunk were wrong.
local SHOWN = 3
local function held_by(bodies)
  local out, seen, count, held = pandoc.List(), {}, 0, nil
  for name in bodies:gmatch('%S+') do
    for _, case in ipairs(refs.tests[name] or {}) do
      if not seen[case.anchor] then
        seen[case.anchor], count, held = true, count + 1, refs.tests[name]
        if count <= SHOWN then
          local claim = pandoc.Str('“' .. case.claim .. '”')
          out:extend { pandoc.Str(count == 1 and 'Held by' or ','), pandoc.Space(),
            HTML and not EPUB and pandoc.Link({ claim }, held.page .. '#' .. case.anchor) or claim }
        end
      end
    end
  end
  if not held then return nil end
  out:extend { pandoc.Str(count > SHOWN and (' and %d more in '):format(count - SHOWN) or ' in '),
    pandoc.Code(held.suite), pandoc.Str('.') }
  return out
end

local function chunk(div)
  local a, id = div.attributes, div.identifier
  local links, placed = {}, {}
  local code = div.content[1].text:gsub(common.MARK, function(kind, text)
    local what = common.decode(text)
    local shown = what
    if kind == 'u' then
      local target = first_chunk[what]
      if HTML then
        shown = ('<a class="chunk-use" href="#%s">⟨%s⟩</a>'):format(target or id, html(what))
      else
        shown = ('\\hyperref[%s]{\\chunkuse{%s}}'):format(label_of(page, target or id),
          tex(what))
      end
    else
      local ident = what:match('(%S+)$')
      local def = refs.idents[ident]
      if def and def.tag and what == ident then def = nil end
      if not def then return ident end
      local here = def.page == page and own_defs[ident] == id
      if HTML and here then
        shown = placed[ident] and ident
          or ('<span class="definition" id="def-%s">%s</span>'):format(ident, ident)
      elseif HTML then
        shown = ('<a href="%s">%s</a>'):format(href(def.page, def.anchor), ident)
      elseif here then
        shown = tex_code(ident)
      else
        shown = ('\\hyperref[%s]{%s}'):format(label_of(def.page, def.anchor), tex_code(ident))
      end
      if here then placed[ident] = true end
    end
    links[#links + 1] = shown
    return ('zz%dzz'):format(#links)
  end)
  local is_c = a.files:match('%.[ch]%f[%W]') or a.files == ''
  local text = highlight(code, is_c and 'c' or 'default')
  text = text:gsub('zz(%d+)zz', function(n) return links[tonumber(n)] end)

  local files = {}
  for file in a.files:gmatch('%S+') do
    local path = a.folder .. file
    local target = first_chunk[file]
    if HTML and target ~= id then
      files[#files + 1] = ('<a href="#%s">%s</a>'):format(target, html(path))
    elseif HTML then files[#files + 1] = html(path)
    else files[#files + 1] = '\\texttt{' .. tex_code(path) .. '}' end
  end
  files = table.concat(files, ', ')
  local sign = a.index == '1' and '≡' or '+≡'
  local missing = {}              -- definitions that no line of the chunk carries
  for ident in a.defines:gmatch('%S+') do
    if own_defs[ident] == id and not placed[ident] then missing[#missing + 1] = ident end
  end

  local blocks = pandoc.List()
  local foot = div.content[2]
  if foot and HTML then          -- its head has an arrow to the piece before
    local kept = foot.content:filter(function(i) return i.t ~= 'Span' end)
    while kept[1] and kept[1].t == 'Space' do kept:remove(1) end
    foot = #kept > 0 and pandoc.Plain(kept) or nil
  end
  local held = held_by(a.bodies)
  if held then
    foot = foot or pandoc.Plain {}
    if #foot.content > 0 then foot.content:insert(pandoc.Space()) end
    foot.content:extend(held)
  end
  if HTML then
    local anchors = ''
    for _, ident in ipairs(missing) do
      anchors = anchors .. ('<span id="def-%s"></span>'):format(ident)
    end
    local function chain(target, arrow, words)
      if target == '' then return '' end
      return (' <a class="chain" href="#%s" aria-label="%s ⟨%s⟩" title="%s">%s</a>'):format(
        target, words, html(a.title), words, arrow)
    end
    blocks:insert(raw_block(('<div class="chunk-head"><a class="chunk-number" href="#%s">%s</a> '
      .. '<span class="chunk-title">⟨%s⟩&#8239;%s</span>%s%s <span class="chunk-file">%s</span>%s</div>')
      :format(id, a.number, html(a.title), sign, chain(a.prev, '↑', 'Before this:'),
        chain(a.next, '↓', 'Continued:'), files, anchors)))
    local code_block = '<pre class="sourceCode" tabindex="0"><code class="sourceCode">'
      .. text .. '</code></pre>'
    if folded(a.files) and not EPUB then       -- what runs the chapter and poses its lessons
      local _, more = code:gsub('\n', '')
      code_block = ('<details class="fold"><summary>%d line%s of code</summary>%s</details>')
        :format(more + 1, more > 0 and 's' or '', code_block)
    end
    blocks:insert(raw_block(code_block))
    if foot then
      blocks:insert(pandoc.Div({ foot }, pandoc.Attr('', { 'chunk-foot' })))
    end
    return pandoc.Div(blocks, pandoc.Attr(id, a.prev ~= '' and { 'chunk', 'more' } or { 'chunk' },
      a.next ~= '' and { { 'data-next', a.next } } or {}))
  end
  local labels = { '\\anchor{' .. label_of(page, id) .. '}' }
  for ident in a.defines:gmatch('%S+') do
    if own_defs[ident] == id then
      labels[#labels + 1] = '\\anchor{' .. label_of(page, 'def-' .. ident) .. '}'
    end
  end
  local _, lines = code:gsub('\n', '')
  blocks:insert(raw_block(('\\chunkhead{%d}{%s}{%s}{⟨%s⟩%s}{%s}'):format(
    math.min(lines + 4, 16), table.concat(labels), a.number, tex(a.title), sign == '≡' and '$\\equiv$' or '$+\\!\\equiv$', files)))
  blocks:insert(raw_block(text))
  if foot then
    local content = pandoc.List()
    content:insert(raw('\\chunkfoot{'))
    content:extend(foot.content)
    content:insert(raw('}'))
    blocks:insert(pandoc.Plain(content))
  else
    blocks:insert(raw_block('\\chunkend'))
  end
  return blocks
end

-- Transcripts ----------------------------------------------------------------

local function transcript(block)
  local line = 1
  local shown = {}
  local part = block.attributes.part
  for text in (block.text .. '\n'):gmatch('(.-)\n') do
    local run = text:match('^%$ (.+)$')
    if run then
      line = line_of('$ ' .. run)
      local lines, kept = output_of(run, line), {}
      if part then
        local on, any = false, false
        for _, l in ipairs(lines) do
          if not any and l:sub(1, #part) == part then on, any = true, true end
          if on and l == '' then on = false end
          if on then kept[#kept + 1] = l end
        end
        if not any and quoted[run] then
          complain(line, ('no line of `%s` starts with %q; give part="…" the start '
            .. 'of a line that it prints'):format(run, part))
        end
      else
        kept = lines
      end
      shown[#shown + 1] = { run, kept }
    elseif text:match('%S') then
      complain(line_of(text), ('in a run block, %q is no command; write only `$ command` '
        .. 'lines, the output is filled in'):format(text))
    end
  end
  local out = {}
  for i, s in ipairs(shown) do
    if HTML then
      out[#out + 1] = '<span class="command">$ ' .. html(s[1]) .. '</span>\n'
      for _, l in ipairs(s[2]) do out[#out + 1] = html(l) .. '\n' end
    else
      out[#out + 1] = '$ ' .. s[1] .. '\n'
      for _, l in ipairs(s[2]) do out[#out + 1] = l .. '\n' end
    end
  end
  local text = table.concat(out):gsub('\n+$', '')
  if HTML then
    return raw_block('<pre class="run" tabindex="0"><code>' .. text .. '</code></pre>')
  end
  return raw_block('\\begin{Run}\n' .. text .. '\n\\end{Run}')
end

-- Lessons --------------------------------------------------------------------

local function lesson_fields(id, line)
  local run = ('build/chapter%s --lessons'):format(id:match('^%w+'))
  local lessons, ids, current = {}, {}, nil
  for _, l in ipairs(output_of(run, line)) do
    local field, text = l:match('^(%a+)\t?(.*)$')
    if field == 'lesson' then
      current = { run = run }
      lessons[text] = current
      ids[#ids + 1] = text
    elseif current and field then
      current[field] = current[field] or {}
      table.insert(current[field], text)
    end
  end
  if not lessons[id] and quoted[run] then
    complain(line, ('there is no lesson %s; `%s` has %s'):format(id, run,
      common.near(id, ids)))
  end
  return lessons[id]
end

local function lesson(div)
  local id, line = div.attributes.lesson, tonumber(div.attributes.line)
  local l = lesson_fields(id, line)
  if not l then return {} end
  for _, field in ipairs { 'title', 'question', 'option', 'hint', 'mistake' } do
    for i, text in ipairs(l[field] or {}) do l[field][i] = text:gsub("(%a)'(%a)", '%1’%2'):gsub("s'(%s)", 's’%1') end
  end
  local function one(field) return l[field] and l[field][1] or '' end
  local function paragraphs(list, open, close)
    local out = {}
    for _, text in ipairs(list or {}) do
      out[#out + 1] = open .. (HTML and html(text) or tex(text)) .. close
    end
    return table.concat(out)
  end
  local function drawn(list)
    if not list then return '' end
    local text = table.concat(list, '\n')
    if text == '' then return '' end
    if HTML then return '<pre tabindex="0"><code>' .. html(text) .. '</code></pre>' end
    return '\n\\begin{Run}\n' .. text .. '\n\\end{Run}\n'
  end
  local answer = one('answer')
  local within = ''
  if one('kind') == 'number' and tonumber(one('tolerance')) and tonumber(one('tolerance')) > 0 then
    within = (HTML and ' <span class="tolerance">±&#160;%s counts as right</span>'
      or ' ($\\pm$\\,%s counts as right)'):format(one('tolerance'))
  end
  local mistakes = {}
  for _, m in ipairs(l.mistake or {}) do
    local wrong, meaning = m:match('^(.-)\t(.*)$')
    mistakes[#mistakes + 1] = { wrong or m, meaning or '' }
  end
  if HTML then
    local out = { ('<section class="lesson" id="lesson-%s" aria-labelledby="lesson-%s-title" '
      .. 'data-lesson="%s" data-kind="%s" data-run="%s">'):format(id, id, id, one('kind'), l.run) }
    local function put(text) out[#out + 1] = text end
    put(('<header><p class="lesson-label">Predict %s · %s minutes</p>'
      .. '<h3 class="lesson-title" id="lesson-%s-title">%s</h3></header>')
      :format(id, one('minutes'), id, html(one('title'))))
    put('<div class="question">' .. paragraphs(l.question, '<p>', '</p>')
      .. drawn(l.given))
    if l.option then
      put('<ol class="options">' .. paragraphs(l.option, '<li>', '</li>') .. '</ol>')
    end
    if one('unit') ~= '' then
      put('<p class="unit">Answer in ' .. html(one('unit')) .. '.</p>')
    end
    put('</div>')
    if EPUB then
      put(('<p class="unit">To verify in a terminal: <code>make predict LESSON=%s</code></p>'):format(id))
      for i, hint in ipairs(l.hint or {}) do
        put(('<p class="hint"><em>Hint %d.</em> %s</p>'):format(i, html(hint)))
      end
      put(('<p class="hint"><a href="%s">Answer</a></p></section>'):format(href(page, 'answer-' .. id)))
      local at = #out
      put(('<section id="answer-%s"><h3><a href="%s">%s</a> %s</h3><p><strong>%s</strong>%s</p>')
        :format(id, href(page, 'lesson-' .. id), id, html(one('title')), html(answer), within) .. drawn(l.trace))
      for _, m in ipairs(mistakes) do
        put(('<p class="hint"><em>If you said %s.</em> %s</p>'):format(html(m[1]), html(m[2])))
      end
      put('</section>')
      answers[#answers + 1] = table.concat(out, '\n', at + 1)
      return raw_block(table.concat(out, '\n', 1, at))
    end
    put(('<div class="verify" data-lesson="%s"><p>Write your prediction down, or let the '
      .. 'terminal take it and verify: <code>make predict LESSON=%s</code></p></div>'):format(id, id))
    local hints = l.hint or {}
    for i, hint in ipairs(hints) do       -- each inside the one before: one by one
      put(('<details class="hint"><summary>Hint%s</summary><p>%s</p>'):format(
        #hints > 1 and (' %d of %d'):format(i, #hints) or '', html(hint)))
    end
    put(('</details>'):rep(#hints))
    put('<details class="answer"><summary>Answer</summary><p class="result"><strong>'
      .. html(answer) .. '</strong>' .. within .. '</p>' .. drawn(l.trace))
    if #mistakes > 0 then
      put('<dl class="mistakes">')
      for _, m in ipairs(mistakes) do
        put(('<dt>If you said %s</dt><dd>%s</dd>'):format(html(m[1]), html(m[2])))
      end
      put('</dl>')
    end
    put(('<p class="source">From <code>%s</code></p></details></section>'):format(html(l.run)))
    return raw_block(table.concat(out, '\n'))
  end
  local here, there = label_of(page, 'lesson-' .. id), label_of(page, 'answer-' .. id)
  local out = { ('\\begin{lesson}{\\anchor{%s}%s}{%s}{%s}'):format(here, id, tex(one('title')),
    one('minutes')) }
  out[#out + 1] = paragraphs(l.question, '', '\\par ') .. drawn(l.given)
  if l.option then
    out[#out + 1] = '\\begin{enumerate}' .. paragraphs(l.option, '\\item ', '\n')
      .. '\\end{enumerate}'
  end
  if one('unit') ~= '' then out[#out + 1] = 'Answer in ' .. tex(one('unit')) .. '.\\par' end
  out[#out + 1] = ('\\hint{In a terminal}{\\texttt{make predict LESSON=%s}}'):format(id)
  for i, hint in ipairs(l.hint or {}) do
    out[#out + 1] = ('\\hint{Hint%s}{%s}'):format(#l.hint > 1 and ' ' .. i or '', tex(hint))
  end
  out[#out + 1] = ('\\hint{Answer}{page~\\pageref{%s}}\\end{lesson}'):format(there)
  local a = { ('\\lessonanswer{\\anchor{%s}\\hyperref[%s]{%s}}{%s}{\\textbf{%s}%s}'):format(
    there, here, id, tex(one('title')), tex(answer), within), drawn(l.trace) }
  for _, m in ipairs(mistakes) do
    a[#a + 1] = ('\\mistake{%s}{%s}'):format(tex(m[1]), tex(m[2]))
  end
  answers[#answers + 1] = table.concat(a, '\n')
  return raw_block(table.concat(out, '\n'))
end

-- A formula as MathML. Fences that may stretch are set with wide gaps, so
-- only those around something tall do.
local function mathml(m)
  local text = pandoc.write(pandoc.Pandoc({ pandoc.Plain({ m }) }), 'html',
    { html_math_method = 'mathml' })
  local open, close = '<mo stretchy="true" form="prefix">', '<mo stretchy="true" form="postfix">'
  local at = #text
  while at > 0 do
    at = at - 1
    if text:sub(at, at + #open - 1) == open then
      local first, last = text:find(close, at, true)
      if first then
        local inside = text:sub(at, first)
        local tall = inside:find('<mfrac') or inside:find('<mtable') or inside:find('<munder')
          or inside:find('<mover') or inside:find('<msqrt') or inside:find('∑', 1, true)
        local stretchy = tall and 'stretchy="true" ' or 'stretchy="false"'
        text = text:sub(1, at - 1) .. '<mo ' .. stretchy .. ' form="prefix">'
          .. text:sub(at + #open, first - 1) .. '<mo ' .. stretchy .. ' form="postfix">'
          .. text:sub(last + 1)
      end
    end
  end
  return raw((text:gsub('%s+$', '')))
end

-- No line ends between a formula and the bracket or the comma that touches it.
local function glue(inlines)
  local out, i = pandoc.List(), 1
  while inlines[i] do
    local m, after = inlines[i], inlines[i + 1]
    local before = out[#out]
    local open = before and before.t == 'Str' and before.text:match('[(%[]$')
    local close = after and after.t == 'Str' and after.text:match('^[%p]+')
    if m.t == 'Math' and m.mathtype == 'InlineMath' and (open or close) then
      local whole = pandoc.List { m }
      if open then
        before.text = before.text:sub(1, -2)
        whole:insert(1, pandoc.Str(open))
      end
      if close then
        whole:insert(pandoc.Str(close))
        after.text = after.text:sub(#close + 1)
      end
      m = pandoc.Span(whole, pandoc.Attr('', { 'together' }))
    end
    out:insert(m)
    i = i + 1
  end
  return out
end

-- Figures --------------------------------------------------------------------

-- An SVG to stand in a page: ids made its own, black made the text's color.
local function inline_svg(text, id, alt)
  text = text:gsub('<%?xml.-%?>', ''):gsub('<!DOCTYPE.->', ''):gsub('<!%-%-.-%-%->', '')
  text = text:gsub('<title>.-</title>', ''):gsub('<desc>.-</desc>', '')
  text = text:gsub('%sid="([^"]+)"', ' id="' .. id .. '-%1"')
    :gsub("%sid='([^']+)'", ' id="' .. id .. '-%1"')
    :gsub('url%(#', 'url(#' .. id .. '-')
    :gsub('xlink:href=([\'"])#', 'href=%1#' .. id .. '-')
    :gsub('%sxml:space="[^"]*"', '')
    :gsub('%scolor="black"', '')
  if not EPUB then text = text:gsub('%sxmlns:xlink="[^"]*"', '') end
  for _, black in ipairs { 'black', '#000000', 'rgb%(%s*0,%s*0,%s*0%)' } do
    for _, what in ipairs { 'fill', 'stroke' } do
      text = text:gsub(what .. "=(['\"])%s*" .. black .. "%s*['\"]", what .. '=%1currentColor%1')
    end
  end
  local label = html(alt):gsub('%%', '%%%%')
  return (text:gsub('<svg', ('<svg role="img" aria-label="%s"'):format(label), 1))
end

local function figure(div)
  local image, a = div.content[1].content[1], div.attributes
  local file = image.src
  local line = line_of(a.label ~= '' and '{#' .. a.label or '](' .. file .. ')')
  if a.label == '' or not a.label:match('^fig:') then
    complain(line, ('the figure %s needs an id: {#fig:name alt="…"}'):format(file))
  end
  local alt = image.attributes.alt
  if not alt or alt == '' then
    complain(line, ('the figure %s needs alt="…": say what it shows'):format(file))
    alt = ''
  end
  local path = 'build/figures/' .. file .. (HTML and '.svg' or '.pdf')
  local text = common.slurp(path)
  if not file:match('^' .. name:match('^%w+') .. '%-') or not text then
    complain(line, ('there is no figure %s; a script figures/%s.gp or figures/%s.dot '
      .. 'draws it, its name starts with %s-'):format(file, file, file, name:match('^%w+')))
    return {}
  end
  local caption = pandoc.List(image.caption)
  local head = a.number and 'Figure ' .. a.number or 'Figure'
  if HTML then
    local out = pandoc.List { raw('<figcaption><span class="label">' .. head .. '.</span> ') }
    out:extend(caption)
    out:insert(raw('</figcaption></figure>'))
    return { raw_block(('<figure id="%s">'):format(div.identifier)),
      raw_block('<div class="picture">' .. inline_svg(text, div.identifier, alt) .. '</div>'),
      pandoc.Plain(out) }
  end
  local out = pandoc.List { raw(('\\begin{figure}[htbp]\\centering\\anchor{%s}'
    .. '\\fitgraphics{%s}\\figurecaption{%s}{'):format(label_of(page, div.identifier), path,
    head)) }
  out:extend(caption)
  out:insert(raw('}\\end{figure}'))
  return pandoc.Plain(out)
end

local function numbered_table(div)
  local t, head = div.content[1], 'Table ' .. (div.attributes.number or '')
  local long = t.caption.long
  local first = long and long[1]
  if first and first.content then
    first.content:insert(1, pandoc.Space())
    first.content:insert(1, HTML and pandoc.Span({ pandoc.Str(head .. '.') },
      pandoc.Attr('', { 'label' })) or pandoc.Strong({ pandoc.Str(head .. '.') }))
    if not HTML then first.content:insert(1, raw('\\anchor{'
      .. label_of(page, div.identifier) .. '}')) end
    t.caption.long[1] = first
  end
  if not HTML then return t end
  return pandoc.Div({ t }, pandoc.Attr(div.identifier, { 'table' }))
end

local function equation(div)
  local math, a = div.content[1].content[1], div.attributes
  if HTML then
    return pandoc.Div({ pandoc.Plain { mathml(math), raw('<span class="number">(' .. a.number
      .. ')</span>') } }, pandoc.Attr(div.identifier, { 'equation' }))
  end
  return raw_block(('\\begin{equation*}\\anchor{%s}%s\\tag{%s}\\end{equation*}'):format(
    label_of(page, div.identifier), math.text, a.number))
end

-- References -----------------------------------------------------------------

local KINDS = { ch = 'Chapter', sec = 'Section', fig = 'Figure', tbl = 'Table',
  eq = 'Equation' }

local function reference(citation)
  local id = citation.id
  local kind, r = id:match('^(%a+):'), refs.labels[id]
  if not KINDS[kind] or not r then
    complain(line_of('@' .. id), ('nothing is called @%s; the nearest ids are %s'):format(id,
      refs.close[id] or 'those that start with ch:, sec:, fig:, tbl: or eq:'))
    return pandoc.Str('?')
  end
  local words = KINDS[kind]
  if kind == 'ch' and r.number:match('^%a') then words = 'Appendix' end
  local text = r.number == '' and (r.title or words) or words .. '\u{a0}' .. r.number
  if citation.mode == 'SuppressAuthor' then text = r.number end
  local l = pandoc.Link({ pandoc.Str(text) }, r.page .. '#' .. r.anchor)
  l.classes = { 'reference' }
  return l
end

local function cite(c)
  local ours, theirs = {}, false
  for _, citation in ipairs(c.citations) do
    if citation.id:match('^%a+:') then
      ours[#ours + 1] = reference(citation)
    else
      theirs = true
      if not bibliography[citation.id] then
        local keys = {}
        for key in pairs(bibliography) do keys[#keys + 1] = key end
        complain(line_of('@' .. citation.id), ('book/references.bib has no entry %s; '
          .. 'the nearest are %s'):format(citation.id, common.near(citation.id, keys)))
      end
    end
  end
  if #ours == 0 then return nil end
  if theirs then
    complain(line_of('@' .. c.citations[1].id), 'keep references to the book and citations '
      .. 'in brackets of their own')
  end
  local out = {}
  for i, l in ipairs(ours) do
    if i > 1 then
      out[#out + 1] = pandoc.Str(i == #ours and (#ours > 2 and ', and' or ' and') or ',')
      out[#out + 1] = pandoc.Space()
    end
    out[#out + 1] = l
  end
  return out
end

-- Marks in running text --------------------------------------------------------

local function value_span(text, run, key, format)
  if not HTML then return pandoc.Str(text) end
  local attributes = { { 'data-run', run }, { 'data-name', key },
    { 'title', key .. ' from ' .. run } }
  if format ~= '' then attributes[#attributes + 1] = { 'data-format', format } end
  return pandoc.Span({ pandoc.Str(text) }, pandoc.Attr('', { 'value' }, attributes))
end

local function plain(text, where)
  return (text:gsub(common.MARK, function(kind, encoded)
    local what = common.decode(encoded)
    if kind == 'q' then return what end
    if kind == 'p' and where == 'a formula' then
      return (value(what):gsub('%%', '\\%%'):gsub(',', '{,}'))
    end
    if kind == 'p' then return (value(what)) end
    if kind == 'v' then
      local _, key, _, line = what:match('^(.-)\t(.-)\t(.-)\t(%d+)$')
      complain(tonumber(line), ('write {{=%s…}}, text alone, for a value in %s'):format(key,
        where))
    end
    return ''
  end))
end

local function marks(s)
  if not s.text:find(common.OPEN, 1, true) then return nil end
  local out, at = {}, 1
  while true do
    local first, last, kind, encoded = s.text:find(common.MARK, at)
    local before = s.text:sub(at, (first or 0) - 1)
    if before ~= '' then out[#out + 1] = pandoc.Str(before) end
    if not first then return out end
    local what = common.decode(encoded)
    if kind == 'q' then out[#out + 1] = quoted_code(what)
    elseif kind == 'v' then out[#out + 1] = value_span(value(what))
    else out[#out + 1] = pandoc.Str(plain(s.text:sub(first, last))) end
    at = last + 1
  end
end

-- A term where it is defined.
local function term(span)
  if not span.classes:includes('term') then return nil end
  local symbol = #span.content == 1 and span.content[1].t == 'Math'
  local out = pandoc.List {
    raw(HTML and ('<dfn id="%s">'):format(span.identifier)
    or '\\anchor{' .. label_of(page, span.identifier) .. '}' .. (symbol and '{' or '\\emph{')) }
  out:extend(span.content)
  out:insert(raw(HTML and '</dfn>' or '}'))
  return out
end

local resolve_inlines = {
  Str = marks,
  Cite = cite,
  Math = function(m)
    m.text = plain(m.text, 'a formula')
    return m
  end,
  Code = function(c)
    c.text = plain(c.text, 'code')
    return c
  end,
  RawInline = function(r)
    r.text = plain(r.text, 'raw text')
    return r
  end,
  Image = function(i)
    if i.attributes.alt then i.attributes.alt = plain(i.attributes.alt, 'alt="…"') end
    i.title = plain(i.title, 'a title')
    return i
  end,
}

-- A section of the back: a closed box on the page; elsewhere a line that says where its
-- code is, with the anchors of all that it holds.
local backs = {}
local function back(div)
  local lines, files, anchors, seen = 0, {}, pandoc.List(), {}
  local function anchor(id)
    if id ~= '' then
      anchors:insert(HTML and pandoc.Span({}, pandoc.Attr(id)) or raw('\\anchor{' .. label_of(page, id) .. '}'))
    end
  end
  anchor(div.identifier)
  pandoc.Pandoc(div.content).blocks:walk {
    Header = function(h) anchor(h.identifier) end,
    Div = function(d)
      anchor(d.identifier)
      if not d.classes:includes('chunk') then return end
      lines = lines + select(2, d.content[1].text:gsub('\n', '')) + 1
      for ident in d.attributes.defines:gmatch('%S+') do
        if own_defs[ident] == d.identifier then anchor('def-' .. ident) end
      end
      for file in d.attributes.files:gmatch('%S+') do
        if not seen[file] then files[#files + 1] = d.attributes.folder .. file end
        seen[file] = true
      end
    end,
  }
  local title = div.attributes.title .. (lines > 0 and (', %d line%s'):format(lines, lines > 1 and 's' or '') or '')
  if HTML and not EPUB then
    backs[#backs + 1] = ('<li><a href="#%s">%s</a></li>'):format(div.identifier, html(title))
    local box = pandoc.List { raw_block(('<details><summary><h2 id="%s">%s</h2></summary>'):format(
      div.identifier, html(title))) }
    box:extend(div.content)
    box:insert(raw_block('</details>'))
    return pandoc.Div(box, pandoc.Attr('', { 'back' }))
  end
  local line = pandoc.List(anchors)
  line:insert(pandoc.Strong { pandoc.Str(title) })
  for i, file in ipairs(files) do line:extend { pandoc.Str(i == 1 and ': ' or ', '), pandoc.Code(file) } end
  line:insert(pandoc.Str('.'))
  return pandoc.Div({ pandoc.Para(line) }, pandoc.Attr('', { 'back' }))
end

local resolve_blocks = {
  traverse = 'topdown',
  Div = function(d)
    local class = d.classes[1]
    if class == 'chunk' then return chunk(d), false
    elseif class == 'back' and d.attributes.label and (EPUB or not HTML) then return back(d), false
    elseif class == 'back' and d.attributes.label then return back(d)
    elseif class == 'lesson' and d.attributes.lesson then return lesson(d), false
    elseif class == 'figure' and d.attributes.label then return figure(d), false
    elseif class == 'table' and d.attributes.label then return numbered_table(d)
    elseif class == 'equation' and d.attributes.label then return equation(d), false
    elseif class == 'index' and not HTML then
      local blocks = pandoc.List { raw_block('\\begin{bookindex}') }
      for _, item in ipairs(d.content[1].content) do
        local line = pandoc.List { raw('\\indexitem{}') }
        line:extend(item[1].content)
        blocks:insert(pandoc.Para(line))
      end
      blocks:insert(raw_block('\\end{bookindex}'))
      return blocks
    elseif class == 'aside' and not HTML then
      local blocks = pandoc.List { raw_block('\\begin{aside}') }
      blocks:extend(d.content)
      blocks:insert(raw_block('\\end{aside}'))
      return blocks
    elseif class == 'aside' then
      return pandoc.Div(d.content, pandoc.Attr(d.identifier, { 'aside' }, { { 'role', 'note' } }))
    end
  end,
  CodeBlock = function(c)
    if c.classes:includes('run') then return transcript(c) end
    c.text = plain(c.text, 'code')
    if not HTML then return c end
    local language = c.classes[1]
    local inner = language and highlight(c.text, language) or html(c.text)
    return raw_block('<pre tabindex="0"><code class="sourceCode">' .. inner .. '</code></pre>')
  end,
  Header = function(h)
    local number = h.attributes.number
    h.attributes = {}
    if HTML then
      if h.level == 1 and not EPUB then return {} end     -- the template sets the title
      if number then
        h.content:insert(1, pandoc.Space())
        h.content:insert(1, pandoc.Span({ pandoc.Str(number) },
          pandoc.Attr('', { 'number' })))
      end
      return h
    end
    if h.level == 1 then
      local command = '\\chapter{'
      if not number then command = '\\chapter*{'
      elseif number:match('%d') then
        command = ('\\setcounter{chapter}{%d}\\chapter{'):format(tonumber(number) - 1)
      else
        command = ('\\setcounter{chapter}{%d}\\chapter{'):format(number:byte() - 65)
      end
      local out = pandoc.List { raw(command) }
      out:extend(h.content)
      out:insert(raw('}\\anchor{' .. label_of(page, '') .. '}'))
      if not number then
        out:insert(raw('\\addcontentsline{toc}{chapter}{'))
        out:extend(h.content)
        out:insert(raw('}\\markboth{'))
        out:extend(h.content)
        out:insert(raw('}{'))
        out:extend(h.content)
        out:insert(raw('}'))
      end
      return pandoc.Plain(out)
    end
    h.identifier = label_of(page, h.identifier)
    if not number and h.level > 1 then h.classes:insert('unnumbered') end
    return h
  end,
}

-- Links inside the book, which have the form page.html#anchor.
local function tex_link(l)
  local target_page, anchor = l.target:match('^([%w-]*%.?h?t?m?l?)#(.*)$')
  if not target_page then return nil end
  if target_page == '' then target_page = page end
  if target_page:match('^%a+%.html$') and target_page ~= 'index.html' then
    return l.content                       -- an entry of an index: no link back
  end
  local label = label_of(target_page, anchor)
  local out = pandoc.List { raw('\\hyperref[' .. label .. ']{') }
  out:extend(l.content)
  out:insert(raw('}'))
  if not l.classes:includes('reference') and (anchor:match('^chunk%-')
    or l.classes:includes('definition')) then
    out:insert(raw(spanned_page(label)))
  end
  return out
end

local function html_link(l)
  local target_page, anchor = l.target:match('^(.-)#(.*)$')
  if EPUB and target_page and (target_page == '' or target_page:match('%.html$')) then
    l.target = href(target_page == '' and page or target_page, anchor)
    return l
  end
  if target_page and (target_page == page or anchor == '') and target_page:match('%.html$') then
    l.target = href(target_page, anchor)
    return l
  end
end

-- The page around the text -----------------------------------------------------

local function chapter_label(c)
  if not c.number then return '' end
  return (c.number:match('^%a') and 'Appendix ' or 'Chapter ') .. c.number
end

local function chapter_item(c, inner)
  local here = c.page == page
  return ('<li%s><a href="%s"%s>%s%s</a>%s</li>'):format(here and ' class="here"' or '',
    here and '#top' or c.page, here and ' aria-current="page"' or '',
    c.number and '<span class="number">' .. c.number .. '</span> ' or '', html(c.title),
    inner or '')
end

local function sections(blocks)
  local out = {}
  for _, b in ipairs(blocks) do
    if b.t == 'Header' and b.level == 2 then
      local title = pandoc.write(pandoc.Pandoc({ pandoc.Plain(b.content) }), 'html',
        { html_math_method = 'mathml' })
      title = title:gsub('</?a[^>]*>', ''):gsub('%s+$', ''):gsub('%sid="[^"]*"', '')
      out[#out + 1] = ('<li><a href="#%s">%s</a></li>'):format(b.identifier, title)
    end
  end
  for _, item in ipairs(backs) do out[#out + 1] = item end
  return #out > 0 and '<ol>' .. table.concat(out, '\n') .. '</ol>' or ''
end

local function contents(blocks, with_sections)
  local out = {}
  for _, c in ipairs(refs.chapters) do
    out[#out + 1] = chapter_item(c, with_sections and c.page == page and sections(blocks))
  end
  for _, part in ipairs(BACK) do out[#out + 1] = chapter_item(part) end
  return '<ol class="chapters">' .. table.concat(out, '\n') .. '</ol>'
end

local function html_page(doc)
  local meta = doc.meta
  local function set(key, text) meta[key] = pandoc.MetaInlines { pandoc.RawInline('html', text) } end
  set('contents', contents(doc.blocks, true))
  local order, i = {}, nil        -- of the book: chapters, then its back
  for _, list in ipairs { refs.chapters, BACK } do
    for _, c in ipairs(list) do
      order[#order + 1] = c
      if c.page == page then i = #order end
    end
  end
  if not i then return end        -- a suite's page is no part of the order
  local c = order[i]
  if c.number then set('label', chapter_label(c)) end
  for key, other in pairs { previous = order[i - 1], next = order[i + 1] } do
    set(key, ('<a rel="%s" href="%s"><span>%s</span> %s</a>'):format(
      key == 'previous' and 'prev' or 'next', other.page,
      key == 'previous' and 'Previous' or 'Next',
      (other.number and other.number .. ' · ' or '') .. html(other.title)))
  end
end

-- The front page's list of chapters, in ::: contents or at the end.
local function front(doc)
  doc.meta.front = true
  local list = {}
  for _, other in ipairs(refs.chapters) do
    if other.page ~= page then list[#list + 1] = chapter_item(other) end
  end
  local block = raw_block('<nav class="front" aria-label="Chapters"><ol class="chapters">'
    .. table.concat(list, '\n') .. '</ol></nav>')
  local placed
  doc.blocks = doc.blocks:walk { Div = function(d)
    if d.classes:includes('contents') then
      placed = true
      return block
    end
  end }
  if not placed then doc.blocks:insert(block) end
end

-- What the search finds: sections, chunks and lessons, as build/weave/NAME.search.
local function search_records(blocks)
  local records, section = {}, nil
  local function text_of(list)
    list = pandoc.Pandoc(list).blocks:walk {
      RawInline = function(r)
        return pandoc.Str((r.text:gsub('<[^>]*>', ''):gsub('&(%a+);', { lt = '<', gt = '>',
          amp = '&', quot = '"' })))
      end,
      Math = function(m) return pandoc.Str((m.text:gsub('\\%a+', ' '):gsub('[{}]', ''))) end,
      Image = function(i) return i.caption end,
    }
    local options = { columns = 10000 }
    if pandoc.WriterOptions then options = pandoc.WriterOptions(options) end
    return (pandoc.write(pandoc.Pandoc(list), 'plain', options):gsub('%-%-%-+', ''):gsub('%s+', ' '))
  end
  local here = refs.place and refs.chapters[refs.place] or { title = '', page = page }
  local whole = (here.number and chapter_label(here) .. ' · ' or '') .. here.title
  local function add(anchor, title, where, text, terms)
    records[#records + 1] = { page .. (anchor and '#' .. anchor or ''), title, where, text, terms or '' }
  end
  local function close()
    local terms = {}          -- where a term is defined, it counts like a title
    pandoc.Pandoc(section.blocks).blocks:walk { Span = function(span)
      if span.classes:includes('term') then terms[#terms + 1] = str(span.content) end
    end }
    add(section.anchor, section.title, section.where, text_of(section.blocks), table.concat(terms, ' '))
  end
  section = { title = here.title, where = here.number and chapter_label(here) or '', blocks = {} }
  local flat = pandoc.List()
  for _, b in ipairs(blocks) do
    if b.t == 'Div' and b.classes[1] == 'back' then
      flat:insert(pandoc.Header(2, { pandoc.Str(b.attributes.title) }, pandoc.Attr(b.identifier)))
      flat:extend(b.content)
    else flat:insert(b) end
  end
  for _, b in ipairs(flat) do
    local class = b.t == 'Div' and b.classes[1]
    if b.t == 'Header' and b.level > 1 then
      close()
      local number = b.attributes.number
      section = { anchor = b.identifier, where = whole, blocks = {},
        title = (number and number .. ' ' or '') .. text_of({ pandoc.Plain(b.content) }):gsub('%s+$', '') }
    elseif class == 'chunk' then
      local code = b.content[1].text:gsub(common.MARK, function(kind, text)
        return kind == 'u' and '⟨' .. common.decode(text) .. '⟩' or common.decode(text):match('%S+$')
      end)
      add(b.identifier, '⟨' .. b.attributes.title .. '⟩', 'code ' .. b.attributes.number .. ' · ' .. whole,
        (code:gsub('%s+', ' ')))
    elseif class == 'lesson' and b.attributes.lesson then
      local l = lesson_fields(b.attributes.lesson, tonumber(b.attributes.line))
      if l then
        add(b.identifier, l.title[1], 'predict ' .. b.attributes.lesson .. ' · ' .. whole,
          table.concat(l.question, ' '))
      end
    elseif b.t ~= 'Header' then
      table.insert(section.blocks, b)
    end
  end
  close()
  common.update('build/weave/' .. name .. '.search', 'return ' .. common.write(records))
end

local function keys_of(path)
  local keys = {}
  for key in ('\n' .. (common.slurp(path) or '')):gmatch('\n%s*@%a+%s*{%s*([^%s,]+)') do
    keys[key] = true
  end
  return keys
end

function Pandoc(doc)
  local meta = doc.meta
  refs = common.load(common.slurp(str(meta.refs)), 'refs')
  name = str(meta.name)
  source = meta.source and str(meta.source) or name
  page = name:match('^00%-') and 'index.html' or name .. '.html'
  if meta.quoted then read_quoted(str(meta.quoted)) end
  bibliography = keys_of('book/references.bib')
  doc.blocks:walk { Div = function(d)
    if d.classes[1] == 'back' then has_back = true end
    if d.classes[1] ~= 'chunk' then return end
    local title = d.attributes.title
    first_chunk[title] = first_chunk[title] or d.identifier
    if d.attributes.index == '1' then first_chunk[title] = d.identifier end
    for ident in d.attributes.defines:gmatch('%S+') do
      own_defs[ident] = own_defs[ident] or d.identifier
    end
  end }
  -- Inlines first: captions and headings too; then blocks.
  doc.blocks = doc.blocks:walk(resolve_inlines)
  local title
  doc.blocks:walk { Header = function(h) if h.level == 1 then title = h.content end end }
  if HTML and not EPUB and refs.place then search_records(doc.blocks) end
  doc.blocks = doc.blocks:walk { Span = term }
  doc.blocks = doc.blocks:walk(resolve_blocks)
  if HTML then doc.blocks = doc.blocks:walk { Inlines = glue } end
  doc.blocks = doc.blocks:walk { Link = HTML and html_link or tex_link,
    Math = HTML and mathml or nil }
  if #problems > 0 then
    table.sort(problems, function(a, b) return a[1] < b[1] end)
    for _, p in ipairs(problems) do io.stderr:write(p[2]) end
    os.exit(1)
  end
  local function is_back(b) return b and b.t == 'Div' and b.classes[1] == 'back' end
  local function reading()        -- where the further reading and the back begin
    for i, b in ipairs(doc.blocks) do
      if b.t == 'Header' and b.level == 2 and str(b.content):match('Further reading$') then return i, true end
    end
    local i = #doc.blocks
    while is_back(doc.blocks[i]) do i = i - 1 end
    return i + 1, false
  end
  if #answers > 0 then
    local at = reading()
    local heading = EPUB and '<h2 id="answers">Answers</h2>\n' or '\\answers\n'
    doc.blocks:insert(at, raw_block(heading .. table.concat(answers, '\n')))
  end
  -- Where a chapter cites, its references have a heading, and stand under it. In print they are the book's.
  local cites, placed = false, false
  doc.blocks:walk {
    Cite = function() cites = true end,
    Div = function(d) placed = placed or d.identifier == 'refs' end,
  }
  if HTML and not EPUB and page == 'index.html' then front(doc) end
  if cites and not placed and HTML and name ~= 'bibliography' then
    local at, headed = reading()
    if headed then
      repeat at = at + 1
      until not doc.blocks[at] or is_back(doc.blocks[at]) or doc.blocks[at].t == 'Header' and doc.blocks[at].level <= 2
    else
      doc.blocks:insert(at, pandoc.Header(2, { pandoc.Str('Further'), pandoc.Space(),
        pandoc.Str('reading') }, pandoc.Attr(EPUB and 'further-reading-' .. name or 'further-reading',
        { 'unnumbered' })))
      at = at + 1
    end
    doc.blocks:insert(at, pandoc.Div({}, pandoc.Attr('refs')))
  end
  for _, key in ipairs { 'commands', 'tags' } do meta[key] = nil end
  if EPUB then
    meta.epub_file = epub_file(page)
  elseif HTML then
    html_page(doc)
    if title then meta.title = pandoc.MetaInlines(title) end
  end
  return doc
end
