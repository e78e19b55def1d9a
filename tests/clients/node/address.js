// Where the server under test listens, as every suite of this folder is told.

const [host, port] = (process.env.TENURE_ADDR ?? '').split(':')
if (!host || !port) throw new Error('set TENURE_ADDR to host:port of the server under test')

export const address = { host, port: Number(port) }

/** True when the server under test is Tenure; false for the reference, Redis. */
export const isTenure = process.env.TENURE_SERVER === 'tenure'

/** Polls `probe` until it answers true; fails loudly after `limitMs`. */
export async function eventually(what, probe, limitMs = 10_000) {
  const deadline = Date.now() + limitMs
  while (!(await probe())) {
    if (Date.now() > deadline) throw new Error(`not within ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
