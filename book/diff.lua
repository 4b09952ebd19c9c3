-- How one piece of C differs from another: which lines stay, come and go, and which words of
-- a line that stays otherwise.

local common = dofile('book/common.lua')

-- Two lists of n and m, matched in order so that the sum of worth(i, j) is the largest:
-- put(i, j) for each match, put(i) for what only the first has, put(nil, j) for the second.
local function align(n, m, worth, put)
  local best, of = { [n + 1] = {} }, {}
  for j = 1, m + 1 do best[n + 1][j] = 0 end
  for i = n, 1, -1 do
    best[i], of[i] = { [m + 1] = 0 }, {}
    for j = m, 1, -1 do
      of[i][j] = worth(i, j)
      best[i][j] = math.max(best[i + 1][j], best[i][j + 1], of[i][j] + best[i + 1][j + 1])
    end
  end
  local i, j = 1, 1
  while i <= n or j <= m do
    if i <= n and j <= m and of[i][j] > 0 and best[i][j] == of[i][j] + best[i + 1][j + 1] then
      put(i, j)
      i, j = i + 1, j + 1
    elseif i <= n and (j > m or best[i][j] == best[i + 1][j]) then
      put(i, nil)
      i = i + 1
    else
      put(nil, j)
      j = j + 1
    end
  end
end

local function letters(text) return #text:gsub('%s', '') end

-- Words, parts of names between underscores, and single characters.
local function tokens(line)
  local out = {}
  for space, word, other in line:gmatch('(%s*)(%w*)([^%s%w]?[\128-\191]*)') do
    for _, token in ipairs { space, word, other } do if token ~= '' then out[#out + 1] = token end end
  end
  return out
end

-- A line against the one that it stands for: runs of { old =, new = }, the two the same where
-- nothing changed; and the letters in common. Nil if words cannot show it: too little is the
-- same, a string or a comment begins or ends elsewhere, or both take more than a line.
local WIDE = 72
local function words(before, after)
  if (before .. after):find(common.OPEN, 1, true) then return nil end
  local a, b, runs, shared, width = tokens(before), tokens(after), {}, 0, 0
  local delimiters = (before .. ' ' .. after):find('[/*][/*]') and '[\'"\\/*]' or '[\'"\\]'
  local function glue(token) return token == '_' or token:match('^%s') end
  align(#a, #b, function(i, j) return a[i] == b[j] and (glue(a[i]) and 0.1 or #a[i]) or 0 end, function(i, j)
    local run = runs[#runs]
    local same = i ~= nil and j ~= nil
    if not run or run.same ~= same then
      run = { old = '', new = '', same = same }
      runs[#runs + 1] = run
    end
    run.old, run.new = run.old .. (i and a[i] or ''), run.new .. (j and b[j] or '')
  end)
  for _, run in ipairs(runs) do                 -- spaces alone are no change
    if not (run.old .. run.new):find('%S') then run.old, run.same = run.new, true end
  end
  for i = #runs - 1, 2, -1 do                   -- what only separates two changes belongs to them
    local last, run, next = runs[i - 1], runs[i], runs[i + 1]
    if run.same and not last.same and next and not next.same and glue(run.new) and #tokens(run.new) == 1 then
      last.old, last.new = last.old .. run.old .. next.old, last.new .. run.new .. next.new
      table.remove(runs, i + 1)
      table.remove(runs, i)
    end
  end
  for _, run in ipairs(runs) do
    width = width + utf8.len(run.new) + (run.same and 0 or utf8.len(run.old))
    if run.same then shared = shared + letters(run.new)
    elseif (run.old .. run.new):find(delimiters) then return nil end
  end
  if width > WIDE or 4 * shared < letters(before) + letters(after) then return nil end
  return runs, shared
end

local function lines(text)
  local out = {}
  for line in (text .. '\n'):gmatch('(.-)\n') do out[#out + 1] = line end
  return out
end

-- One sign a line, in the order of reading: = stays, - goes, + comes, ~ changes within; and
-- where in the new text words come and go: { at =, to =, old = } , to nil if none comes.
return function(before, after)
  local a, b, signs, places, starts, at = lines(before), lines(after), {}, {}, {}, 1
  for j, line in ipairs(b) do starts[j], at = at, at + #line + 1 end
  local runs_of = {}
  align(#a, #b, function(i, j)
    if a[i] == b[j] then return letters(a[i]) + 0.5 end
    local runs, shared = words(a[i], b[j])
    runs_of[i .. ' ' .. j] = runs
    return shared or 0
  end, function(i, j)
    local sign, place = not j and '-' or not i and '+' or '=', starts[j]
    for _, run in ipairs(i and j and a[i] ~= b[j] and runs_of[i .. ' ' .. j] or {}) do
      if not run.same then
        sign = '~'
        if run.old ~= '' then places[#places + 1] = { at = place, old = run.old } end
        for _, token in ipairs(tokens(run.new)) do
          places[#places + 1] = { at = place, to = place + #token - 1 }
          place = place + #token
        end
      else place = place + #run.new end
    end
    signs[#signs + 1] = sign
  end)
  return table.concat(signs), places
end
