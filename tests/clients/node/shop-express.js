// A small web shop on Express 5 with express-session and connect-redis: what their users write.

import express from 'express'
import session from 'express-session'
import { RedisStore } from 'connect-redis'
import { once } from 'node:events'

const DAY_MS = 86_400_000

/**
 * Starts the shop on a port of the system's choice.
 *
 * @param client a connected node-redis client
 * @param options `store` for connect-redis, `session` for express-session, `beforeCart` middleware
 *   of the route that adds to the cart, `slowMs` how long that route and `/slow` work between loading
 *   and saving the session, `onError` called with each error that a request ended in
 */
export async function startShop(client, options = {}) {
  const store = new RedisStore({ client, ...options.store })
  const app = express()
  app.use(express.json({ limit: '2mb' }))
  app.use(session({
    store,
    secret: 'a secret of this test alone',
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: DAY_MS },
    ...options.session,
  }))
  addRoutes(app, options)
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    base: `http://127.0.0.1:${server.address().port}`,
    store,
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function addRoutes(app, { slowMs = 0, beforeCart = (_req, _res, next) => next(), onError = () => {} }) {
  app.post('/login', (req, res, next) => {
    req.session.regenerate((error) => {
      if (error) return next(error)
      req.session.user = req.body.user
      req.session.cart = []
      res.json({ id: req.sessionID })
    })
  })
  app.get('/me', (req, res) => res.json({ user: req.session.user ?? null }))
  app.get('/cart', (req, res) => res.json({ cart: req.session.cart ?? [] }))
  app.post('/cart', beforeCart, async (req, res) => {
    const cart = req.session.cart ?? []
    await new Promise((resolve) => setTimeout(resolve, slowMs))
    req.session.cart = [...cart, req.body.item]
    res.json({ cart: req.session.cart })
  })
  app.post('/slow', async (req, res) => {
    await new Promise((resolve) => setTimeout(resolve, slowMs))
    req.session.visited = true
    res.json({ user: req.session.user ?? null })
  })
  app.post('/logout', (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.json({ user: null })))
  })
  app.use((error, _req, res, _next) => {
    onError(error)
    // A save that fails is reported when the answer is already on its way.
    if (!res.headersSent) res.status(500).json({ error: error.message })
  })
}
