// node-redis 6 and ioredis 6, as they come, while every node of a cluster is restarted, one after the other: the application must
// see no error.

import { test } from 'node:test'
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { createClient, createCluster } from 'redis'
import { Cluster, Redis } from 'ioredis'
import { eventually } from './address.js'

const split = (at) => {
  const [host, port] = at.split(':')
  return { host, port: Number(port) }
}
const nodes = JSON.parse(process.env.TENURE_NODES).map(({ address, forward }) => ({ listen: split(address), forward: split(forward) }))

/** Has one piece of work done (`restart 2`), and waits for it. */
function ask(line) {
  return new Promise((resolve, reject) => {
    const socket = connect(split(process.env.TENURE_UPKEEP))
    let answer = ''
    socket.on('error', reject)
    socket.on('data', (bytes) => {
      answer += bytes
      if (!answer.endsWith('\n')) return
      socket.end()
      if (answer.startsWith('ok')) resolve()
      else reject(new Error(`${line}: ${answer}`))
    })
    socket.write(`${line}\n`)
  })
}

/** Writes and reads without pause, four at a time; every error that the library lets through is kept. */
class Load {
  constructor(set, get, name) {
    Object.assign(this, { set, get, name, errors: [], requests: 0, longest: 0, which: '', ends: false, began: performance.now() })
    this.runs = [0, 1, 2, 3].map((lane) => this.run(`${name}:${lane}`))
  }

  async run(name) {
    for (let number = 0; !this.ends; number++) {
      const [key, value] = [`${name}:${number % 500}`, String(number)]
      await this.timed(`SET ${key}`, () => this.set(key, value), 'OK')
      await this.timed(`GET ${key}`, () => this.get(key), value)
    }
  }

  async timed(what, work, expected) {
    const began = performance.now()
    const when = `${what} after ${((began - this.began) / 1000).toFixed(1)} s`
    let wrong = null
    try {
      const answer = await work()
      if (answer !== expected) wrong = `${answer} instead of ${expected}`
    } catch (error) {
      wrong = String(error)
    }
    const took = performance.now() - began
    this.requests++
    if (took > this.longest) Object.assign(this, { longest: took, which: when })
    if (wrong) this.errors.push(`${when}, ${took.toFixed(0)} ms long: ${wrong}`)
  }

  async end() {
    this.ends = true
    await Promise.all(this.runs)
  }
}

async function allRestarted(what, client) {
  const load = new Load((key, value) => client.set(key, value), (key) => client.get(key), what)
  try {
    await eventually('it has begun', () => load.requests > 1_000)
    for (const number of nodes.keys()) await ask(`restart ${number + 1}`)
  } finally {
    await load.end()
  }
  const { requests, errors, longest, which } = load
  console.log(`| ${what}, all nodes restarted: ${requests} requests, ${errors.length} errors, longest ${longest.toFixed(0)} ms (${which})`)
  assert.deepEqual(errors.slice(0, 10), [])
  assert.ok(requests > 1_000)
}

/** The library's own complaints ("error" events) are no errors of a request; they are shown. */
function listening(client) {
  client.on('error', (error) => console.log(`| event: ${error}`))
  return client
}

test('node-redis 6 createCluster: all nodes restarted', { timeout: 180_000 }, async () => {
  const client = listening(createCluster({ rootNodes: nodes.map(({ listen }) => ({ socket: listen })) }))
  await client.connect()
  await allRestarted('node-redis 6 createCluster', client)
  client.destroy()
})

for (const RESP of [3, 2]) {
  test(`node-redis 6 createClient at a forwarding port, RESP${RESP}: all nodes restarted`, { timeout: 180_000 }, async () => {
    const client = listening(createClient({ RESP, socket: nodes[0].forward }))
    await client.connect()
    await allRestarted(`node-redis 6 at a forwarding port, RESP${RESP}`, client)
    client.destroy()
  })
}

test('ioredis 6 Cluster: all nodes restarted', { timeout: 180_000 }, async () => {
  const client = listening(new Cluster(nodes.map(({ listen }) => listen)))
  await allRestarted('ioredis 6 Cluster', client)
  client.disconnect()
})

test('ioredis 6 at a forwarding port: all nodes restarted', { timeout: 180_000 }, async () => {
  const client = listening(new Redis(nodes[0].forward))
  await allRestarted('ioredis 6 at a forwarding port', client)
  client.disconnect()
})
