import { Consumer, type ConsumerOptions } from "@platformatic/kafka"
import { Duration, Effect } from "effect"
import * as KafkaClient from "./KafkaClient.ts"
import type { KafkaCluster } from "./KafkaCluster.ts"
import { fromClient, KafkaError } from "./KafkaError.ts"

export type Client = Consumer<Buffer, Buffer, Buffer, Buffer>

export interface Settings {
  readonly group: string
  readonly topics: ReadonlyArray<string>
  readonly sessionTimeout: Duration.Duration
  readonly heartbeatInterval: Duration.Duration
  /** Awaited each time before the group is joined again: what moves to others has to be laid down by then. */
  readonly beforeJoin: () => Promise<void>
}

/**
 * The connections of one membership. They are apart since a broker answers the requests of a connection one after
 * another, and some wait: fetches for records, joins for the other members.
 */
export interface Clients {
  /** Is a member of the group, and sends heartbeats by itself. */
  readonly member: Client
  /** Fetches. */
  readonly reader: Client
  /** Reads and writes offsets, under the member's name. */
  readonly keeper: Client
  /** A request, with a limit in time; default that of all requests. */
  readonly call: <A>(request: () => Promise<A>, within?: Duration.Duration) => Effect.Effect<A, KafkaError>
}

/** Partitions that stay where they are go on while the others move: KIP-429. */
const protocols = [{ name: "cooperative-sticky", version: 3 }]

/** So often the client joins again while a rebalance is under way, before all is begun anew. */
const joinAttempts = { retries: 10, retryDelay: 200 }

/** Time for a clean end of each client. */
const closeLimit = Duration.seconds(3)

const openClient = (options: ConsumerOptions<Buffer, Buffer, Buffer, Buffer>): Client =>
  KafkaClient.guarded(new Consumer(options))

const close = (client: Client) => KafkaClient.close(() => client.close(true), closeLimit)

/** Opens the clients of a membership; connections come when they are needed. */
export const open = (cluster: KafkaCluster["Type"], settings: Settings): Clients => {
  const base = { ...cluster.clientOptions(), groupId: settings.group, autocommit: false }
  const sessionTimeout = Duration.toMillis(settings.sessionTimeout)
  const member = openClient({
    ...base,
    ...joinAttempts,
    protocols,
    protocolsMetadata: async () => {
      await settings.beforeJoin()
      return Buffer.alloc(0)
    },
    sessionTimeout,
    rebalanceTimeout: sessionTimeout,
    heartbeatInterval: Duration.toMillis(settings.heartbeatInterval),
    heartbeatStallTimeout: sessionTimeout,
    // A join waits for the other members for as long as they may take.
    requestTimeout: sessionTimeout + Duration.toMillis(cluster.requestTimeout)
  })
  const [reader, keeper] = [openClient(base), openClient(base)]
  for (const client of [member, reader, keeper]) client.topics.trackAll(...settings.topics)
  const takesTooLong = new KafkaError({
    reason: "Unavailable",
    brokers: cluster.brokers,
    detail: "no answer in time"
  })
  return {
    member,
    reader,
    keeper,
    call: (request, within = cluster.requestTimeout) =>
      Effect.tryPromise({ try: request, catch: (error) => fromClient(error, cluster.brokers) }).pipe(
        Effect.timeoutFail({ duration: within, onTimeout: () => takesTooLong })
      )
  }
}

/** Leaves the group and closes all connections. */
export const closeAll = ({ keeper, member, reader }: Clients): Effect.Effect<void> =>
  Effect.all([close(member), close(reader), close(keeper)], { concurrency: 3, discard: true })
