-- The tests, for the pages: which case holds which function, and a page that shows each suite.
-- A suite is tests/test_chapterN.c; its cases are the check_case("what it claims", case); of its
-- last lines. A comment behind one names the functions that it holds: /* topk_select, topk_weigh */.
-- Where a suite says nothing, a case is taken to hold the functions that it and its helpers name.

local common = dofile('book/common.lua')
local SHOWN = 3

return function(book, link, joined)
  local M, all, of = {}, {}, {}

  -- The file in pieces, cut at the empty lines outside of functions: text, and what it defines.
  function M.pieces_of(text)
    local pieces, piece, inside = {}, nil, false
    for line in (text .. '\n'):gmatch('(.-)\n') do
      if line == '' and not inside then piece = nil
      else
        if not piece then
          piece = { text = {}, defines = {} }
          pieces[#pieces + 1] = piece
        end
        table.insert(piece.text, line)
        local name = (line:match('^(%a[^;=(]*)%(') or ''):match('[%w_]+$')
        if name and not inside and not line:match(';$') then table.insert(piece.defines, name) end
        if line:match('^[%a{].*[{,)]$') or line == '{' then inside = line:match('^%a[^(]*=') and '};$' or '^}' end
        if line:match(inside or '^}') or line:match('^}') or line:match('^%a.*[;}]$') then inside = false end
      end
    end
    for _, p in ipairs(pieces) do p.text = table.concat(p.text, '\n') end
    return pieces
  end

  local function read_suite(chapter, path, text)
    local suite = { chapter = chapter, path = path, page = 'test-' .. chapter.program .. '.html', pieces = M.pieces_of(text), cases = {} }
    local piece_of = {}
    for _, piece in ipairs(suite.pieces) do
      for _, name in ipairs(piece.defines) do piece_of[name] = piece end
    end
    local function say(piece, says, seen)      -- the words of a piece and of its helpers
      if not piece or seen[piece] then return says end
      seen[piece] = true
      for word in piece.text:gsub('/%*.-%*/', ''):gsub('"[^"\n]*"', ''):gmatch('[%a_][%w_]*') do
        says[word] = true
        if word ~= 'SUITE' then say(piece_of[word], says, seen) end
      end
      return says
    end
    for claim, name, rest in text:gmatch('check_case%("(.-)",%s*([%w_]+)%);([^\n]*)') do
      local case = { claim = claim:gsub('\\(.)', '%1'), anchor = 'case-' .. name, says = {}, about = 0 }
      local stated = rest:match('^%s*/%*(.-)%*/')
      for word in (stated or ''):gmatch('[%a_][%w_]*') do case.says[word] = true end
      if not stated then say(piece_of[name], case.says, {}) end
      table.insert(suite.cases, case)
      case.place, case.stated = #suite.cases, stated
    end
    return suite
  end

  function M.read()
    local defined = {}
    for _, chapter in ipairs(book.chapters) do
      for name in pairs(chapter.defs) do defined[name] = true end
      local path = chapter.program and ('tests/test_chapter%s.c'):format(chapter.program)
      local text = path and common.slurp(path)
      local last = all[#all]
      if last and last.path == path then       -- a part more of a chapter, whose suite they share
        of[chapter], last.chapter = last, chapter
      elseif text then
        of[chapter] = read_suite(chapter, path, text)
        table.insert(all, of[chapter])
      end
    end
    for _, suite in ipairs(all) do             -- those that say it first, then those about the fewest functions
      suite.ranked = { table.unpack(suite.cases) }
      for _, case in ipairs(suite.cases) do
        for word in pairs(case.says) do case.about = case.about + (not case.stated and defined[word] and 1 or 0) end
      end
      table.sort(suite.ranked, function(a, b) return a.about < b.about or a.about == b.about and a.place < b.place end)
    end
  end

  -- "Held by" the cases that would fail if the functions whose bodies begin in a chunk were wrong.
  function M.held_by(chapter, chunk)
    local out, seen, count, held = pandoc.List(), {}, 0, nil
    for head, name in ('\n' .. chunk.code):gmatch('\n(%a[^;{}()=#\n]-)([%w_]+)%([^;{}]*%)%s*{') do
      local found = false
      for _, suite in ipairs(head:match('^static') and {} or of[chapter] and { of[chapter] } or all) do
        for _, case in ipairs(suite.ranked) do
          if case.says[name] and not seen[case] then
            seen[case], count, held = true, count + 1, suite
            if count <= SHOWN then
              out:extend { pandoc.Str(count == 1 and 'Held by' or ','), pandoc.Space(),
                link('“' .. case.claim .. '”', suite.page .. '#' .. case.anchor) }
            end
          end
          found = found or case.says[name]
        end
        if found then break end
      end
    end
    if not held then return nil end
    out:extend { pandoc.Str(count > SHOWN and (' and %d more in '):format(count - SHOWN) or ' in '),
      pandoc.Code(held.path), pandoc.Str('.') }
    return out
  end

  -- The list of claims, each with its code behind it.
  function M.page(new_page, heading)
    local blocks = {}
    for _, suite in ipairs(all) do
      local items = {}
      for i, case in ipairs(suite.cases) do items[i] = { pandoc.Plain { link(case.claim, suite.page .. '#' .. case.anchor) } } end
      blocks[#blocks + 1] = heading(2, suite.chapter.number .. ' · ' .. suite.chapter.title, 'suite-' .. suite.chapter.program)
      blocks[#blocks + 1] = pandoc.BulletList(items)
    end
    return new_page('tests', 'The tests', 'What the book claims of its code, and what proves it. Each claim '
      .. 'leads to the case that would fail if it were not so.', table.unpack(blocks))
  end

  -- Each suite's code, a case where its name leads.
  function M.pages(new_page)
    local pages = {}
    for i, suite in ipairs(all) do
      local blocks = pandoc.List()
      for _, piece in ipairs(suite.pieces) do
        local anchors = pandoc.List()
        for j = 2, #piece.defines do anchors:insert(pandoc.Span({}, pandoc.Attr('case-' .. piece.defines[j]))) end
        if #anchors > 0 then blocks:insert(pandoc.Plain(anchors)) end
        blocks:insert(pandoc.Div({ pandoc.CodeBlock(piece.text, pandoc.Attr('', { 'c' })) },
          pandoc.Attr(piece.defines[1] and 'case-' .. piece.defines[1] or '', { 'test' })))
      end
      local c = suite.chapter
      pages[i] = new_page(suite.page:match('^(.*)%.html$'), 'Tests: ' .. c.title, ('`%s`, as it is, for [%s](%s#). '
        .. '`make test%s` runs it, in three builds. [All claims](tests.html#suite-%s)'):format(suite.path, c.title, c.page,
        c.program, c.program), table.unpack(blocks))
    end
    return pages
  end

  return M
end
