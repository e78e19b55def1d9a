// @fastify/session with connect-redis as its store: it writes the session on every request.

import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import Fastify from 'fastify'
import cookie from '@fastify/cookie'
import session from '@fastify/session'
import { RedisStore } from 'connect-redis'
import { createClient } from 'redis'
import { Browser, sessionId } from './browser.js'
import { address } from './address.js'

const name = (what) => `@fastify/session + connect-redis: ${what}`
let client
let app
let base
const keyOf = (browser) => `fastify:${sessionId(browser.cookie('sessionId'))}`

before(async () => {
  client = createClient({ socket: address })
  await client.connect()
  await client.flushAll()
  app = Fastify()
  await app.register(cookie)
  await app.register(session, {
    secret: 'a secret of this test alone, long enough for fastify',
    cookie: { secure: false, maxAge: 60_000 },
    saveUninitialized: false,
    store: new RedisStore({ client, prefix: 'fastify:' }),
  })
  app.post('/login', async (req) => {
    await req.session.regenerate()
    req.session.user = req.body.user
    req.session.cart = []
    return { user: req.session.user }
  })
  app.post('/cart', async (req) => {
    req.session.cart = [...(req.session.cart ?? []), req.body.item]
    return { cart: req.session.cart }
  })
  app.get('/me', async (req) => ({ user: req.session.user ?? null, cart: req.session.cart ?? [] }))
  app.post('/logout', async (req) => {
    await req.session.destroy()
    return { user: null }
  })
  base = await app.listen({ port: 0, host: '127.0.0.1' })
})
after(async () => {
  await app.close()
  await client.close()
})

const loggedIn = async (user) => {
  const browser = new Browser(base)
  await browser.post('/login', { user })
  return browser
}

test(name('login, cart, and a stored session with a lifetime'), async () => {
  const browser = await loggedIn('ann')
  await browser.post('/cart', { item: 'tea' })
  await browser.post('/cart', { item: 'cup' })
  assert.deepEqual((await browser.get('/me')).body, { user: 'ann', cart: ['tea', 'cup'] })
  const ttl = await client.ttl(keyOf(browser))
  assert.ok(ttl > 50 && ttl <= 60, `lifetime ${ttl} s`)
})

test(name('every request writes the session and so renews its lifetime'), async () => {
  const browser = await loggedIn('ann')
  await client.expire(keyOf(browser), 5)
  await browser.get('/me')
  assert.ok((await client.ttl(keyOf(browser))) > 50)
})

test(name('regenerate gives a new id'), async () => {
  const browser = await loggedIn('ann')
  const oldKey = keyOf(browser)
  await browser.post('/login', { user: 'bob' })
  assert.notEqual(keyOf(browser), oldKey)
  assert.equal((await browser.get('/me')).body.user, 'bob')
})

test(name('logout destroys the session'), async () => {
  const browser = await loggedIn('ann')
  const key = keyOf(browser)
  await browser.post('/logout')
  assert.equal(await client.exists(key), 0)
  assert.equal((await browser.get('/me')).body.user, null)
})
