// express-session with connect-redis on node-redis: the whole life of a session, through HTTP.

import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { promisify } from 'node:util'
import { createClient } from 'redis'
import { Browser, sessionId } from './browser.js'
import { startShop } from './shop-express.js'
import { address, eventually } from './address.js'

// Both protocols: 3 is the default of node-redis since version 6, 2 is what older ones speak.
for (const protocol of [3, 2]) {
  const name = (what) => `express-session + connect-redis over RESP${protocol}: ${what}`
  let client
  let shop
  const keyOf = (browser) => `sess:${sessionId(browser.cookie('connect.sid'))}`

  before(async () => {
    client = createClient({ socket: address, RESP: protocol })
    await client.connect()
    await client.flushAll()
    shop = await startShop(client)
  })
  after(async () => {
    await shop.stop()
    await client.close()
  })

  const loggedIn = async (user) => {
    const browser = new Browser(shop.base)
    await browser.post('/login', { user })
    return browser
  }

  test(name('login is remembered and stored under sess: with a lifetime'), async () => {
    const browser = await loggedIn('ann')
    assert.deepEqual((await browser.get('/me')).body, { user: 'ann' })
    const stored = JSON.parse(await client.get(keyOf(browser)))
    assert.equal(stored.user, 'ann')
    const ttl = await client.ttl(keyOf(browser))
    assert.ok(ttl > 86_390 && ttl <= 86_400, `lifetime ${ttl} s`)
  })

  test(name('a cart grows over requests and two browsers stay apart'), async () => {
    const [ann, bob] = [await loggedIn('ann'), await loggedIn('bob')]
    await ann.post('/cart', { item: 'tea' })
    await bob.post('/cart', { item: 'coffee' })
    await ann.post('/cart', { item: 'cup' })
    assert.deepEqual((await ann.get('/cart')).body.cart, ['tea', 'cup'])
    assert.deepEqual((await bob.get('/cart')).body.cart, ['coffee'])
  })

  test(name('reading touches: the lifetime starts anew, the value stays'), async () => {
    const browser = await loggedIn('ann')
    const before = await client.get(keyOf(browser))
    await client.expire(keyOf(browser), 10)
    await browser.get('/me')
    assert.ok((await client.ttl(keyOf(browser))) > 86_000)
    assert.equal(JSON.parse(await client.get(keyOf(browser))).user, JSON.parse(before).user)
  })

  test(name('regenerate gives a new id and removes the old one'), async () => {
    const browser = await loggedIn('ann')
    const oldKey = keyOf(browser)
    await browser.post('/login', { user: 'ann' })
    assert.notEqual(keyOf(browser), oldKey)
    assert.equal(await client.exists(oldKey), 0)
    assert.equal(await client.exists(keyOf(browser)), 1)
  })

  test(name('logout destroys the session'), async () => {
    const browser = await loggedIn('ann')
    const key = keyOf(browser)
    await browser.post('/logout')
    assert.equal(await client.exists(key), 0)
    assert.deepEqual((await browser.get('/me')).body, { user: null })
  })

  test(name('rolling cookies are sent again with each answer'), async () => {
    const rolling = await startShop(client, { session: { rolling: true, cookie: { maxAge: 60_000 } } })
    try {
      const browser = new Browser(rolling.base)
      await browser.post('/login', { user: 'ann' })
      const expiry = (response) => Date.parse(/Expires=([^;]+)/.exec(response.setCookies.join())[1])
      const first = expiry(await browser.get('/me'))
      await new Promise((resolve) => setTimeout(resolve, 1_100))
      assert.ok(expiry(await browser.get('/me')) > first)
      assert.ok((await client.ttl(keyOf(browser))) <= 60)
    } finally {
      await rolling.stop()
    }
  })

  test(name('a session that is not used expires'), async () => {
    const short = await startShop(client, { session: { cookie: { maxAge: 1_000 } } })
    try {
      const browser = new Browser(short.base)
      await browser.post('/login', { user: 'ann' })
      const key = keyOf(browser)
      assert.equal(await client.exists(key), 1)
      await eventually('the session is gone', async () => (await client.exists(key)) === 0)
      assert.deepEqual((await browser.get('/me')).body, { user: null })
    } finally {
      await short.stop()
    }
  })

  test(name('disableTTL stores without a lifetime'), async () => {
    const lasting = await startShop(client, { store: { disableTTL: true, prefix: 'lasting:' } })
    try {
      const browser = new Browser(lasting.base)
      await browser.post('/login', { user: 'ann' })
      assert.equal(await client.ttl(`lasting:${sessionId(browser.cookie('connect.sid'))}`), -1)
    } finally {
      await lasting.stop()
    }
  })

  test(name('a cookie that has already expired removes the stored session'), async () => {
    const { store } = shop
    const id = `stale-${protocol}`
    await client.set(`sess:${id}`, '{}')
    await promisify(store.set.bind(store))(id, { cookie: { expires: new Date(Date.now() - 5_000) } })
    assert.equal(await client.exists(`sess:${id}`), 0)
  })

  test(name('a session of 300 KB and of every script comes back unchanged'), async () => {
    const browser = await loggedIn('ann')
    const item = 'é漢字🧺\u0000"\\'.repeat(20_000)
    await browser.post('/cart', { item })
    assert.deepEqual((await browser.get('/cart')).body.cart, [item])
  })

  test(name('all, ids, length and clear see 3,000 sessions and nothing else'), async () => {
    const shopOfMany = await startShop(client, { store: { prefix: 'many:' } })
    const { store } = shopOfMany
    const call = (method, ...args) => promisify(store[method].bind(store))(...args)
    try {
      await client.set('other:key', 'stays')
      const ids = Array.from({ length: 3_000 }, (_, n) => `user-${n}`)
      await Promise.all(ids.map((id) => call('set', id, { cookie: {}, user: id })))
      assert.equal(await call('length'), ids.length)
      assert.deepEqual((await call('ids')).sort(), [...ids].sort())
      const all = await call('all')
      assert.equal(all.length, ids.length)
      assert.ok(all.every((entry) => entry.user === entry.id))
      await call('clear')
      assert.equal(await call('length'), 0)
      assert.equal(await client.get('other:key'), 'stays')
    } finally {
      await shopOfMany.stop()
    }
  })

  test(name('40 users at once, 10 requests each, never mix'), async () => {
    const users = Array.from({ length: 40 }, (_, n) => `user-${n}`)
    await Promise.all(users.map(async (user) => {
      const browser = await loggedIn(user)
      for (let n = 0; n < 10; n++) await browser.post('/cart', { item: `${user}:${n}` })
      const expected = Array.from({ length: 10 }, (_, n) => `${user}:${n}`)
      assert.deepEqual((await browser.get('/cart')).body.cart, expected)
    }))
  })

  test(name('an application that restarts finds its sessions again'), async () => {
    const browser = await loggedIn('ann')
    const other = await startShop(client)
    try {
      const moved = new Browser(other.base)
      moved.adopt(browser)
      assert.deepEqual((await moved.get('/me')).body, { user: 'ann' })
    } finally {
      await other.stop()
    }
  })
}
