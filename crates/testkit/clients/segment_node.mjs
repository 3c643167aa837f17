// Sends a file of calls with Segment's official Node SDK; see `sdk_node.mjs`.

import { drive, load } from './sdk_node.mjs'

const { Analytics } = load('@segment/analytics-node')

await drive((host, writeKey) => {
  const analytics = new Analytics({ host, writeKey })
  // Also what no call answers for.
  analytics.on('error', (error) => console.error(`error ${error.code}: ${error.reason?.message ?? error.reason}`))
  return {
    send: (type, call) =>
      new Promise((resolve, reject) => {
        analytics[type](call, (error) => (error ? reject(error) : resolve()))
      }),
    finish: () => analytics.closeAndFlush(),
  }
})
