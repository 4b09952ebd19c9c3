-- The EPUB: its text, the documents that the look wrote, one after the other; and, given the
-- path of a bound book on standard input, that book without the time of the day, which pandoc
-- writes into each entry of a zip file. Every entry gets the format's first day, 1980-01-01.

local common = dofile('book/common.lua')

local function stamp(path)
  local zip, stamps, out, from = assert(common.slurp(path), path), {}, {}, 1
  local count, at = ('<I2'):unpack(zip, #zip - 11), ('<I4'):unpack(zip, #zip - 5) + 1
  assert(zip:sub(-22, -19) == 'PK\5\6', path .. ': not a zip file without a comment')
  for _ = 1, count do
    assert(zip:sub(at, at + 3) == 'PK\1\2', path)
    local name, extra, comment = ('<I2I2I2'):unpack(zip, at + 28)
    table.insert(stamps, at + 12)
    table.insert(stamps, ('<I4'):unpack(zip, at + 42) + 1 + 10)
    at = at + 46 + name + extra + comment
  end
  table.sort(stamps)
  for _, place in ipairs(stamps) do
    table.insert(out, zip:sub(from, place - 1) .. '\0\0\x21\0')
    from = place + 4
  end
  common.update(path, table.concat(out) .. zip:sub(from))
end

function Reader(input)
  local blocks, path = pandoc.List(), tostring(input):match('^%s*(%S+%.epub%.new)%s*$')
  if path then stamp(path)
  else for _, source in ipairs(input) do blocks:extend(pandoc.read(source.text, 'json').blocks) end end
  return pandoc.Pandoc(blocks)
end
