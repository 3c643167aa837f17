// Sends a file of calls with RudderStack's official Node SDK; see `sdk_node.mjs`.

import { drive, load } from './sdk_node.mjs'

const module = load('@rudderstack/rudder-sdk-node')
const Analytics = module.default ?? module

await drive((host, writeKey) => {
  // Without a handler a failed batch is an unhandled rejection; the calls report it, too.
  const errorHandler = (error) => console.error(`error: ${error.message}`)
  const analytics = new Analytics(writeKey, { dataPlaneUrl: host, errorHandler })
  let open = 0
  return {
    send: (type, call) =>
      new Promise((resolve, reject) => {
        open += 1
        analytics[type](call, (error) => {
          open -= 1
          if (error) reject(error)
          else resolve()
        })
      }),
    // One flush sends one batch: as many as there are.
    finish: async () => {
      while (open > 0) {
        await Promise.resolve(analytics.flush()).catch(() => {})
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
  }
})
