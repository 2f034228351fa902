import { parentPort, workerData } from "node:worker_threads"
import { MongoClient } from "mongodb"
import type { Message } from "./Watcher.ts"

// A thread of its own: what is measured must not wait for the event loop of those who are measured. A change stream
// tells of a document when a majority has it: somewhat later than a read would find it.
const { collections, database, mongoUri } = workerData as {
  readonly mongoUri: string
  readonly database: string
  readonly collections: ReadonlyArray<string>
}
const client = await MongoClient.connect(mongoUri)
const stream = client
  .db(database)
  .watch([{ $match: { operationType: "insert", "ns.coll": { $in: collections } } }])
const send = (message: Message) => parentPort?.postMessage(message)
// The first answer is empty, and says that the stream is open.
await stream.tryNext()
send("ready")
for await (const event of stream) {
  if (event.operationType !== "insert") continue
  send({ key: String(event.documentKey._id), atNanos: process.hrtime.bigint() })
}
