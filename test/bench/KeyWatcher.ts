import { parentPort, workerData } from "node:worker_threads"
import { createClient } from "@redis/client"
import type { Message } from "./Watcher.ts"

// A thread of its own: what is measured must not wait for the event loop of those who are measured.
const { redisUrl } = workerData as { readonly redisUrl: string }
const client = createClient({ url: redisUrl })
client.on("error", () => undefined)
await client.connect()
await client.sendCommand(["CONFIG", "SET", "notify-keyspace-events", "Kh"])
await client.pSubscribe("__keyspace@*__:*", (_event, channel) => {
  const written: Message = {
    key: channel.slice(channel.indexOf(":") + 1),
    atNanos: process.hrtime.bigint()
  }
  parentPort?.postMessage(written)
})
parentPort?.postMessage("ready")
