// Subscribe to a spikestream server from a browser or from Node.js: one file, no dependencies. MIT licence.
//
//   import { connect } from './spikestream.js'
//   const client = await connect('ws://127.0.0.1:7079', { topics: ['main.readout.decisions'] })
//   for await (const message of client) console.log(message.topic, message.data)
//
// Speaks SSP/1, which docs/wire.md specifies: over WebSocket (ws://, wss://; Node.js from 22 on), and in Node.js over tcp://HOST:PORT and
// unix:///PATH too. `Session` is the protocol without any connection, for other transports.

export const VERSION = 1
export const MAX_FRAME_EVER = 16 << 20 // bytes of a frame that a server may send
const MAX_FRAME_BEFORE_HELLO = 64 << 10
const MAX_CONTAINERS = 1 << 16 // maps and arrays in one frame
const MAX_ELEMENTS = 1 << 16 // of an array, a map, a text
const MAX_DEPTH = 64
const MAX_CHANNELS = 1024
const TEXT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const UTF8 = new TextEncoder()

/** The other end is missing, is something else, refused something, or broke the rules. */
export class SpikestreamError extends Error {
  constructor(text, code = '') {
    super(text)
    this.name = 'SpikestreamError'
    this.code = code
  }
}

// ---- msgpack, as much of it as the wire has -------------------------------------------------------------------------

/**
 * Return the value in a Uint8Array of msgpack.
 * Whole numbers are Numbers where these are exact and BigInts beyond; maps are Maps; bins are views, not copies.
 * Throws SpikestreamError for anything malformed, for ext types, and beyond the bounds of docs/wire.md.
 */
export function unpack(bytes) {
  const reader = new Unpacker(bytes)
  const value = reader.value(0)
  if (reader.at !== bytes.length) throw new SpikestreamError('a frame goes on behind its message')
  return value
}

class Unpacker {
  constructor(bytes) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.at = 0
    this.containers = MAX_CONTAINERS
  }

  take(size) {
    const at = this.at
    if (size > this.bytes.length - at) throw new SpikestreamError('a frame ends within its message')
    this.at = at + size
    return at
  }

  uint(size) {
    const at = this.take(size)
    if (size === 1) return this.view.getUint8(at)
    if (size === 2) return this.view.getUint16(at)
    if (size === 4) return this.view.getUint32(at)
    return exact(this.view.getBigUint64(at))
  }

  int(size) {
    const at = this.take(size)
    if (size === 1) return this.view.getInt8(at)
    if (size === 2) return this.view.getInt16(at)
    if (size === 4) return this.view.getInt32(at)
    return exact(this.view.getBigInt64(at))
  }

  value(depth) {
    const head = this.bytes[this.take(1)]
    if (head < 0x80) return head
    if (head < 0x90) return this.map(head & 15, depth)
    if (head < 0xa0) return this.array(head & 15, depth)
    if (head < 0xc0) return this.text(head & 31)
    if (head >= 0xe0) return head - 256
    switch (head) {
      case 0xc0: return null
      case 0xc2: return false
      case 0xc3: return true
      case 0xc4: case 0xc5: case 0xc6: return this.bin(this.uint(1 << (head - 0xc4)))
      case 0xca: return this.view.getFloat32(this.take(4))
      case 0xcb: return this.view.getFloat64(this.take(8))
      case 0xcc: case 0xcd: case 0xce: case 0xcf: return this.uint(1 << (head - 0xcc))
      case 0xd0: case 0xd1: case 0xd2: case 0xd3: return this.int(1 << (head - 0xd0))
      case 0xd9: case 0xda: case 0xdb: return this.text(this.uint(1 << (head - 0xd9)))
      case 0xdc: case 0xdd: return this.array(this.uint(2 << (head - 0xdc)), depth)
      case 0xde: case 0xdf: return this.map(this.uint(2 << (head - 0xde)), depth)
      default: throw new SpikestreamError(`a frame holds a type that messages have not: 0x${head.toString(16)}`)
    }
  }

  bin(size) {
    const at = this.take(size)
    return this.bytes.subarray(at, at + size)
  }

  text(size) {
    if (size > MAX_ELEMENTS) throw new SpikestreamError('a text is too long')
    try {
      return TEXT.decode(this.bin(size))
    } catch (error) {
      if (error instanceof SpikestreamError) throw error
      throw new SpikestreamError('a text is not UTF-8')
    }
  }

  open(size, depth) {
    if (size > MAX_ELEMENTS || depth >= MAX_DEPTH || --this.containers < 0) {
      throw new SpikestreamError('a frame holds more than a message may')
    }
  }

  array(size, depth) {
    this.open(size, depth)
    const made = []
    for (let i = 0; i < size; i++) made.push(this.value(depth + 1))
    return made
  }

  map(size, depth) {
    this.open(size, depth)
    const made = new Map()
    for (let i = 0; i < size; i++) {
      const key = this.value(depth + 1)
      if (typeof key !== 'string') throw new SpikestreamError('a key is no text')
      made.set(key, this.value(depth + 1))
    }
    return made
  }
}

