// Print what a spikestream server publishes: node subscribe.mjs [URL [TOPIC...]], each message as one line of JSON.
// URL is tcp://127.0.0.1:7077, unix:///PATH, or where there is a WebSocket ws://127.0.0.1:7079.
// Where SPIKESTREAM_TOKEN is set, it is the token that the server asks for.
import { connect } from './spikestream.js'

const [url = 'tcp://127.0.0.1:7077', ...topics] = process.argv.slice(2)
const brief = (key, value) => {
  if (typeof value === 'bigint') return Number(value)
  return ArrayBuffer.isView(value) ? [...value.subarray(0, 3)] : value
}
try {
  const client = await connect(url, { topics: topics.length ? topics : ['*'], token: process.env.SPIKESTREAM_TOKEN })
  for await (const { known, ...message } of client) console.log(JSON.stringify(message, brief))
} catch (error) {
  console.error(`subscribe: ${error.message}`)
  process.exitCode = 1
}
