import { parentPort, workerData } from "node:worker_threads"
import { Consumer, stringDeserializers } from "@platformatic/kafka"
import type { Message } from "./Watcher.ts"

// A thread of its own: what is measured must not wait for the event loop of those who are measured.
const { brokers, kafkaTopic } = workerData as { readonly brokers: string; readonly kafkaTopic: string }
const consumer = new Consumer({
  clientId: "bench",
  groupId: kafkaTopic,
  bootstrapBrokers: [brokers],
  deserializers: stringDeserializers,
  minBytes: 1
})
const stream = await consumer.consume({ topics: [kafkaTopic], mode: "earliest" })
const send = (message: Message) => parentPort?.postMessage(message)
stream.on("data", ({ key }) => send({ key: key ?? "", atNanos: process.hrtime.bigint() }))
send("ready")