function exact(big) {
  const number = Number(big)
  return Number.isSafeInteger(number) ? number : big
}

/** Return the msgpack of null, booleans, numbers, BigInts, strings, arrays, plain objects and Maps, as a Uint8Array. */
export function pack(value) {
  const out = []
  write(out, value)
  return Uint8Array.from(out)
}

function write(out, value) {
  if (value === null || value === undefined) out.push(0xc0)
  else if (value === false || value === true) out.push(value ? 0xc3 : 0xc2)
  else if (typeof value === 'bigint') writeInteger(out, value)
  else if (typeof value === 'number') Number.isSafeInteger(value) ? writeInteger(out, BigInt(value)) : writeFloat(out, value)
  else if (typeof value === 'string') writeText(out, value)
  else if (Array.isArray(value)) {
    writeHead(out, value.length, 0x90, 15, 0xdc)
    for (const one of value) write(out, one)
  } else writeMap(out, value instanceof Map ? [...value] : Object.entries(value))
}

function writeMap(out, entries) {
  writeHead(out, entries.length, 0x80, 15, 0xde)
  for (const [key, value] of entries) {
    writeText(out, String(key))
    write(out, value)
  }
}

function writeText(out, text) {
  const bytes = UTF8.encode(text)
  if (bytes.length < 32) out.push(0xa0 | bytes.length)
  else if (bytes.length < 256) out.push(0xd9, bytes.length)
  else writeHead(out, bytes.length, 0, -1, 0xda)
  for (const byte of bytes) out.push(byte)
}

function writeHead(out, size, small, most, head) {
  if (size <= most) out.push(small | size)
  else if (size < 65536) out.push(head, size >> 8, size & 255)
  else throw new SpikestreamError('a request is too large')
}

function writeInteger(out, big) {
  if (big < -(2n ** 63n) || big >= 2n ** 64n) throw new SpikestreamError(`${big} is too large a number`)
  if (big >= -32n && big < 128n) out.push(Number(big) & 255)
  else {
    out.push(big < 0n ? 0xd3 : 0xcf)
    for (let shift = 56n; shift >= 0n; shift -= 8n) out.push(Number((big >> shift) & 255n))
  }
}

function writeFloat(out, value) {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setFloat64(0, value)
  out.push(0xcb, ...bytes)
}

// ---- messages -------------------------------------------------------------------------------------------------------

/**
 * Return a data message from its Map. Times are µs as Numbers, `publishedNs` is a BigInt.
 * `data` of events is {t, x, y, p} (x and y may lie outside of `size`, as in their recording), of spikes {t, axon}, of sound {samples, channels}: typed arrays; of decisions an
 * array of {start, stop, label, confidence, scores, evidence}; of weights {layer, shape, dtype, rev, values};
 * of stats an object; of a gap {why}. `lost` is true of a gap that stands for `n` messages this subscriber lost,
 * numbers `seq` and on, with `data.rows` rows (null: nobody knows). `of` is how many rows there were before those asked
 * for were chosen, `at` of decisions when their batch came in and was made, unix ns.
 */
