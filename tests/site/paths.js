// Where the book is, and which of its pages to look at.
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const site = path.join(root, 'book/html')
// The pages of the suites are made alike: where looking takes long, one stands for all.
export const unlike = (name) => !/^test-[^1]/.test(name)
// The figures that the reader moves, by what build/live calls them.
export const figures = fs.readdirSync(site).filter((name) => name.endsWith('.html')).flatMap((page) =>
  [...fs.readFileSync(path.join(site, page), 'utf8').matchAll(/<figure id="([^"]*)" data-live="([^"]*)"/g)].map(([, id, live]) => ({ page, id, live })))
