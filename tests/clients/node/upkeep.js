// node-redis 6 and ioredis 6, as they come, while every node of a cluster is restarted, one after the other: the application must
// see no error.

import { afterEach, test } from 'node:test'
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
      // What a write that failed has left is not known.
      if (await this.timed(`SET ${key}`, () => this.set(key, value), 'OK')) {
        await this.timed(`GET ${key}`, () => this.get(key), value)
      }
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
    return !wrong
  }

  async end() {
    this.ends = true
    await Promise.all(this.runs)
  }
}

const restartAll = async () => {
  for (const number of nodes.keys()) await ask(`restart ${number + 1}`)
}

/** Lets clients work while `work` is done; answers their errors. */
async function under(work, what, clients) {
  const loads = clients.map((client, n) => new Load((key, value) => client.set(key, value), (key) => client.get(key), `${what} ${n}`))
  try {
    await eventually('all have begun', () => loads.every((load) => load.requests > 1_000))
    await work()
  } finally {
    await Promise.all(loads.map((load) => load.end()))
  }
  for (const { requests, errors, longest, which } of loads) {
    console.log(`| ${what}: ${requests} requests, ${errors.length} errors, longest ${longest.toFixed(0)} ms (${which})`)
  }
  return loads.flatMap(({ errors }) => errors)
}

// What a test has opened ends with it, whatever came of it: a client that goes on connecting keeps the process.
const opened = []
afterEach(() => opened.splice(0).forEach((client) => (client.destroy ?? client.disconnect).call(client)))

/** The library's own complaints ("error" events) are no errors of a request; they are shown. */
function listening(client) {
  client.on('error', (error) => console.log(`| event: ${error}`))
  opened.push(client)
  return client
}

const timeout = 180_000
const cluster = () => listening(createCluster({ rootNodes: nodes.map(({ listen }) => ({ socket: listen })) }))
const forwarded = (RESP) => listening(createClient({ RESP, socket: nodes[0].forward }))

test('node-redis 6 createCluster: all nodes restarted', { timeout }, async () => {
  const client = await cluster().connect()
  assert.deepEqual(await under(restartAll, 'node-redis 6 createCluster, all nodes restarted', [client]), [])
})

test('node-redis 6 createClient at a forwarding port, with notifications: all nodes restarted', { timeout }, async () => {
  const client = await forwarded(3).connect()
  assert.deepEqual(await under(restartAll, 'node-redis 6 at a forwarding port, all nodes restarted', [client]), [])
})

test('node-redis 6 createClient at a forwarding port over RESP2: only what was under way when the port ended fails', { timeout }, async () => {
  const client = await forwarded(2).connect()
  const errors = await under(restartAll, 'node-redis 6 at a forwarding port over RESP2, all nodes restarted', [client])
  const others = errors.filter((error) => !/Socket closed unexpectedly|EPIPE|ECONNRESET/.test(error))
  assert.deepEqual(others, [])
  assert.ok(errors.length <= nodes.length * 4, `${errors.length} errors`)
})

test('ioredis 6 Cluster: all nodes restarted', { timeout }, async () => {
  const client = listening(new Cluster(nodes.map(({ listen }) => listen)))
  assert.deepEqual(await under(restartAll, 'ioredis 6 Cluster, all nodes restarted', [client]), [])
})

test('ioredis 6 at a forwarding port: all nodes restarted', { timeout }, async () => {
  const client = listening(new Redis(nodes[0].forward))
  assert.deepEqual(await under(restartAll, 'ioredis 6 at a forwarding port, all nodes restarted', [client]), [])
})

test('all of them: a node is added, and another drained and stopped', { timeout }, async () => {
  const redis = [await cluster().connect(), await forwarded(3).connect()]
  const io = listening(new Cluster(nodes.map(({ listen }) => listen)))
  const work = async () => {
    for (const line of ['start 4', 'drain 1', 'stop 1']) await ask(line)
  }
  const what = 'node-redis 6 createCluster, createClient at a forwarding port, ioredis 6 Cluster, a node drained'
  assert.deepEqual(await under(work, what, [...redis, io]), [])
})