export function decode(fields) {
  const kind = text(fields, 'k')
  const topic = text(fields, 'c')
  if (kind === 'gap' && fields.has('from')) return lostMessage(topic, fields)
  const [start, stop] = [time(fields, 't0'), time(fields, 't1')]
  if (start > stop) throw new SpikestreamError(`a message runs backwards: [${start}, ${stop})`)
  const n = count(fields, 'n')
  const message = {
    kind, topic, seq: count(fields, 's'), publishedNs: nanoseconds(fields), start, stop, n, lost: false, known: true,
    data: null, at: madeAt(fields),
  }
  if (fields.has('of')) message.of = count(fields, 'of')
  if (message.of < n) throw new SpikestreamError(`a message has ${n} rows of ${message.of}`)
  if (!Object.hasOwn(DECODERS, kind)) return { ...message, known: false }
  message.data = DECODERS[kind](fields, n)
  if (kind === 'events') message.size = sensorSize(fields)
  if (kind === 'events' || kind === 'spikes') lawful(message)
  return message
}

const DECODERS = { events, spikes, sound, decisions, stats, weights, gap: (fields) => ({ why: text(fields, 'why') }) }

function lostMessage(topic, fields) {
  const [from, to, n] = ['from', 'to', 'n'].map((key) => count(fields, key))
  const rows = fields.has('rows') ? count(fields, 'rows') : null
  if (to - from !== n || n < 1) throw new SpikestreamError(`a gap from ${from} to ${to} cannot stand for ${n} messages`)
  const data = { from, to, rows, why: text(fields, 'why') }
  return { kind: 'gap', topic, seq: from, publishedNs: 0n, start: 0, stop: 0, n, lost: true, known: true, data }
}

function rowsOf(fields, n, bytes) {
  const data = fields.get('d')
  if (!(data instanceof Uint8Array) || data.length !== n * bytes) {
    throw new SpikestreamError(`a message of ${n} rows must hold ${n * bytes} bytes of data`)
  }
  return new DataView(data.buffer, data.byteOffset, data.byteLength)
}

function int64(view, at) {
  const high = view.getInt32(at + 4, true)
  const value = high * 4294967296 + view.getUint32(at, true)
  if (!Number.isSafeInteger(value)) throw new SpikestreamError('a time is too far off to be a Number')
  return value
}

function events(fields, n) {
  const view = rowsOf(fields, n, 13)
  const made = { t: new Float64Array(n), x: new Uint16Array(n), y: new Uint16Array(n), p: new Uint8Array(n) }
  for (let i = 0, at = 0; i < n; i++, at += 13) {
    made.t[i] = int64(view, at)
    made.x[i] = view.getUint16(at + 8, true)
    made.y[i] = view.getUint16(at + 10, true)
    made.p[i] = view.getUint8(at + 12)
    if (made.p[i] > 1) throw new SpikestreamError('a polarity is neither 0 nor 1')
  }
  return made
}

function spikes(fields, n) {
  const view = rowsOf(fields, n, 12)
  const made = { t: new Float64Array(n), axon: new Int32Array(n) }
  for (let i = 0, at = 0; i < n; i++, at += 12) {
    made.t[i] = int64(view, at)
    made.axon[i] = view.getInt32(at + 8, true)
    if (made.axon[i] < 0) throw new SpikestreamError('an axon is negative')
  }
  return made
}

function sound(fields, n) {
  const channels = fields.get('channels')
  if (!Number.isInteger(channels) || channels < 1 || channels > MAX_CHANNELS) {
    throw new SpikestreamError(`sound without a number of channels from 1 to ${MAX_CHANNELS}`)
  }
  const view = rowsOf(fields, n, 4 * channels)
  const samples = new Float32Array(n * channels)
  for (let i = 0; i < samples.length; i++) {
    samples[i] = view.getFloat32(4 * i, true)
    if (!Number.isFinite(samples[i])) throw new SpikestreamError('sound that is not finite')
  }
  return { samples, channels }
}

function decisions(fields, n) {
  const rows = fields.get('d')
  if (!Array.isArray(rows) || rows.length !== n || !rows.every((row) => row instanceof Map)) {
    throw new SpikestreamError(`a message of ${n} decisions must hold ${n} maps`)
  }
  return rows.map(decision)
}

