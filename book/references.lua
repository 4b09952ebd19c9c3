-- After citeproc. For LaTeX: the references of a chapter as paragraphs whose
-- labels carry the chapter's name, since one PDF holds the lists of all. For
-- HTML: under a class of our own, because pandoc's would set a role that
-- ARIA has retired.

if not FORMAT:match('latex') then
  local file                      -- in the EPUB, links name their file
  return { { Meta = function(m) file = m.epub_file and pandoc.utils.stringify(m.epub_file) end }, {
  Link = function(l)
    if file and l.target:match('^#') then
      l.target = file .. l.target
      return l
    end
  end,
  Div = function(d)
    if d.classes:includes('csl-entry') then
      d.classes = { 'bibliography' }
      return d
    elseif d.identifier == 'refs' then
      return pandoc.Div(d.content, pandoc.Attr('refs', { 'references' }))
    end
  end } }
end

local common = dofile('book/common.lua')
local name = ''

local function label(id) return common.label(name .. '.' .. id) end

local function raw(text) return pandoc.RawInline('latex', text) end

return { {
  Pandoc = function(doc)
    name = pandoc.utils.stringify(doc.meta.name or '')
    doc.blocks = doc.blocks:walk {
      traverse = 'topdown',
      Div = function(d)
        if d.classes:includes('csl-entry') then
          local out = pandoc.List { raw('\\reference{' .. label(d.identifier) .. '}') }
          out:extend(pandoc.utils.blocks_to_inlines(d.content))
          return pandoc.Para(out)
        elseif d.identifier == 'refs' then
          d.identifier, d.classes, d.attributes = '', {}, {}
          return d
        end
      end,
      Link = function(l)
        local id = l.target:match('^#(ref%-.*)$')
        if id then
          local out = pandoc.List { raw('\\hyperref[' .. label(id) .. ']{') }
          out:extend(l.content)
          out:insert(raw('}'))
          return out
        end
      end,
    }
    return doc
  end,
} }
