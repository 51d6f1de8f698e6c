// Read records (u32 little-endian length, then the bytes of a frame) from stdin, and print what each means as a line of
// words, or "bad": texts in hex, floats as the hex of their 64 bits, so that nothing depends on how they are printed.
import { readFileSync } from 'node:fs'
import { Frames, MAX_FRAME_EVER, Session, SpikestreamError, decode, unpack } from '../../clients/javascript/spikestream.js'

const text = (value) => (value === null || value === undefined ? 'nil' : `'${Buffer.from(value).toString('hex')}`)

function number(value) {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes.toString('hex')
}

// Numbers of msgpack are told apart by how they were written, which only `unpack` knows and no value shows: floats of
// the vectors are none that are whole.
function value(one) {
  if (one === null) return 'nil'
  if (typeof one === 'string') return text(one)
  if (typeof one === 'number') return Number.isInteger(one) ? String(one) : number(one)
  if (Array.isArray(one)) return ['array', one.length, ...one.map(value)].join(' ')
  if (typeof one === 'object') return ['map', Object.keys(one).length, ...Object.entries(one).flat().map(value)].join(' ')
  return String(one)
}

const ROWS = {
  events: ({ data, size, n }) => ['size', ...(size ?? [0, 0]), ...Array.from({ length: n }, (_, i) => `| ${data.t[i]} ${data.x[i]} ${data.y[i]} ${data.p[i]}`)],
  spikes: ({ data, n }) => Array.from({ length: n }, (_, i) => `| ${data.t[i]} ${data.axon[i]}`),
  sound: ({ data }) => ['channels', data.channels, '|', ...[...data.samples].map(number)],
  decisions: ({ data }) => data.map((d) =>
    ['|', d.start, d.stop, text(d.label), number(d.confidence), number(d.evidence), ...Object.entries(d.scores).map(([name, score]) => `${text(name)} ${number(score)}`)].join(' ')),
  weights: ({ data }) => [text(data.layer), text(data.dtype), data.rev, 'shape', ...data.shape, '|', ...[...data.values].map(number)],
  stats: ({ data }) => [value(data)],
  gap: ({ data }) => [text(data.why)],
}

function shown(message) {
  const { kind, topic, seq, publishedNs, start, stop, n, lost, known, data } = message
  if (lost) return ['lost', text(topic), seq, n, data.rows ?? 'nil', text(data.why)].join(' ')
  const head = [known ? kind : 'other', text(topic), seq, publishedNs, start, stop, n]
  if (message.of !== undefined && message.of !== n) head.push('of', message.of)
  return [...head, ...(known ? ROWS[kind](message) : [])].join(' ')
}

function line(payload) {
  if (payload.length === 0) return 'bye'
  const fields = unpack(payload)
  if (!(fields instanceof Map)) throw new SpikestreamError('no map')
  const op = fields.get('op') ?? null
  if (op === null) return shown(decode(fields))
  if (typeof op !== 'string') throw new SpikestreamError('no op')
  if (op === 'error') return ['error', text(fields.get('code')), text(fields.get('what'))].join(' ')
  if (op !== 'hello') return `control ${text(op)}`
  const { srv, epoch, maxFrame } = new Session().receive(payload)
  return ['hello', text(srv), text(epoch), maxFrame].join(' ')
}

const input = readFileSync(0)
const lines = []
for (let at = 0; at < input.length; ) {
  const size = input.readUInt32LE(at)
  const record = Uint8Array.from(input.subarray(at + 4, at + 4 + size))
  at += 4 + size
  try {
    const payload = new Frames().feed(record, () => MAX_FRAME_EVER).next().value
    lines.push(payload === undefined ? 'again' : line(payload))
  } catch (error) {
    if (!(error instanceof SpikestreamError)) throw error
    lines.push('bad')
  }
}
process.stdout.write(lines.map((one) => `${one}\n`).join(''))