function decision(row) {
  const [label, scores] = [row.get('label'), row.get('scores')]
  if (!(label === null || typeof label === 'string') || !(scores instanceof Map)) {
    throw new SpikestreamError('a decision needs a label or nil, and a map of scores')
  }
  return {
    start: time(row, 'start'), stop: time(row, 'stop'), label, confidence: number(row, 'confidence'),
    scores: Object.fromEntries([...scores.keys()].map((name) => [name, number(scores, name)])),
    evidence: number(row, 'evidence'),
  }
}

const NUMBERS = {
  float32: [4, 'getFloat32', Float32Array], float64: [8, 'getFloat64', Float64Array], int8: [1, 'getInt8', Int8Array],
  int16: [2, 'getInt16', Int16Array], int32: [4, 'getInt32', Int32Array], uint8: [1, 'getUint8', Uint8Array],
}

function weights(fields, n) {
  const [shape, dtype, layer] = [fields.get('shape'), text(fields, 'dtype'), text(fields, 'layer')]
  if (!Object.hasOwn(NUMBERS, dtype)) throw new SpikestreamError(`weights of an unknown type, ${dtype}`)
  const sizes = Array.isArray(shape) && shape.length >= 1 && shape.length <= 8 && shape.every((size) => Number.isInteger(size) && size >= 0 && size <= n)
  if (!sizes || shape.reduce((product, size) => product * size, 1) !== n) throw new SpikestreamError(`the shape of weights is not that of ${n}`)
  const [bytes, get, Values] = NUMBERS[dtype]
  const view = rowsOf(fields, n, bytes)
  return { layer, shape, dtype, rev: count(fields, 'rev'), values: Values.from({ length: n }, (_, i) => view[get](i * bytes, true)) }
}

function stats(fields) {
  if (!(fields.get('d') instanceof Map)) throw new SpikestreamError('stats hold no map')
  return plain(fields.get('d'))
}

/** Return a value of `unpack` with its Maps as plain objects. */
export function plain(value) {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, one]) => [key, plain(one)]))
  return Array.isArray(value) ? value.map(plain) : value
}

function sensorSize(fields) {
  const size = fields.get('size')
  if (size === undefined || size === null) return null
  const sides = Array.isArray(size) && size.length === 2 && size.every((side) => Number.isInteger(side) && side > 0 && side <= 65536)
  if (!sides) throw new SpikestreamError('a sensor size is not two numbers of pixels')
  return size
}

function lawful({ topic, seq, start, stop, n, data }) {
  for (let i = 0; i < n; i++) {
    const late = i && data.t[i] < data.t[i - 1]
    if (late || data.t[i] < start || data.t[i] >= stop) {
      throw new SpikestreamError(`message ${seq} of ${topic}: row ${i} is out of its place`)
    }
  }
}

function madeAt(fields) {
  const at = fields.get('at') ?? null
  if (at === null) return null
  const whole = (one) => (typeof one === 'bigint' || Number.isSafeInteger(one)) && one >= 0 && one < 2n ** 63n
  if (!Array.isArray(at) || at.length !== 2 || !at.every(whole)) throw new SpikestreamError("'at' is not two times in unix ns")
  return at.map(BigInt)
}

function text(fields, key) {
  const value = fields.get(key)
  if (typeof value !== 'string') throw new SpikestreamError(`a message without a text under '${key}'`)
  return value
}

function count(fields, key) {
  const value = fields.get(key)
  if (!Number.isSafeInteger(value) || value < 0) throw new SpikestreamError(`a message without a count under '${key}'`)
  return value
}

function time(fields, key) {
  const value = fields.get(key)
  if (!Number.isSafeInteger(value)) throw new SpikestreamError(`a message without a stream time under '${key}'`)
  return value
}

function number(fields, key) {
  const value = fields.get(key)
  if (typeof value !== 'number' && typeof value !== 'bigint') throw new SpikestreamError(`a message without a number under '${key}'`)
  return Number(value)
}

function nanoseconds(fields) {
  const value = fields.get('t')
  if (!Number.isSafeInteger(value) && typeof value !== 'bigint') throw new SpikestreamError("a message without a count under 't'")
  if (value < 0) throw new SpikestreamError("a message without a count under 't'")
  return BigInt(value)
}

