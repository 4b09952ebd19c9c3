-- The EPUB's text: the documents that the filter wrote, one after the other.

function Reader(input)
  local blocks = pandoc.List()
  for _, source in ipairs(input) do blocks:extend(pandoc.read(source.text, 'json').blocks) end
  return pandoc.Pandoc(blocks)
end
