// What the drivers of Segment's and RudderStack's Node SDKs have in common: both take the same calls.
//
//     DRIVER HOST WRITE_KEY CALLS      (NODE_PARTS names the directory that holds node_modules)
//
// CALLS is a file with a JSON object a line: type, userId, anonymousId, event, name, category, properties, traits,
// groupId, previousId, context, integrations, timestamp (RFC 3339), messageId. Each is handed to the SDK in that
// order, then all is flushed. The exit code is 1 if the SDK reported an error.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

// The SDKs lie outside this directory, where `import` does not look.
export const load = createRequire(join(process.env.NODE_PARTS ?? '.', 'package.json'))

/**
 * @param start `(host, writeKey)` gives `{ send(type, call), finish() }`: `send` gives a promise of the call's delivery,
 * and `finish` one that is kept when the SDK has nothing left.
 */
export async function drive(start) {
  const [host, writeKey, path] = process.argv.slice(2)
  if (path === undefined) {
    console.error('usage: DRIVER HOST WRITE_KEY CALLS')
    process.exit(2)
  }
  const calls = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line))
  const client = start(host, writeKey)
  const deliveries = calls.map(({ type, ...call }, index) => {
    if (call.timestamp !== undefined) call.timestamp = new Date(call.timestamp)
    return client.send(type, call).then(
      () => 0,
      (error) => {
        console.error(`call ${index + 1} was not delivered: ${error?.message ?? error}`)
        return 1
      },
    )
  })
  await client.finish()
  const errors = (await Promise.all(deliveries)).reduce((sum, one) => sum + one, 0)
  console.log(`${calls.length} calls, ${errors} errors`)
  // The SDKs keep timers that would hold the process open.
  process.exit(errors > 0 ? 1 : 0)
}