// ---- the session: the protocol without a connection -----------------------------------------------------------------

const BYE = new Uint8Array(0)

/** The client's end of a connection: payloads of frames in, events out, payloads to be sent in `toSend()`. */
export class Session {
  constructor({ client = '', token } = {}) {
    this.hello = null
    this.ended = false
    this.subscribed = false
    /** What arrived by topic: {first, next, messages, rows, gaps, missing, missingRows}. */
    this.counts = new Map()
    this.out = []
    this.ids = 0
    this.greeting = { op: 'hello', v: [VERSION], client, ...(token === undefined ? {} : { token }) }
  }

  /** The bytes that a frame of the server may have now. */
  get maxFrame() {
    return this.hello ? this.hello.maxFrame : MAX_FRAME_BEFORE_HELLO
  }

  /** Return the payloads to be sent now, and forget them; nothing before the server has greeted. */
  toSend() {
    return this.hello ? this.out.splice(0) : []
  }

  ask(message) {
    this.out.push(pack(message))
  }

  /** Ask for topics, and return the number of the subscription; options are keys of `sub` in docs/wire.md. */
  subscribe(topics, options = {}) {
    const id = ++this.ids
    this.ask({ op: 'sub', id, topics: [topics].flat(), ...options })
    return id
  }

  /** Give credit back for so many messages of a subscription that has some. */
  acknowledge(id, n) {
    this.ask({ op: 'ack', id, n })
  }

  unsubscribe(id) {
    this.ask({ op: 'unsub', id })
  }

  /** Ask for something to be done, and return the number that its reply will have. */
  request(todo, d = {}) {
    const id = ++this.ids
    this.ask({ op: 'req', id, do: todo, d })
    return id
  }

  ping(t) {
    this.ask({ op: 'ping', t })
  }

  bye() {
    this.out.push(BYE)
  }

  /** Take the payload of one frame, and return what it means: {type, ...}, or null where there is nothing to tell. */
  receive(payload) {
    if (this.ended) return null
    if (payload.length > this.maxFrame) throw new SpikestreamError(`a frame of ${payload.length} bytes is too large`)
    if (payload.length === 0) {
      this.ended = true
      return { type: 'bye' }
    }
    const fields = unpack(payload)
    if (!(fields instanceof Map)) throw new SpikestreamError('a frame holds no map')
    const op = fields.get('op')
    if (op === 'error') throw new SpikestreamError(`the server has closed the connection: ${fields.get('what')}`, fields.get('code'))
    if (!this.hello) return this.greeted(fields)
    if (op === undefined || op === null) return this.data(fields)
    return this.reply(op, fields)
  }

  greeted(fields) {
    if (fields.get('op') !== 'hello') throw new SpikestreamError('the other end does not greet as a spikestream server does')
    if (fields.get('v') !== VERSION) throw new SpikestreamError(`the server speaks version ${fields.get('v')}, this client ${VERSION}`)
    const [srv, epoch, clock] = ['srv', 'epoch', 'clock'].map((key) => text(fields, key))
    const caps = fields.get('caps')
    const maxFrame = count(fields, 'max_frame')
    if (!Array.isArray(caps) || maxFrame < 1 || maxFrame > MAX_FRAME_EVER) throw new SpikestreamError("the server's greeting is none")
    this.hello = { srv, epoch, clock, caps, maxFrame, nowNs: BigInt(fields.get('now_ns')) }
    this.out.unshift(pack(this.greeting))
    return { type: 'hello', ...this.hello }
  }

  reply(op, fields) {
    if (op === 'sub') {
      this.subscribed = true
      return { type: 'subscribed', id: count(fields, 'id') }
    }
    if (op === 'unsub') return { type: 'unsubscribed', id: count(fields, 'id') }
    if (op === 'pong') return { type: 'pong', t: fields.get('t'), nowNs: BigInt(fields.get('now_ns')) }
    if (op !== 'rep') return null
    const ok = fields.get('ok') === true
    const what = ok ? { d: plain(fields.get('d')) } : { code: text(fields, 'code'), what: text(fields, 'what') }
    return { type: 'reply', id: count(fields, 'id'), ok, ...what }
  }

