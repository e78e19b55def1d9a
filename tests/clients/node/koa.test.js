// koa-session with koa-redis, which brings ioredis 4 and its handshake of one INFO.

import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import Koa from 'koa'
import koaRedis from 'koa-redis'
import koaSession from 'koa-session'
import { Browser } from './browser.js'
import { address, eventually } from './address.js'

const name = (what) => `koa-session + koa-redis (ioredis 4): ${what}`
const createSession = koaSession.default ?? koaSession.createSession ?? koaSession
let store
let server
let base

before(async () => {
  store = koaRedis({ ...address })
  await store.client.flushall()
  const app = new Koa()
  app.keys = ['a key of this test alone']
  app.use(createSession({ store, maxAge: 60_000, renew: true, rolling: true, key: 'koa.sess' }, app))
  app.use(route)
  server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  base = `http://127.0.0.1:${server.address().port}`
})
after(async () => {
  server.closeAllConnections()
  server.close()
  await store.quit()
})

async function route(ctx) {
  const url = new URL(ctx.url, base)
  if (url.pathname === '/login') {
    await ctx.session.regenerate()
    ctx.session.user = url.searchParams.get('user')
  } else if (url.pathname === '/cart') {
    ctx.session.cart = [...(ctx.session.cart ?? []), url.searchParams.get('item')]
  } else if (url.pathname === '/logout') {
    ctx.session = null
  }
  ctx.body = JSON.stringify({ user: ctx.session?.user ?? null, cart: ctx.session?.cart ?? [] })
}

const loggedIn = async (user) => {
  const browser = new Browser(base)
  await browser.post(`/login?user=${user}`)
  return browser
}

test(name('the store says that it is connected'), async () => {
  await eventually('connected', () => store.connected && store.status === 'ready')
})

test(name('login, cart, and a stored session with a lifetime'), async () => {
  const browser = await loggedIn('ann')
  await browser.post('/cart?item=tea')
  await browser.post('/cart?item=cup')
  assert.deepEqual((await browser.get('/me')).body, { user: 'ann', cart: ['tea', 'cup'] })
  // koa-session lets the store outlive the cookie by ten seconds.
  const ttl = await store.client.ttl(browser.cookie('koa.sess'))
  assert.ok(ttl > 60 && ttl <= 70, `lifetime ${ttl} s`)
})

test(name('a rolling session starts its lifetime anew with each request'), async () => {
  const browser = await loggedIn('ann')
  await store.client.expire(browser.cookie('koa.sess'), 5)
  await browser.get('/me')
  assert.ok((await store.client.ttl(browser.cookie('koa.sess'))) > 50)
})

test(name('logout destroys the session'), async () => {
  const browser = await loggedIn('ann')
  const key = browser.cookie('koa.sess')
  await browser.post('/logout')
  assert.equal(await store.client.exists(key), 0)
  assert.equal((await browser.get('/me')).body.user, null)
})
