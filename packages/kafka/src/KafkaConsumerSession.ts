import { Backoff } from "@twinbox/outbox"
import { Deferred, Duration, Effect, Queue, Runtime, Schedule } from "effect"
import { KafkaCluster } from "./KafkaCluster.ts"
import { Assignment, type Settings as AssignmentSettings } from "./KafkaConsumerAssignment.ts"
import { type Client, type Clients, closeAll, open } from "./KafkaConsumerClients.ts"
import * as KafkaConsumerFetch from "./KafkaConsumerFetch.ts"
import * as KafkaConsumerLag from "./KafkaConsumerLag.ts"
import { fromClient, KafkaError } from "./KafkaError.ts"

export interface Settings extends Omit<AssignmentSettings, "onDefect"> {
  readonly group: string
  readonly topics: ReadonlyArray<string>
  /** How long a member may be silent before the others get its partitions. */
  readonly sessionTimeout: Duration.Duration
  readonly heartbeatInterval: Duration.Duration
  readonly commitEvery: Duration.DurationInput
  readonly lagEvery: Duration.DurationInput
  /** How long a stop waits for records under way. */
  readonly stopWithin: Duration.DurationInput
  readonly fetch: Omit<KafkaConsumerFetch.Settings, "topics">
}

/** One membership in the group, from joining to leaving. */
export interface Session {
  readonly clients: Clients
  readonly assignment: Assignment
  /** Rings when the group has given out its partitions anew. */
  readonly given: Queue.Queue<void>
  /** Fails when the membership has come to an end. */
  readonly ended: Deferred.Deferred<never, KafkaError>
}

/** Pauses between fetches that fail. */
const fetchPauses = Backoff.between("100 millis", "2 seconds")

const make = (settings: Settings): Effect.Effect<Session, never, KafkaCluster> =>
  Effect.gen(function* () {
    const cluster = yield* KafkaCluster
    const runtime = yield* Effect.runtime()
    const given = yield* Queue.sliding<void>(1)
    const ended = yield* Deferred.make<never, KafkaError>()
    // The client asks before it joins, which is not before it is told to.
    const beforeJoin = () => Runtime.runPromise(runtime)(assignment.yield)
    const clients = open(cluster, { ...settings, beforeJoin })
    const assignment: Assignment = new Assignment(clients, {
      ...settings,
      onDefect: (cause) => Deferred.failCause(ended, cause)
    })
    const end = (error: KafkaError) => Deferred.unsafeDone(ended, Effect.fail(error))
    listen(clients.member, {
      given: () => given.unsafeOffer(undefined),
      failed: (error) => end(fromClient(error, cluster.brokers)),
      unheard: () =>
        end(new KafkaError({ reason: "Unavailable", brokers: cluster.brokers, detail: "no heartbeat" }))
    })
    return { clients, assignment, given, ended }
  })

interface Listener {
  readonly given: () => void
  readonly failed: (error: unknown) => void
  readonly unheard: () => void
}

const listen = (member: Client, { failed, given, unheard }: Listener): void => {
  member.on("consumer:group:join", given)
  member.on("consumer:heartbeat:stalled", unheard)
  // Joining again has failed, and the client does not try on.
  member.on("error", failed)
}

/** Lays down what is under way, tells the group how far it has come, and leaves. */
const close = ({ assignment, clients }: Session, { stopWithin }: Settings): Effect.Effect<void> =>
  Effect.zipRight(assignment.stop(stopWithin), closeAll(clients))

/** Fetches for as long as brokers answer, and a while longer. */
const fetchAlways = ({ assignment, clients }: Session, settings: Settings, onPass: () => void) => {
  const { sessionTimeout, topics } = settings
  const pass = KafkaConsumerFetch.pass(clients, assignment.partitions, { ...settings.fetch, topics }).pipe(
    Effect.flatMap(({ outOfRange }) => assignment.restart(outOfRange)),
    Effect.tapError((error) =>
      Effect.zipRight(
        Effect.sync(() => clients.reader.clearMetadata()),
        Effect.logWarning(`nothing can be fetched: ${error.message}`)
      )
    ),
    Effect.retry({
      schedule: fetchPauses.pipe(Schedule.upTo(sessionTimeout)),
      while: (error) => error.retryable
    })
  )
  return Effect.forever(Effect.tap(pass, () => Effect.sync(onPass)))
}

/** What fails now is done the next time. */
const every = (pause: Duration.DurationInput, effect: Effect.Effect<void, KafkaError>) =>
  Effect.catchAll(effect, (error) => Effect.logDebug(`tried again later: ${error.message}`)).pipe(
    Effect.delay(pause),
    Effect.forever
  )

/** What ends first, which is by failing, ends all. */
const together = (parts: ReadonlyArray<Effect.Effect<never, KafkaError>>) =>
  Effect.zipRight(Effect.all(parts, { concurrency: "unbounded", discard: true }), Effect.never)

const work = (session: Session, settings: Settings, pulse: Pulse): Effect.Effect<never, KafkaError> => {
  const { assignment, clients, ended, given } = session
  const { call, member } = clients
  const followed = Effect.tap(assignment.follow, () => Effect.sync(pulse.joined))
  const lag = KafkaConsumerLag.make(settings.consumer, assignment)
  return Effect.zipRight(
    call(() => member.joinGroup({}), Duration.times(settings.sessionTimeout, 2)),
    together([
      Deferred.await(ended),
      Effect.forever(Effect.zipRight(Queue.take(given), followed)),
      fetchAlways(session, settings, pulse.fetched),
      every(settings.commitEvery, assignment.commit),
      Effect.ensuring(every(settings.lagEvery, lag.report), lag.forget)
    ])
  )
}

/** Told while a membership lasts. */
export interface Pulse {
  readonly opened: (assignment: Assignment) => void
  /** The group has given it its part, which may be nothing. */
  readonly joined: () => void
  /** Brokers have answered. */
  readonly fetched: () => void
  readonly closed: () => void
}

/**
 * Is a member of the group until interrupted. Then it finishes what is under way, for `stopWithin` at most, and leaves.
 * Fails when the membership is lost.
 */
export const serve = (settings: Settings, pulse: Pulse): Effect.Effect<never, KafkaError, KafkaCluster> =>
  Effect.acquireUseRelease(
    Effect.tap(make(settings), ({ assignment }) => Effect.sync(() => pulse.opened(assignment))),
    (session) => work(session, settings, pulse),
    (session) => Effect.ensuring(close(session, settings), Effect.sync(pulse.closed))
  )