  data(fields) {
    const message = decode(fields)
    this.count(message)
    return message.known ? { type: 'message', message } : null
  }

  count({ topic, seq, n, lost, data }) {
    let tally = this.counts.get(topic)
    if (!tally) {
      tally = { first: seq, next: seq, messages: 0, rows: 0, gaps: 0, missing: 0, missingRows: 0 }
      this.counts.set(topic, tally)
    }
    if (seq !== tally.next) throw new SpikestreamError(`${topic} goes on with number ${seq} where ${tally.next} is due, and no gap says why`)
    if (lost) {
      tally.gaps++
      tally.missing += n
      tally.missingRows += data.rows ?? 0
    } else {
      tally.messages++
      tally.rows += n
    }
    tally.next += lost ? n : 1
  }
}

// ---- connections ----------------------------------------------------------------------------------------------------

/**
 * Connect, subscribe, and return the Client once the server has taken the subscription.
 * Options: topics (a text or a list, default everything; [] for none), policy, since, credit (given back as messages are
 * taken from the iterator), max_rate, max_bytes, decimate (see docs/wire.md), token, name, timeoutMs (5000).
 */
export async function connect(url, { topics = ['*'], token, name = '', timeoutMs = 5000, ...options } = {}) {
  const session = new Session({ client: name, token })
  const id = [topics].flat().length ? session.subscribe(topics, options) : 0
  session.subscribed = !id
  const client = new Client(session, id, options.credit)
  client.transport = await open(url, client)
  await client.ready(timeoutMs)
  return client
}

/** A connection: an async iterator of messages, which the server's bye ends and its errors are thrown by. */
export class Client {
  constructor(session, id = 0, credit = 0) {
    this.session = session
    this.id = id
    this.credit = credit
    this.used = 0
    this.received = []
    this.replies = new Map()
    this.error = null
    this.closed = false
    this.wake = []
  }

  get hello() {
    return this.session.hello
  }

  get counts() {
    return this.session.counts
  }

  /** Have something done and return what came of it; throws SpikestreamError where the server says no. */
  async request(todo, d = {}) {
    if (this.closed) throw this.error ?? new SpikestreamError('the connection is closed')
    const id = this.session.request(todo, d)
    this.flush()
    await this.until(() => this.replies.has(id) || this.closed)
    const reply = this.replies.get(id)
    this.replies.delete(id)
    if (!reply) throw this.error ?? new SpikestreamError('the connection ended before the answer came')
    if (!reply.ok) throw new SpikestreamError(reply.what, reply.code)
    return reply.d
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        await this.until(() => this.received.length || this.closed)
        if (!this.received.length) break
        const message = this.received.shift()
        yield message
        if (this.credit && !message.lost) this.giveBack()
      }
      if (this.error) throw this.error
    } finally {
      this.close()
    }
  }

  /** Say bye and close. */
  close() {
    if (this.closed) return
    this.session.bye()
    this.flush()
    this.end(null)
  }

  /** Give back the credit of what was handed out and is done with, in handfuls. */
  giveBack() {
    if (++this.used < Math.max(1, this.credit >> 1) || this.closed) return
    this.session.acknowledge(this.id, this.used)
    this.used = 0
    this.flush()
  }

  // What the transports call.

  payload(bytes) {
    if (this.closed) return
    try {
      const event = this.session.receive(bytes)
      if (event?.type === 'message') this.received.push(event.message)
      if (event?.type === 'reply') this.replies.set(event.id, event)
      this.flush()
      if (event?.type === 'bye') this.end(null)
    } catch (error) {
      this.end(error)
    }
    this.changed()
  }

  end(error) {
    if (this.closed) return
    this.closed = true
    this.error = error
    this.transport?.close()
    this.changed()
  }

  broken(what) {
    this.end(new SpikestreamError(what))
  }

  flush() {
    for (const payload of this.session.toSend()) this.transport.send(payload)
  }

  changed() {
    for (const wake of this.wake.splice(0)) wake()
  }

  async until(done) {
    while (!done()) await new Promise((resolve) => this.wake.push(resolve))
  }

  async ready(timeoutMs) {
    const timer = setTimeout(() => this.broken('the server does not answer: is it a spikestream server?'), timeoutMs)
    await this.until(() => (this.session.hello && this.session.subscribed) || this.closed)
    clearTimeout(timer)
    if (this.error) throw this.error
    if (this.closed) throw new SpikestreamError('the server said bye at once')
  }
}

