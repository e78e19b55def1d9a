// ioredis 6 and node-redis 6 with Sentinels.

import { test } from 'node:test'
import assert from 'node:assert/strict'
import { createSentinel } from 'redis'
import { Redis } from 'ioredis'
import { eventually } from './address.js'

const name = process.env.TENURE_MASTER
const sentinels = process.env.TENURE_SENTINELS.split(',').map((at) => {
  const [host, port] = at.split(':')
  return { host, port: Number(port) }
})
const nodes = JSON.parse(process.env.TENURE_NODES)
const keys = Array.from({ length: 200 }, (_, n) => `k:${n}`)
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

test('ioredis 6 with Sentinels: it finds the master, and another one when that is killed', async () => {
  const io = new Redis({ sentinels, name, connectTimeout: 2_000, failoverDetector: true, sentinelRetryStrategy: () => 50 })
  io.on('error', () => {})
  await Promise.all(keys.map((key) => io.set(key, key)))
  assert.deepEqual(await io.mget(...keys), keys)
  await io.set('foo', 'before')
  await pause(200) // Redis replicates after it has acknowledged.

  const other = createSentinel({ name, sentinelRootNodes: sentinels, scanInterval: 500 })
  other.on('error', () => {})
  await other.connect()
  assert.equal(await other.get('foo'), 'before')

  const asked = new Redis({ ...sentinels[0] })
  const [host, port] = await asked.call('SENTINEL', 'get-master-addr-by-name', name)
  process.kill(nodes.find(({ address }) => address === `${host}:${port}`).pid, 'SIGKILL')
  await eventually('ioredis writes', async () => (await io.set('foo', 'after').catch(() => null)) === 'OK', 30_000)
  assert.equal(await io.get('foo'), 'after')
  await eventually('node-redis reads on', async () => (await other.get('foo').catch(() => null)) === 'after', 30_000)
  io.disconnect()
  asked.disconnect()
  other.destroy()
})
