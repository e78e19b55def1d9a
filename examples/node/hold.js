// Exclusive access to a session for express-session with connect-redis on Tenure.
//
// Mount it on the routes that change the session. While one request of a user works, the next one of
// the same user waits in line, then sees what the first one wrote. The wait needs a connection of its
// own, as any blocking command does, so it takes a pool: `createClientPool({ url })` of node-redis.

import { once } from 'node:events'

/** Holds the session at `prefix + req.sessionID` from here until the response is sent. */
export function hold(pool, { prefix = 'sess:', holdMs = 10_000, waitMs = 5_000 } = {}) {
  return (req, res, next) => pool.execute(async (client) => {
    const key = prefix + req.sessionID
    const opened = await client.sendCommand(['SESSION.OPEN', key, 'HOLD', `${holdMs}`, 'WAIT', `${waitMs}`])
    if (opened === null) return next() // no session yet, so nobody to exclude
    const fence = `${opened.fence}`
    const commit = (_id, session, done) =>
      client.sendCommand(['SESSION.COMMIT', key, fence, 'DATA', JSON.stringify(session)]).then(() => done(), done)
    req.sessionStore = Object.create(req.sessionStore, { set: { value: commit } })
    const closed = once(res, 'close')
    req.session.reload(next) // what the request before this one may have changed
    await closed
    await client.sendCommand(['SESSION.RELEASE', key, fence]).catch(() => {}) // a commit has released it
  }).catch(next)
}