function open(url, client) {
  if (/^wss?:/.test(url)) return webSocket(url, client)
  if (/^(tcp|unix):/.test(url)) return stream(url, client)
  throw new SpikestreamError(`'${url}' is no place: use ws://, wss://, and in Node.js tcp://HOST:PORT or unix:///PATH`)
}

function webSocket(url, client) {
  if (!globalThis.WebSocket) throw new SpikestreamError(`${url} wants a WebSocket, which Node.js has from 22 on: use tcp:// or unix://`)
  const socket = new globalThis.WebSocket(url, ['ssp.v1'])
  socket.binaryType = 'arraybuffer'
  socket.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) client.payload(new Uint8Array(data))
    else client.broken('the server sends text, which no spikestream server does')
  }
  const transport = {
    send: (payload) => (payload.length ? socket.send(payload) : socket.close(1000)),
    close: () => socket.close(),
  }
  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve(transport)
    socket.onerror = () => {
      reject(new SpikestreamError(`there is no spikestream server at ${url}`))
      client.broken('the connection broke')
    }
    socket.onclose = ({ code }) => (code === 1000 ? client.payload(BYE) : client.broken('the server went away without a bye'))
  })
}

async function stream(url, client) {
  const net = await import('node:net')
  const [, scheme, place] = /^(tcp|unix):\/\/(.+)$/.exec(url) ?? []
  const [, host, port] = /^\[?([^\]]*?)\]?:(\d+)$/.exec(place ?? '') ?? []
  if (!scheme || (scheme === 'tcp' && !port)) throw new SpikestreamError(`'${url}' is no place: tcp://HOST:PORT or unix:///PATH`)
  const socket = net.connect(scheme === 'unix' ? { path: place } : { host, port: Number(port), noDelay: true })
  const frames = new Frames()
  socket.on('data', (bytes) => {
    try {
      for (const payload of frames.feed(bytes, () => client.session.maxFrame)) client.payload(payload)
    } catch (error) {
      client.end(error)
    }
  })
  socket.on('close', () => client.broken('the server went away without a bye'))
  const send = (payload) => {
    const prefix = new DataView(new ArrayBuffer(4))
    prefix.setUint32(0, payload.length, true)
    socket.write(new Uint8Array(prefix.buffer))
    socket.write(payload)
  }
  return new Promise((resolve, reject) => {
    socket.on('connect', () => resolve({ send, close: () => socket.end() }))
    socket.on('error', (error) => {
      reject(new SpikestreamError(`there is no spikestream server at ${url}: ${error.message}`))
      client.broken(`the connection broke: ${error.message}`)
    })
  })
}

/** Bytes of a stream in any pieces in, payloads out: a u32 little-endian length precedes each. */
export class Frames {
  constructor() {
    this.pieces = []
    this.held = 0
  }

  *feed(bytes, limit) {
    this.pieces.push(bytes)
    this.held += bytes.length
    for (let size = this.size(); size >= 0; size = this.size()) {
      if (size > limit()) throw new SpikestreamError(`a frame of ${size} bytes is larger than the ${limit()} allowed here`)
      if (this.held < 4 + size) return
      const whole = this.joined()
      this.pieces = [whole.subarray(4 + size)]
      this.held -= 4 + size
      yield whole.subarray(4, 4 + size)
    }
  }

  size() {
    if (this.held < 4) return -1
    if (this.pieces[0].length < 4) this.pieces = [this.joined()]
    const head = this.pieces[0]
    return new DataView(head.buffer, head.byteOffset, 4).getUint32(0, true)
  }

  joined() {
    if (this.pieces.length === 1) return this.pieces[0]
    const whole = new Uint8Array(this.held)
    let at = 0
    for (const piece of this.pieces) {
      whole.set(piece, at)
      at += piece.length
    }
    this.pieces = [whole]
    return whole
  }
}
