// One Firefox for a test file, through WebDriver BiDi, which it speaks by itself; and pages from
// files in it. Where there is no Firefox, `test` skips.
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import nodeTest, { after, before } from 'node:test'
import { pathToFileURL } from 'node:url'
import { site } from './paths.js'

const { ws: WebSocket } = createRequire(import.meta.url)('playwright-core/lib/utilsBundle')
const program = ['/usr/bin/firefox-esr', '/usr/bin/firefox', '/Applications/Firefox.app/Contents/MacOS/firefox']
  .find((name) => fs.existsSync(name))
export const test = program ? nodeTest : nodeTest.skip

let firefox, socket, profile, sent = 0
const waiting = new Map(), listeners = new Set()
function send(method, params = {}) {
  return new Promise((done, failed) => {
    waiting.set(++sent, { done, failed })
    socket.send(JSON.stringify({ id: sent, method, params }))
  })
}
if (program) before(async () => {
  profile = fs.mkdtempSync(path.join(os.tmpdir(), 'firefox-'))
  // It looks for nothing in the network; port 0 is any free one.
  fs.writeFileSync(path.join(profile, 'user.js'), ['app.normandy.enabled', 'app.update.enabled', 'browser.safebrowsing.malware.enabled',
    'network.captive-portal-service.enabled', 'network.connectivity-service.enabled', 'datareporting.healthreport.uploadEnabled']
    .map((name) => `user_pref("${name}", false);\n`).join(''))
  firefox = spawn(program, ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0'],
    { env: { ...process.env, HOME: profile }, stdio: ['ignore', 'ignore', 'pipe'] })
  const place = await new Promise((done, failed) => {
    let said = ''
    firefox.stderr.on('data', (text) => {
      said += text
      const found = said.match(/WebDriver BiDi listening on (ws:\S+)/)
      if (found) done(found[1])
    })
    firefox.on('exit', () => failed(Error('Firefox did not start: ' + said)))
  })
  socket = new WebSocket(place + '/session')
  await new Promise((done, failed) => { socket.on('open', done); socket.on('error', failed) })
  socket.on('message', (text) => {
    const message = JSON.parse(text), call = waiting.get(message.id)
    if (!call) return listeners.forEach((listener) => listener(message))
    waiting.delete(message.id)
    message.type === 'error' ? call.failed(Error(message.message)) : call.done(message.result)
  })
  await send('session.new', { capabilities: {} })
  await send('session.subscribe', { events: ['log.entryAdded', 'network.beforeRequestSent'] })
})
after(async () => {
  if (!firefox) return
  socket?.close()
  firefox.removeAllListeners('exit')
  const gone = new Promise((done) => firefox.on('exit', done))
  firefox.kill()
  await gone
  fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
})

const KEYS = { Tab: '\uE004', Enter: '\uE007', Escape: '\uE00C', Shift: '\uE008', ArrowDown: '\uE015', ArrowLeft: '\uE012', ArrowRight: '\uE014' }

// Open a page; errors that it logs, and what it asks the network for, land in trouble.
export async function open(name, { width = 1440, height = 900 } = {}) {
  const { context } = await send('browsingContext.create', { type: 'tab' })
  const trouble = []
  const listener = ({ method, params }) => {
    if ((params?.source ?? params)?.context !== context) return
    if (method === 'log.entryAdded' && params.level === 'error' && !/MathML attribute/.test(params.text)) trouble.push(params.text)
    if (method === 'network.beforeRequestSent' && !/^(file|data|blob):/.test(params.request.url)) trouble.push('asks for ' + params.request.url)
  }
  listeners.add(listener)
  await send('browsingContext.setViewport', { context, viewport: { width, height } })
  await send('browsingContext.navigate', { context, url: pathToFileURL(path.join(site, name)).href, wait: 'complete' })
  async function evaluate(what, ...values) {
    const functionDeclaration = typeof what === 'string' ? `() => (${what})` : String(what)
    const { result, exceptionDetails } = await send('script.callFunction', { functionDeclaration: `async (given) => JSON.stringify(await (${functionDeclaration})(...JSON.parse(given)) ?? null)`,
      arguments: [{ type: 'string', value: JSON.stringify(values) }], target: { context }, awaitPromise: true })
    if (exceptionDetails) throw Error(exceptionDetails.text)
    return JSON.parse(result.value)
  }
  const key = (actions) => send('input.performActions', { context, actions: [{ type: 'key', id: 'keys', actions }] })
  const press = (name) => key([{ type: 'keyDown', value: KEYS[name] ?? name }, { type: 'keyUp', value: KEYS[name] ?? name }])
  return {
    evaluate, press, trouble,
    type: (text) => key([...text].flatMap((value) => [{ type: 'keyDown', value }, { type: 'keyUp', value }])),
    async until(what, ...values) {
      for (const end = Date.now() + 30000; Date.now() < end; await new Promise((done) => setTimeout(done, 50)))
        if (await evaluate(what, ...values)) return
      throw Error('waited in vain for ' + what)
    },
    async close() {
      listeners.delete(listener)
      await send('browsingContext.close', { context })
    },
  }
}
