-- The search: the records of all pages, build/weave/NAME.search, as search.js
-- with lunr's index made ready, so that a browser only has to load it.

local common = dofile('book/common.lua')
local lower = (pandoc.text or require('text')).lower

-- Words that are everywhere find nothing.
local dull = {}
for word in ([[a an and are as at be but by can do does for from has have how if in into is it
  its no not of on one or so that the their them then there they this to two was we what when
  which with you your]]):gmatch('%a+') do dull[word] = true end

-- Letters, digits and _; of the rest of Unicode only what is a letter for sure.
local function words_of(text)
  local out, length = {}, 0
  local plain = lower(text):gsub('[\xC2-\xF4][\x80-\xBF]*', function(char)
    local code = utf8.codepoint(char)
    return (code >= 0xE0 and code < 0x250 or code >= 0x3B1 and code <= 0x3C9) and char or ' '
  end)
  local function add(word)
    if #word < 2 or dull[word] or word:match('^[%d_]+$') then return end
    out[word] = (out[word] or 0) + 1
    length = length + 1
  end
  for word in plain:gmatch('[%w_\x80-\xFF]+') do
    add(word)
    if word:find('_', 1, true) then for part in word:gmatch('[^_]+') do add(part) end end
  end
  return out, length
end

local function json(value)
  if type(value) == 'number' then return ('%.14g'):format(value) end
  return '"' .. value:gsub('[%c"\\]', function(c) return ('\\u%04x'):format(c:byte()) end) .. '"'
end

local FIELDS, BOOST = { 'title', 'text' }, { title = 4, text = 1 }

function Reader(input)
  local records = {}
  for _, source in ipairs(input) do
    for _, r in ipairs(common.load(source.text, source.name)) do records[#records + 1] = r end
  end
  local counts, lengths, total, inverted = {}, {}, { title = 0, text = 0 }, {}
  for i, r in ipairs(records) do
    counts[i], lengths[i] = {}, {}
    for f, field in ipairs(FIELDS) do
      counts[i][field], lengths[i][field] = words_of(f == 1 and r[2] .. ' ' .. r[5] or r[4])
      total[field] = total[field] + lengths[i][field]
      for word in pairs(counts[i][field]) do
        inverted[word] = inverted[word] or { title = {}, text = {}, documents = 0 }
        table.insert(inverted[word][field], i - 1)
        inverted[word].documents = inverted[word].documents + 1
      end
    end
  end
  local words = {}
  for word in pairs(inverted) do words[#words + 1] = word end
  table.sort(words)

  local out = {}
  for i, word in ipairs(words) do
    inverted[word].place = i - 1
    local fields = { ('"_index":%d'):format(i - 1) }
    for _, field in ipairs(FIELDS) do
      local at = {}
      for _, record in ipairs(inverted[word][field]) do at[#at + 1] = ('"%d":{}'):format(record) end
      fields[#fields + 1] = ('"%s":{%s}'):format(field, table.concat(at, ','))
    end
    out[#out + 1] = ('[%s,{%s}]'):format(json(word), table.concat(fields, ','))
  end
  -- BM25, as lunr's own builder reckons it.
  local vectors = {}
  for i in ipairs(records) do
    for _, field in ipairs(FIELDS) do
      local list, numbers = {}, {}
      for word in pairs(counts[i][field]) do list[#list + 1] = word end
      table.sort(list)
      local weight = BOOST[field] * (records[i][2]:match('^⟨') and 0.3 or 1)   -- text before code
      local relative = lengths[i][field] / math.max(total[field] / #records, 1e-9)
      for _, word in ipairs(list) do
        local n, tf = inverted[word].documents, counts[i][field][word]
        local idf = math.log(1 + math.abs((#records - n + 0.5) / (n + 0.5)))
        local score = idf * 2.2 * tf / (1.2 * (0.25 + 0.75 * relative) + tf) * weight
        numbers[#numbers + 1] = ('%d,%.14g'):format(inverted[word].place, math.floor(score * 1000 + 0.5) / 1000)
      end
      vectors[#vectors + 1] = ('["%s/%d",[%s]]'):format(field, i - 1, table.concat(numbers, ','))
    end
  end
  local shown = {}
  for i, r in ipairs(records) do
    shown[i] = ('[%s,%s,%s,%s]'):format(json(r[1]), json(r[2]), json(r[3]), json(r[4]))
  end
  common.update('build/html/search.js', ('var wtgSearch={"records":[%s],\n"index":{"fields":["title","text"],'
    .. '"fieldVectors":[%s],\n"invertedIndex":[%s],"pipeline":[]}}\n'):format(
    table.concat(shown, ',\n'), table.concat(vectors, ','), table.concat(out, ',')))
  return pandoc.Pandoc({})
end
