// Two concurrent requests of one user, each adding one item to the cart: express-session with
// connect-redis writes the whole session back, so the later save erases the earlier one. With a hold
// the second request waits for the first.

import { createClient, createClientPool } from 'redis'
import { hold } from '../../../../examples/node/hold.js'
import { address, isTenure } from '../address.js'
import { Browser } from '../browser.js'
import { startShop } from '../shop-express.js'
import { finish, say, seen } from './telling.js'

const WORK_MS = 100
const client = createClient({ socket: address })
await client.connect()

/** Adds all items at once, through one browser; answers the cart that is left. */
async function addAtOnce(shop, items) {
  const browser = new Browser(shop.base)
  await browser.post('/login', { user: 'ann' })
  const replies = await Promise.all(items.map((item) => browser.post('/cart', { item })))
  for (const [n, reply] of replies.entries()) say(`  request ${n + 1} adds ${items[n]}: ${reply.status}, its cart ${JSON.stringify(reply.body.cart)}`)
  const { cart } = (await browser.get('/cart')).body
  say(`  the cart afterwards: ${JSON.stringify(cart)}`)
  return cart
}

say('Without a hold:')
const plain = await startShop(client, { slowMs: WORK_MS })
seen('without a hold, one of two concurrent updates is lost', (await addAtOnce(plain, ['tea', 'cup'])).length === 1)
await plain.stop()

if (isTenure) {
  const pool = await createClientPool({ socket: address }).connect()
  const held = await startShop(client, { slowMs: WORK_MS, beforeCart: hold(pool) })
  say('With a hold (examples/node/hold.js):')
  const cart = await addAtOnce(held, ['tea', 'cup'])
  seen('with a hold, both updates are kept', cart.length === 2 && cart.includes('tea') && cart.includes('cup'))
  const items = Array.from({ length: 12 }, (_, n) => `item${n}`)
  say('With a hold, twelve at once:')
  const many = await addAtOnce(held, items)
  seen('with a hold, twelve concurrent updates are all kept', items.every((item) => many.includes(item)) && many.length === 12)
  await held.stop()
  await pool.close()
} else {
  say('This server is Redis: it has no hold.')
}
await client.close()
finish()
