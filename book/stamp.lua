-- Take the time stamps out of a zip file, so that the same pages bind to the
-- same bytes: pandoc writes the time of the day into each entry. The input
-- is the file's path. Every entry gets the format's first day, 1980-01-01.

local common = dofile('book/common.lua')

function Reader(input)
  local path = tostring(input):match('^%s*(.-)%s*$')
  local zip = assert(common.slurp(path), path)
  local stamps = {}
  local count, at = ('<I2'):unpack(zip, #zip - 11), nil
  assert(zip:sub(-22, -19) == 'PK\5\6', path .. ': not a zip file without a comment')
  at = ('<I4'):unpack(zip, #zip - 5) + 1
  for _ = 1, count do
    assert(zip:sub(at, at + 3) == 'PK\1\2', path)
    stamps[#stamps + 1] = at + 12
    local name, extra, comment = ('<I2I2I2'):unpack(zip, at + 28)
    stamps[#stamps + 1] = ('<I4'):unpack(zip, at + 42) + 1 + 10
    at = at + 46 + name + extra + comment
  end
  table.sort(stamps)
  local out, from = {}, 1
  for _, stamp in ipairs(stamps) do
    out[#out + 1] = zip:sub(from, stamp - 1) .. '\0\0\x21\0'
    from = stamp + 4
  end
  common.update(path, table.concat(out) .. zip:sub(from))
  return pandoc.Pandoc({})
end
