-- First look at a chapter: what the rest of the book must know of it, as a
-- Lua table, and beside it NAME.runs, the commands that it quotes. The table
-- names no line of prose, so an edit of the words alone changes no other page.

local common = dofile('book/common.lua')
local OPEN, CLOSE = common.OPEN, common.CLOSE


local function words(s, by)
  local out = {}
  for w in (s or ''):gmatch('[^' .. (by or '%s') .. ']+') do out[#out + 1] = w end
  return out
end

local function lines(meta)
  return meta and words(meta[1].text, '\n') or {}
end

local function markdown(blocks)
  return (pandoc.write(pandoc.Pandoc(blocks), 'markdown'):gsub('%s+$', ''))
end

function Pandoc(doc)
  local facts = {
    name = pandoc.utils.stringify(doc.meta.name),
    number = doc.meta.number and pandoc.utils.stringify(doc.meta.number),
    title = pandoc.utils.stringify(doc.meta.pagetitle),
    tags = lines(doc.meta.tags),
    labels = {}, cites = {}, cited = {}, quotes = {}, chunks = {}, terms = {},
  }
  facts.page = facts.name:match('^00%-') and 'index.html' or facts.name .. '.html'
  local function label(id, anchor, number, title)
    if id and id ~= '' then
      facts.labels[#facts.labels + 1] = { id = id, anchor = anchor, number = number, title = title }
    end
  end
  local ours, theirs, quoted = {}, {}, {}
  local section = facts.number       -- where the walk is
  local means = {}                   -- of symbols that stand in a table's first column
  doc.blocks:walk {
    traverse = 'topdown',
    Header = function(h)
      section = h.attributes.number or h.level > 1 and not facts.number
        and pandoc.utils.stringify(h.content) or section
      if h.level == 1 then label(h.attributes.label, '', h.attributes.number)
      else
        label(h.attributes.label, h.identifier, h.attributes.number)
      end
    end,
    Div = function(d)
      if d.classes:includes('chunk') then
        local a = d.attributes
        facts.chunks[#facts.chunks + 1] = {
          id = d.identifier, title = a.title, number = a.number, index = tonumber(a.index),
          files = words(a.files), defines = words(a.defines), uses = words(a.uses, ","), used = words(a.used),
          bodies = words(a.bodies),
        }
      elseif d.attributes.label then
        label(d.attributes.label, d.identifier, d.attributes.number, d.attributes.title)
      end
    end,
    Table = function(t)
      for _, row in ipairs(pandoc.utils.to_simple_table(t).rows) do
        pandoc.Pandoc(row[1]).blocks:walk { Span = function(span)
          if row[2] then means[span.identifier] = row[2] end
        end }
      end
    end,
    Span = function(span)
      if not span.classes:includes('term') then return nil end
      local first = span.content[1]
      local symbol = #span.content == 1 and first.t == 'Math'
      local meaning = means[span.identifier]
      facts.terms[#facts.terms + 1] = {
        id = span.identifier, section = section,
        text = symbol and first.text or pandoc.utils.stringify(span.content),
        symbol = symbol and 1 or nil,
        means = span.attributes.means or meaning and markdown(meaning) or nil,
      }
    end,
    Cite = function(c)
      for _, citation in ipairs(c.citations) do
        local set = citation.id:match('^%a+:') and ours or theirs
        set[citation.id] = true
      end
    end,
    Str = function(s)
      for text in s.text:gmatch(OPEN .. 'q([%w_]*)' .. CLOSE) do
        local code = common.decode(text)
        for name in code:gmatch('[%a_][%w_]*') do quoted[name] = true end
      end
    end,
  }
  for id in pairs(ours) do facts.cites[#facts.cites + 1] = id end
  for id in pairs(theirs) do facts.cited[#facts.cited + 1] = id end
  for name in pairs(quoted) do facts.quotes[#facts.quotes + 1] = name end
  table.sort(facts.cites)
  table.sort(facts.cited)
  table.sort(facts.quotes)
  local runs = lines(doc.meta.commands)
  common.update('build/weave/' .. facts.name .. '.runs',
    #runs > 0 and table.concat(runs, '\n') .. '\n' or '')
  return pandoc.Pandoc({ pandoc.RawBlock('html', 'return ' .. common.write(facts)) })
end
