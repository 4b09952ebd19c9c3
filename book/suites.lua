-- The test suites, for the pages: which case holds which function, and a page
-- that shows each suite. A suite is tests/test_chapterN.c; its cases are the
-- check_case("what it claims", function) of its last lines.

local common = dofile('book/common.lua')
local M = {}

-- The file in pieces, cut at the empty lines outside of functions. Each has
-- its text and names the functions that it defines.
local function pieces_of(text)
  local pieces, piece, inside = {}, nil, false
  for line in (text .. '\n'):gmatch('(.-)\n') do
    if line == '' and not inside then
      piece = nil
    else
      if not piece then
        piece = { text = {}, defines = {} }
        pieces[#pieces + 1] = piece
      end
      piece.text[#piece.text + 1] = line
      local name = (line:match('^(%a[^;=(]*)%(') or ''):match('[%w_]+$')
      if name and not inside and not line:match(';$') then piece.defines[#piece.defines + 1] = name end
      if line:match('^[%a{].*[{,)]$') or line == '{' then inside = true end
      if line:match('^}') or line:match('^%a.*[;}]$') then inside = false end
    end
  end
  for _, p in ipairs(pieces) do p.text = table.concat(p.text, '\n') end
  return pieces
end

-- { chapter, path, page, pieces, cases = { { claim, name, says = {word = true} } } }
function M.read(chapter, path)
  local text = common.slurp(path)
  if not text then return nil end
  local suite = { chapter = chapter, path = path, page = 'test-' .. chapter .. '.html',
    pieces = pieces_of(text), cases = {} }
  local piece_of = {}
  for _, piece in ipairs(suite.pieces) do
    for _, name in ipairs(piece.defines) do piece_of[name] = piece end
  end
  local function say(piece, says, seen)      -- the words of a piece and of its helpers
    if seen[piece] then return end
    seen[piece] = true
    local code = piece.text:gsub('/%*.-%*/', ''):gsub('"[^"\n]*"', '')
    for word in code:gmatch('[%a_][%w_]*') do
      says[word] = true
      if piece_of[word] and word ~= 'SUITE' then say(piece_of[word], says, seen) end
    end
  end
  for claim, name in text:gmatch('check_case%("(.-)",%s*([%w_]+)%)') do
    local case = { claim = claim:gsub('\\(.)', '%1'), name = name, says = {} }
    if piece_of[name] then say(piece_of[name], case.says, {}) end
    suite.cases[#suite.cases + 1] = case
  end
  return suite
end

-- Rank a suite's cases: those about the fewest of the names first.
function M.rank(suite, names)
  suite.ranked = {}
  for place, case in ipairs(suite.cases) do
    case.place, case.about = place, 0
    for word in pairs(case.says) do case.about = case.about + (names[word] and 1 or 0) end
    suite.ranked[place] = case
  end
  table.sort(suite.ranked, function(a, b)
    if a.about ~= b.about then return a.about < b.about end
    return a.place < b.place
  end)
end

-- The cases that hold a function, as a page shows them; nil if there are none.
function M.holding(suite, name)
  local held = { suite = suite.path, page = suite.page }
  for _, case in ipairs(suite.ranked) do
    if case.says[name] then held[#held + 1] = { claim = case.claim, anchor = 'case-' .. case.name } end
  end
  return #held > 0 and held or nil
end

-- The suite's code, each case where its name leads.
function M.blocks(suite)
  local blocks = pandoc.List()
  for _, piece in ipairs(suite.pieces) do
    local code = pandoc.CodeBlock(piece.text, pandoc.Attr('', { 'c' }))
    local anchors = pandoc.List()
    for i = 2, #piece.defines do
      anchors:insert(pandoc.Span({}, pandoc.Attr('case-' .. piece.defines[i])))
    end
    if #anchors > 0 then blocks:insert(pandoc.Plain(anchors)) end
    local id = piece.defines[1] and 'case-' .. piece.defines[1] or ''
    blocks:insert(pandoc.Div({ code }, pandoc.Attr(id, { 'test' })))
  end
  return blocks
end

-- The list of claims, each with its code behind it.
function M.claims(suite)
  local items = {}
  for _, case in ipairs(suite.cases) do
    items[#items + 1] = { pandoc.Plain { pandoc.Link({ pandoc.Str(case.claim) },
      suite.page .. '#case-' .. case.name) } }
  end
  return pandoc.BulletList(items)
end

return M
