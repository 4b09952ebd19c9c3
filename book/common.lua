-- What the reader and the filters share: marks, tables as text, near names.
local M = {}

M.OPEN, M.CLOSE = utf8.char(0xE000), utf8.char(0xE001)
M.MARK = M.OPEN .. '(%l)([%w_]*)' .. M.CLOSE

function M.mark(kind, text)
  return M.OPEN .. kind .. text:gsub('[^%w]', function(c)
    return ('_%02X'):format(c:byte())
  end) .. M.CLOSE
end

function M.decode(text)
  return (text:gsub('_(%x%x)', function(h) return string.char(tonumber(h, 16)) end))
end

-- A LaTeX label, free of what means something else in verbatim text.
function M.label(id)
  return (id:gsub('-', ':'):gsub('_', '..'))
end

-- A table of strings, numbers, lists and tables as Lua text, keys sorted.
function M.write(value, indent)
  indent = indent or ''
  if type(value) ~= 'table' then
    return type(value) == 'string' and ('%q'):format(value) or tostring(value)
  end
  local out, keys, inner = {}, {}, indent .. ' '
  for _, item in ipairs(value) do
    out[#out + 1] = inner .. M.write(item, inner)
  end
  for key in pairs(value) do
    if type(key) == 'string' then keys[#keys + 1] = key end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    out[#out + 1] = ('%s[%q] = %s'):format(inner, key, M.write(value[key], inner))
  end
  if #out == 0 then return '{}' end
  return '{\n' .. table.concat(out, ',\n') .. ' }'
end

function M.load(text, name)
  local chunk, problem = load(text, name, 't', {})
  if not chunk then error(problem, 0) end
  return chunk()
end

function M.slurp(path)
  local file = io.open(path, 'rb')
  if not file then return nil end
  local text = file:read('a')
  file:close()
  return text
end

-- The first line of a file that contains the text, not followed by more of
-- the same word; 1 if there is none.
function M.line_of(path, text)
  local n = 0
  for line in ((M.slurp(path) or '') .. '\n'):gmatch('(.-)\n') do
    n = n + 1
    local _, last = line:find(text, 1, true)
    if last and not line:sub(last + 1, last + 1):match('[%w_]') then return n end
  end
  return 1
end

-- Write a file only if its text changes, so that make sees no news.
function M.update(path, text)
  if M.slurp(path) == text then return end
  local temporary = path .. '.tmp'
  local file = assert(io.open(temporary, 'wb'))
  file:write(text)
  file:close()
  assert(os.rename(temporary, path))
end

local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
      diagonal, row[j] = row[j], best
    end
  end
  return row[#b]
end

-- Up to five of the names, nearest first, as words for a message.
function M.near(name, names)
  local list = {}
  for _, n in ipairs(names) do
    list[#list + 1] = { n, distance(name, n) - (n:find(name, 1, true) and #n or 0) }
  end
  table.sort(list, function(a, b)
    if a[2] ~= b[2] then return a[2] < b[2] end
    return a[1] < b[1]
  end)
  local out = {}
  for i = 1, math.min(5, #list) do out[i] = list[i][1] end
  return #out > 0 and table.concat(out, ', ') or 'none'
end

return M
