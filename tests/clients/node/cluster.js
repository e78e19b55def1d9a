// ioredis 6 and node-redis 6 as clients of a cluster.

import { after, before, test } from 'node:test'
import assert from 'node:assert/strict'
import { createCluster } from 'redis'
import { Cluster } from 'ioredis'
import { address, eventually } from './address.js'

const nodes = JSON.parse(process.env.TENURE_NODES).map(({ address, pid }) => {
  const [host, port] = address.split(':')
  return { host, port: Number(port), pid }
})
const keys = Array.from({ length: 300 }, (_, n) => `k:${n}`)

let io
before(async () => {
  io = new Cluster([address], { redisOptions: { connectTimeout: 2_000 } })
  await Promise.all(io.nodes('master').map((node) => node.flushall()))
})
after(() => io.disconnect())

test('ioredis 6 cluster: keys of all slots are found where they are', async () => {
  await Promise.all(keys.map((key) => io.set(key, key)))
  assert.deepEqual(await Promise.all(keys.map((key) => io.get(key))), keys)
  assert.equal(io.nodes('master').length, 3)
  const sizes = await Promise.all(io.nodes('master').map((node) => node.dbsize()))
  assert.equal(sizes.reduce((sum, size) => sum + size), 300)
})

test('ioredis 6 cluster: keys of one slot in one command, and in a pipeline', async () => {
  assert.equal(await io.mset('{t}a', 1, '{t}b', 2), 'OK')
  assert.deepEqual(await io.mget('{t}a', '{t}b'), ['1', '2'])
  assert.deepEqual(await io.pipeline().incr('{t}a').get('{t}b').exec(), [[null, 2], [null, '2']])
  await assert.rejects(io.mget('a', 'b'), /CROSSSLOT/)
})

test('ioredis 6 cluster: sessions are scanned on each master', async () => {
  const found = new Set()
  for (const node of io.nodes('master')) {
    for await (const page of node.scanStream({ match: 'k:*', count: 50 })) page.forEach((key) => found.add(key))
  }
  assert.equal(found.size, 300)
})

for (const protocol of [2, 3]) {
  test(`node-redis 6 cluster over RESP${protocol}: keys, pipelines, scans`, async () => {
    const client = createCluster({ rootNodes: [{ socket: address }], defaults: { RESP: protocol } })
    await client.connect()
    await Promise.all(keys.map((key) => client.set(key, key)))
    assert.deepEqual(await Promise.all(keys.map((key) => client.get(key))), keys)
    assert.equal(await client.hSet('{t}hash', { a: '1', b: '2' }), 2 - Number(protocol === 3) * 2)
    assert.deepEqual({ ...(await client.hGetAll('{t}hash')) }, { a: '1', b: '2' })
    assert.equal(client.masters.length, 3)
    await client.close()
  })
}

test('ioredis 6 and node-redis 6 cluster: when a primary is killed, both find its successor', async () => {
  const rootNodes = nodes.map(({ host, port }) => ({ socket: { host, port } }))
  const client = createCluster({ rootNodes, defaults: { socket: { connectTimeout: 2_000 } } })
  client.on('error', () => {})
  await client.connect()
  await io.set('foo', 'before')
  await new Promise((resolve) => setTimeout(resolve, 200)) // Redis replicates after it has acknowledged.
  const slots = await io.cluster('SLOTS')
  const [, , [, owner]] = slots.find(([first, last]) => first <= 12182 && 12182 <= last)
  process.kill(nodes.find(({ port }) => port === owner).pid, 'SIGKILL')
  await eventually('ioredis reads on', async () => (await io.get('foo').catch(() => null)) === 'before', 20_000)
  await eventually('node-redis reads on', async () => (await client.get('foo').catch(() => null)) === 'before', 20_000)
  await eventually('node-redis writes', async () => (await client.set('foo', 'after').catch(() => null)) === 'OK', 20_000)
  assert.equal(await io.get('foo'), 'after')
  client.destroy()
})
