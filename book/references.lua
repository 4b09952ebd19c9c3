-- After citeproc. In print, the references of a chapter give way to those of the
-- book, which its bibliography holds. For HTML: under a class of our own,
-- because pandoc's would set a role that ARIA has retired.

local common = dofile('book/common.lua')
local LATEX = FORMAT:match('latex')
local file                      -- in the EPUB, links name their file
local refs, bibliography

local function label(id) return common.label('bibliography.' .. id) end
local function raw(text) return pandoc.RawInline('latex', text) end

-- "Cited in 4, 5.": who cites the work, at the end of its entry.
local function citing(entry)
  local cited = refs.cited[entry.identifier:match('^ref%-(.*)$')]
  local last = entry.content[#entry.content]
  for i, c in ipairs(cited or {}) do
    last.content:extend { pandoc.Str(i == 1 and ' Cited in ' or ', '),
      pandoc.Link({ pandoc.Str(c.text) }, c.page .. '#top', '', pandoc.Attr('', { 'citing' })) }
  end
  if cited then last.content:insert(pandoc.Str('.')) end
end

local function entry(d)
  if bibliography then citing(d) end
  if not LATEX then
    d.classes = { 'bibliography' }
    return d
  end
  local out = pandoc.List { raw('\\reference{' .. label(d.identifier) .. '}') }
  out:extend(pandoc.utils.blocks_to_inlines(d.content))
  return pandoc.Para(out)
end

-- The page's policy allows no style attribute: alignment and width as classes.
local function html_table(t)
  local text = pandoc.write(pandoc.Pandoc({ t }), 'html')
  text = text:gsub('%sstyle="text%-align: (%a+);"', ' class="%1"')
    :gsub('<colgroup>.-</colgroup>%s*', ''):gsub('<table%sstyle="[^"]*"', '<table')
  -- A formula alone in a heading cell is also said in words.
  text = text:gsub('<th[^>]*>%s*</th>', '<td></td>')       -- a corner heads nothing
  if file then return pandoc.RawBlock('html', text) end
  text = text:gsub('<th([^>]*)>%s*(<math.-</math>)%s*</th>', function(attributes, math)
    local words = math:gsub('<annotation.-</annotation>', ''):gsub('<[^>]*>', ' '):gsub('%s+', ' ')
    return ('<th%s><span class="away">%s</span>%s</th>'):format(attributes, words:match('^ ?(.-) ?$'),
      (math:gsub('<math', '<math aria-hidden="true"', 1)))
  end)
  return pandoc.RawBlock('html', text)
end

return { {
  Meta = function(m)
    file = m.epub_file and pandoc.utils.stringify(m.epub_file)
    bibliography = m.name and pandoc.utils.stringify(m.name) == 'bibliography'
    refs = common.load(common.slurp(pandoc.utils.stringify(m.refs)), 'refs')
  end,
}, {
  Link = function(l)
    local id = l.target:match('^#(ref%-.*)$')
    if LATEX and id then
      local out = pandoc.List { raw('\\hyperref[' .. label(id) .. ']{') }
      out:extend(l.content)
      out:insert(raw('}'))
      return out
    elseif file and l.target:match('^#') then
      l.target = file .. l.target
      return l
    end
  end,
  Div = function(d)
    if d.classes:includes('cited') then return {} end
    if d.classes:includes('csl-entry') then return entry(d) end
    if d.identifier ~= 'refs' then return nil end
    if not LATEX then return pandoc.Div(d.content, pandoc.Attr('refs', { 'references' })) end
    return bibliography and d.content or {}
  end,
}, {
  Table = not LATEX and html_table or nil,
} }
