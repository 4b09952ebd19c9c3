// One browser for a test file, and pages from files in it.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { after, before } from 'node:test'
import { pathToFileURL } from 'node:url'
import { chromium } from 'playwright-core'
import { root, site } from './paths.js'

let browser
before(async () => {
  const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'].find((name) => fs.existsSync(name))
  if (!executablePath) throw new Error('Chromium is not installed. Type: ./setup test')
  browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
})
after(() => browser?.close())

// Open a page; whatever it says on the console, or asks for, lands in trouble.
export async function open(name, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options })
  const page = await context.newPage()
  const trouble = []
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && trouble.push(message.text()))
  page.on('pageerror', (error) => trouble.push(String(error)))
  page.on('request', (request) => /^(file|data):/.test(request.url()) || trouble.push('asks for ' + request.url()))
  page.on('requestfailed', (request) => trouble.push('cannot get ' + request.url()))
  const [file, ...hash] = name.split('#')
  await page.goto([pathToFileURL(path.join(site, file)).href, ...hash].join('#'))
  return { page, trouble, close: () => context.close() }
}

// What axe finds wrong in parts of a page: nothing; and no color that is hard to read, light or dark.
const axe = fs.readFileSync(path.join(root, 'tests/site/node_modules/axe-core/axe.min.js'), 'utf8')
export async function accessible(page, include) {
  if (!await page.evaluate(() => globalThis.axe !== undefined)) await page.evaluate(axe)
  const look = async (options) => {
    const found = await page.evaluate(([include, options]) => globalThis.axe.run({ include }, { preload: false, ...options }), [include, options])
    assert.deepEqual(found.violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')), [])
  }
  const dark = await page.evaluate(() => matchMedia('(prefers-color-scheme: dark)').matches)
  await look({})
  await page.emulateMedia({ colorScheme: dark ? 'light' : 'dark' })
  await look({ runOnly: ['color-contrast'] })
  await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light' })
}
