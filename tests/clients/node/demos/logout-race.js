// A user logs out while a slow request of the same session is still at work; when that request ends,
// express-session saves the session that it had loaded, and the user is logged in again. Tenure's
// guard `no-resurrection` refuses that late write.

import { createClient } from 'redis'
import { setTimeout as sleep } from 'node:timers/promises'
import { address, isTenure } from '../address.js'
import { Browser } from '../browser.js'
import { startShop } from '../shop-express.js'
import { finish, say, seen } from './telling.js'

const client = createClient({ socket: address })
await client.connect()
const refused = []
const shop = await startShop(client, { slowMs: 400, onError: (error) => refused.push(error.message) })
const browser = new Browser(shop.base)
const otherTab = new Browser(shop.base)

await browser.post('/login', { user: 'ann' })
// The other tab keeps the cookie, as a browser with a stolen or an old cookie does.
otherTab.adopt(browser)
say(`ann logs in; /me says ${JSON.stringify((await otherTab.get('/me')).body)}`)
const slow = otherTab.post('/slow')
say('a slow request loads the session and works')
await sleep(150)
await browser.post('/logout')
say('meanwhile ann logs out: the session is destroyed')
await slow
for (const message of refused) say(`the slow request ends; its save is refused: ${message}`)
if (refused.length === 0) say('the slow request ends; its save is accepted')
const { user } = (await otherTab.get('/me')).body
say(`/me with the cookie from before the logout says ${JSON.stringify({ user })}`)

if (isTenure) {
  seen('the late save is refused with GONE', refused.length === 1 && refused[0].startsWith('GONE'))
  seen('ann stays logged out', user === null)
  await browser.post('/login', { user: 'ann' })
  seen('ann can log in again at once', (await browser.get('/me')).body.user === 'ann')
} else {
  seen('on Redis the session comes back after the logout', user === 'ann' && refused.length === 0)
}
await shop.stop()
await client.close()
finish()
