import { parentPort, workerData } from "node:worker_threads"
import { Consumer } from "@platformatic/kafka"
import { nowMillis } from "../RelayProtocol.ts"
import type { Seen } from "./TopicArrivals.ts"

// A thread of its own: what is measured must not wait for the event loop of those who are measured.
const { brokers, kafkaTopic } = workerData as { readonly brokers: string; readonly kafkaTopic: string }

const patienceMillis = 1_000
const mostBytes = 16 * 1024 * 1024

const consumer = new Consumer({ clientId: "bench", groupId: "bench", bootstrapBrokers: [brokers] })
const metadata = (await consumer.metadata({ topics: [kafkaTopic] })).topics.get(kafkaTopic)
const positions = (await consumer.listOffsets({ topics: [kafkaTopic] })).get(kafkaTopic) ?? []
parentPort?.postMessage("ready")

for (;;) {
  const { responses } = await consumer.fetch({
    node: metadata?.partitions[0]?.leader ?? 0,
    minBytes: 1,
    maxWaitTime: patienceMillis,
    maxBytes: mostBytes,
    topics: [
      {
        topicId: metadata?.id ?? "",
        partitions: positions.map((fetchOffset, partition) => ({
          partition,
          fetchOffset,
          currentLeaderEpoch: -1,
          lastFetchedEpoch: -1,
          partitionMaxBytes: mostBytes
        }))
      }
    ]
  })
  const atMillis = nowMillis()
  const keys: Array<string> = []
  for (const { partitions } of responses) {
    for (const { partitionIndex, records } of partitions) {
      for (const batch of records ?? []) {
        for (const record of batch.records) {
          const offset = batch.firstOffset + BigInt(record.offsetDelta)
          if (offset < (positions[partitionIndex] ?? 0n)) continue
          positions[partitionIndex] = offset + 1n
          keys.push(record.key?.toString() ?? "")
        }
      }
    }
  }
  const seen: Seen = { atMillis, keys }
  // One message for all: twenty thousand would take time from those who are measured.
  if (keys.length > 0) parentPort?.postMessage(seen)
}
