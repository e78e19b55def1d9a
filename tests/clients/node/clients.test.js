// The clients below the middleware: their handshakes, and the replies that they must be able to read.

import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { createClient } from 'redis'
import { Redis as Redis6 } from 'ioredis'
import { address, eventually } from './address.js'

const Redis4 = createRequire(createRequire(import.meta.url).resolve('koa-redis'))('ioredis')
const firstVisit = createClient({ socket: address })
await firstVisit.connect()
await firstVisit.flushAll()
await firstVisit.close()

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, n) => n))

for (const protocol of [3, 2]) {
  const name = (what) => `node-redis 6 over RESP${protocol}: ${what}`
  const own = (key) => `resp${protocol}:${key}`
  let client

  before(async () => {
    client = createClient({ socket: address, RESP: protocol, name: `suite-${protocol}` })
    await client.connect()
  })
  after(() => client.close())

  test(name('the handshake leaves a ready client with its name set'), async () => {
    assert.ok(client.isReady)
    assert.equal(await client.ping(), 'PONG')
    assert.equal(await client.clientGetName(), `suite-${protocol}`)
    assert.equal(typeof (await client.clientId()), 'number')
  })

  test(name('every byte comes back'), async () => {
    await client.set(own('bytes'), everyByte)
    const raw = await client.sendCommand(['GET', own('bytes')], { typeMapping: { 36: Buffer } })
    assert.deepEqual(raw, everyByte)
  })

  test(name('SET options, and nil for what is absent'), async () => {
    assert.equal(await client.set(own('k'), 'one', { condition: 'NX' }), 'OK')
    assert.equal(await client.set(own('k'), 'two', { condition: 'NX' }), null)
    assert.equal(await client.set(own('k'), 'two', { condition: 'XX', GET: true }), 'one')
    assert.equal(await client.set(own('k'), 'three', { expiration: { type: 'PX', value: 90_000 } }), 'OK')
    assert.ok((await client.pTTL(own('k'))) > 80_000)
    assert.equal(await client.get(own('absent')), null)
    assert.deepEqual(await client.mGet([own('k'), own('absent')]), ['three', null])
  })

  test(name('hashes come back as objects, and scans end'), async () => {
    const fields = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`f${n}`, `v${n}`]))
    assert.equal(await client.hSet(own('hash'), fields), 300)
    assert.deepEqual({ ...(await client.hGetAll(own('hash'))) }, fields)
    const scanned = {}
    for await (const page of client.hScanIterator(own('hash'), { COUNT: 10 })) {
      for (const { field, value } of page) scanned[field] = value
    }
    assert.deepEqual(scanned, fields)
    assert.equal(await client.hIncrBy(own('hash'), 'n', 5), 5)
    assert.equal(await client.hGet(own('hash'), 'absent'), null)
  })

  test(name('1,000 pipelined commands answer in order'), async () => {
    const replies = await Promise.all(Array.from({ length: 1_000 }, () => client.incr(own('counter'))))
    assert.deepEqual(replies, Array.from({ length: 1_000 }, (_, n) => n + 1))
  })

  test(name('errors reach the caller and the connection goes on'), async () => {
    await client.hSet(own('typed'), 'f', 'v')
    await assert.rejects(client.get(own('typed')), /WRONGTYPE/)
    await client.set(own('word'), 'x')
    await assert.rejects(client.incr(own('word')), /not an integer/)
    await assert.rejects(client.sendCommand(['NOSUCHCOMMAND']), /unknown command/)
    assert.equal(await client.ping(), 'PONG')
  })

  test(name('databases are apart'), async () => {
    await client.set(own('where'), 'zero')
    const other = createClient({ socket: address, RESP: protocol, database: 3 })
    await other.connect()
    assert.equal(await other.get(own('where')), null)
    await other.set(own('where'), 'three')
    assert.equal(await client.get(own('where')), 'zero')
    await other.flushDb()
    await other.close()
    assert.equal(await client.get(own('where')), 'zero')
  })

  test(name('a client whose connection was killed comes back by itself'), async () => {
    const victim = createClient({ socket: { ...address, reconnectStrategy: 10 }, RESP: protocol })
    victim.on('error', () => {})
    await victim.connect()
    await client.sendCommand(['CLIENT', 'KILL', 'ID', String(await victim.clientId())])
    await eventually('PING after reconnecting', () => victim.ping().then(() => true, () => false))
    await victim.close()
  })
}

for (const [label, Redis] of [['ioredis 6', Redis6], ['ioredis 4 (of koa-redis)', Redis4]]) {
  const name = (what) => `${label}: ${what}`
  const own = (key) => `${label}:${key}`
  let client

  before(async () => {
    client = new Redis({ ...address, db: 5, connectionName: 'suite', lazyConnect: true })
    await client.connect()
  })
  after(() => client.quit())

  test(name('the handshake ends in ready'), async () => {
    assert.equal(client.status, 'ready')
    assert.equal(await client.client('GETNAME'), 'suite')
  })

  test(name('every byte comes back'), async () => {
    await client.set(own('bytes'), everyByte)
    assert.deepEqual(await client.getBuffer(own('bytes')), everyByte)
  })

  test(name('strings, lifetimes and hashes'), async () => {
    assert.equal(await client.set(own('k'), 'v', 'EX', 90, 'NX'), 'OK')
    assert.equal(await client.set(own('k'), 'v', 'EX', 90, 'NX'), null)
    assert.ok((await client.ttl(own('k'))) > 80)
    await client.hset(own('h'), 'a', '1', 'b', '2')
    assert.deepEqual({ ...(await client.hgetall(own('h'))) }, { a: '1', b: '2' })
    assert.deepEqual(await client.hmget(own('h'), 'a', 'absent'), ['1', null])
  })

  test(name('a pipeline answers in order, errors in their places'), async () => {
    const replies = await client.pipeline().set(own('p'), '1').incr(own('p')).hget(own('p'), 'f').get(own('p')).exec()
    assert.deepEqual(replies.map(([error]) => error?.message.split(' ')[0] ?? null), [null, null, 'WRONGTYPE', null])
    assert.equal(replies[3][1], '2')
  })

  test(name('a scan stream sees every key'), async () => {
    await client.mset(...Array.from({ length: 1_000 }, (_, n) => [own(`scan:${n}`), 'v']).flat())
    const seen = new Set()
    for await (const page of client.scanStream({ match: own('scan:*'), count: 50 })) page.forEach((key) => seen.add(key))
    assert.equal(seen.size, 1_000)
  })
}
