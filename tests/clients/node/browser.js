// A browser, as far as sessions are concerned: it keeps cookies and sends them back.

export class Browser {
  #cookies = new Map()
  #base

  /** @param {string} base origin of the application, without a slash at the end */
  constructor(base) {
    this.#base = base
  }

  /** Takes over the cookies of another browser, as when a user comes back to another web server. */
  adopt(other) {
    this.#cookies = new Map(other.#cookies)
  }

  cookie(name) {
    return this.#cookies.get(name)
  }

  get(path) {
    return this.#request('GET', path)
  }

  post(path, body) {
    return this.#request('POST', path, body)
  }

  /** Sends one request; answers with status, parsed body and the cookies that it set. */
  async #request(method, path, body) {
    const headers = { cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ') }
    if (body !== undefined) headers['content-type'] = 'application/json'
    const response = await fetch(this.#base + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      redirect: 'manual',
    })
    const setCookies = response.headers.getSetCookie()
    for (const line of setCookies) this.#store(line)
    const text = await response.text()
    return { status: response.status, body: text === '' ? null : JSON.parse(text), setCookies }
  }

  #store(line) {
    const [pair] = line.split(';')
    const split = pair.indexOf('=')
    const [name, value] = [pair.slice(0, split), pair.slice(split + 1)]
    const expires = /expires=([^;]+)/i.exec(line)
    if (value === '' || (expires && Date.parse(expires[1]) <= Date.now())) this.#cookies.delete(name)
    else this.#cookies.set(name, value)
  }
}

/** The session id inside a signed cookie value `s:<id>.<signature>` or `<id>.<signature>`. */
export function sessionId(cookie) {
  return decodeURIComponent(cookie).replace(/^s:/, '').split('.')[0]
}
