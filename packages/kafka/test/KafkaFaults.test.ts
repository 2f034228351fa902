import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { producerSendsChannel } from "@platformatic/kafka"
import { KafkaCluster, KafkaSink } from "@twinbox/kafka"
import { expect, it, layer } from "@effect/vitest"
import { Key, type Message, type Sink } from "@twinbox/outbox"
import { DeliveryChecker, MessageFixture } from "@twinbox/testkit"
import { Context, Duration, Effect, Fiber, Layer, Redacted, Schedule } from "effect"
import { freePort } from "../../services/src/FreePort.ts"
import { describeKafka, ownKafka } from "../../../test/setup/testKafka.ts"
import { eventually, inOrder, rounds, worldAt } from "./testConsumer.ts"
import { clusterOf, makeTopic, sinkAt, testSink } from "./testParts.ts"
import { placeOf, readTopic } from "./topicReader.ts"

const customer = (id: number | string) => Key.make("customer", String(id))

/** Delivers as a relay does: again while the sink is away. */
const deliverUntilTaken = (sink: Sink.Sink, batch: ReadonlyArray<Message.Message>) =>
  sink
    .deliver(batch)
    .pipe(
      Effect.retry({ while: (error) => error.retryable, schedule: Schedule.spaced("50 millis") }),
      Effect.timeout("50 seconds")
    )

const receivedFrom = (brokers: string, topic: string) =>
  Effect.map(readTopic(brokers, topic), (records) =>
    records.map((record): DeliveryChecker.Received => ({
      ...placeOf(record),
      id: record.headers["ce_id"] ?? "",
      key: record.key,
      payload: record.value
    }))
  )

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "twinbox-test-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

/** A certificate for 127.0.0.1 that nobody has signed, made with Java's own tool. */
const makeCertificate = (folder: string) => {
  const keystore = join(folder, "broker.p12")
  const store = ["-keystore", keystore, "-storetype", "PKCS12", "-storepass", "changeit", "-alias", "broker"]
  const subject = ["-dname", "CN=broker", "-ext", "san=ip:127.0.0.1", "-keyalg", "EC", "-validity", "2"]
  const run = (...args: ReadonlyArray<string>) =>
    execFileSync("keytool", args, { stdio: ["ignore", "pipe", "ignore"] })
  run("-genkeypair", ...store, ...subject)
  return { keystore, certificate: run("-exportcert", "-rfc", ...store).toString() }
}

/** A Kafka of this file's own, with a second listener that asks for TLS and a password. */
const makeFrailKafka = Effect.gen(function* () {
  const { certificate, keystore } = makeCertificate(yield* temporaryFolder)
  const [port, controllerPort, securePort] = [yield* freePort, yield* freePort, yield* freePort]
  const kafka = yield* ownKafka({
    port,
    settings: {
      listeners: `BROKER://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort},SECURE://127.0.0.1:${securePort}`,
      "advertised.listeners": `BROKER://127.0.0.1:${port},SECURE://127.0.0.1:${securePort}`,
      "controller.quorum.voters": `1@127.0.0.1:${controllerPort}`,
      "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
      "sasl.enabled.mechanisms": "PLAIN",
      "listener.name.secure.plain.sasl.jaas.config":
        'org.apache.kafka.common.security.plain.PlainLoginModule required user_app="s3cret";',
      "ssl.keystore.location": keystore,
      "ssl.keystore.type": "PKCS12",
      "ssl.keystore.password": "changeit"
    }
  })
  return { kafka, certificate, secureBrokers: `127.0.0.1:${securePort}` }
})

class FrailKafka extends Context.Tag("FrailKafka")<
  FrailKafka,
  Effect.Effect.Success<typeof makeFrailKafka>
>() {}

/** Counts the requests of all producers of this process until the end of the scope. */
const countSends = Effect.acquireRelease(
  Effect.sync(() => {
    const counts = { started: 0, underWay: 0, mostAtOnce: 0 }
    const ended = () => {
      counts.underWay -= 1
    }
    const subscribers = {
      start: () => {
        counts.started += 1
        counts.underWay += 1
        counts.mostAtOnce = Math.max(counts.mostAtOnce, counts.underWay)
      },
      asyncStart: ended
    }
    producerSendsChannel.subscribe(subscribers as never)
    return { counts, subscribers }
  }),
  ({ subscribers }) => Effect.sync(() => producerSendsChannel.unsubscribe(subscribers as never))
).pipe(Effect.map(({ counts }) => counts))

describeKafka("a delivery", () => {
  it.scopedLive("waits for the end of one that was interrupted, and does not overtake it", () =>
    Effect.gen(function* () {
      const { brokers, make, sink, topic } = yield* testSink({ create: { partitions: 1 } })
      const sends = yield* countSends
      const batches = Array.from({ length: 5 }, (_, batch) =>
        Array.from({ length: 400 }, (_, at) =>
          make({ key: customer(at % 7), sequence: 400 * batch + at + 1 })
        )
      )
      for (const batch of batches) {
        const before = sends.started
        const delivering = yield* Effect.fork(sink.deliver(batch))
        // The first of them is under way, and the others may wait for it.
        yield* Effect.yieldNow().pipe(
          Effect.repeat({ until: () => sends.started > before || sends.underWay > 0 })
        )
        yield* Fiber.interrupt(delivering)
      }
      const last = make({ key: customer(0), sequence: 10_000 })
      expect(yield* sink.deliver([last])).toEqual([])
      expect(sends.started).toBeGreaterThan(1)
      expect(sends.mostAtOnce).toBe(1)
      const sequences = (yield* readTopic(brokers, topic.name)).map((one) => placeOf(one).sequence)
      expect(sequences).toEqual(sequences.toSorted((a, b) => a - b))
      expect(sequences.at(-1)).toBe(10_000)
    })
  )
})

/** A consumer at work, which has applied the first 40 messages of its topic. */
const follow = (brokers: string) =>
  Effect.gen(function* () {
    const { appliedAll, message, publishAt, start, state } = yield* worldAt(brokers, "away-", 2)
    const cluster = KafkaCluster.make({
      brokers: brokers.split(","),
      requestTimeout: "3 seconds",
      connectTimeout: "1 second"
    })
    const publish = yield* publishAt(clusterOf(brokers))
    yield* publish(rounds(4, 10, message))
    const { ready } = yield* start({ cluster, sessionTimeout: "3 seconds" })
    yield* appliedAll(40)
    const publishMore = publish(rounds(4, 10, (id, sequence) => message(id, 10 + sequence))).pipe(
      Effect.retry({ while: () => true })
    )
    const isInStep = Effect.gen(function* () {
      yield* appliedAll(80)
      yield* eventually(ready)
      expect(yield* state).toEqual(inOrder(4, 20))
    })
    return { ready, publishMore, isInStep }
  })

describeKafka("a Kafka", () => {
  layer(Layer.scoped(FrailKafka, makeFrailKafka), { excludeTestServices: true })((it) => {
    it.scoped("with TLS and SASL lets in who has the certificate and the password", () =>
      Effect.gen(function* () {
        const { certificate, secureBrokers } = yield* FrailKafka
        const topic = makeTopic("secure-")
        const make = (options: Omit<KafkaCluster.Options, "brokers">) =>
          KafkaSink.make({ topics: [topic], connectWithin: "30 seconds" }).pipe(
            Effect.provideService(
              KafkaCluster.KafkaCluster,
              KafkaCluster.make({ brokers: [secureBrokers], ...options })
            )
          )
        const password = (text: string) =>
          Redacted.make({ mechanism: "PLAIN", username: "app", password: text } as const)
        const tls = { ca: certificate }
        const sink = yield* make({ tls, sasl: password("s3cret") })
        expect(yield* sink.deliver([MessageFixture.make({ topic: topic.name })])).toEqual([])
        for (const options of [
          { tls, sasl: password("wr0ng") },
          { sasl: password("s3cret") },
          { tls: {}, sasl: password("s3cret") }
        ]) {
          const error = yield* Effect.flip(make(options))
          expect([error.reason, error.retryable]).toEqual(["AuthenticationFailed", false])
          expect(String(error) + JSON.stringify(error)).not.toMatch(/s3cret|wr0ng/)
        }
      })
    )

    it.scoped(
      "killed under load and started again: nothing is lost or applied twice, and the order of each key is kept",
      () =>
        Effect.gen(function* () {
          const { kafka } = yield* FrailKafka
          const { brokers, make, sink, topic } = yield* sinkAt(kafka.brokers, "killed-")
          const consumer = yield* follow(brokers)
          const lanes = [0, 1].map((lane) => Array.from({ length: 20 }, (_, at) => customer(2 * at + lane)))
          const committed: Array<Message.Message> = []
          let delivered = 0
          const load = (keys: ReadonlyArray<Key.Key>) =>
            Effect.forEach(
              Array.from({ length: 40 }, (_, at) => at),
              (round) =>
                Effect.suspend(() => {
                  const batch = keys.flatMap((key) =>
                    [1, 2, 3].map((step) => make({ key, sequence: 3 * round + step }))
                  )
                  committed.push(...batch)
                  return deliverUntilTaken(sink, batch).pipe(
                    Effect.map((rejections) => {
                      expect(rejections).toEqual([])
                      delivered += 1
                    }),
                    Effect.zipRight(Effect.sleep("20 millis"))
                  )
                }),
              { discard: true }
            )
          const loads = yield* Effect.fork(Effect.forEach(lanes, load, { concurrency: 2, discard: true }))
          const reached = (count: number) =>
            Effect.sleep("5 millis").pipe(Effect.repeat({ until: () => delivered >= count }))
          yield* reached(10)
          yield* kafka.kill("SIGKILL")
          const error = yield* Effect.flip(sink.deliver([make({ key: customer("away") })]))
          expect(error).toMatchObject({ reason: "Unavailable", retryable: true })
          yield* eventually(Effect.map(consumer.ready, (is) => !is))
          yield* kafka.start
          yield* reached(40)
          yield* kafka.restart()
          yield* consumer.publishMore
          yield* Fiber.join(loads)
          yield* consumer.isInStep
          const report = DeliveryChecker.check({
            committed,
            received: (yield* receivedFrom(brokers, topic.name)).filter(({ key }) => key !== customer("away"))
          })
          expect(report).toMatchObject({ lost: [], disordered: [], neverCommitted: [], altered: [] })
        })
    )

    it.scoped("that hangs is given up in time, and used again when it goes on", () =>
      Effect.gen(function* () {
        const { kafka } = yield* FrailKafka
        const topic = makeTopic("hangs-")
        const sink = yield* KafkaSink.make({ topics: [topic], create: { partitions: 1 } }).pipe(
          Effect.provideService(
            KafkaCluster.KafkaCluster,
            KafkaCluster.make({
              brokers: [kafka.brokers],
              requestTimeout: "1 second",
              connectTimeout: "1 second"
            })
          )
        )
        const make = (sequence: number) => MessageFixture.make({ topic: topic.name, sequence })
        yield* deliverUntilTaken(sink, [make(1)])
        yield* kafka.kill("SIGSTOP")
        for (let times = 0; times < 2; times++) {
          const [took, error] = yield* Effect.timed(Effect.flip(sink.deliver([make(2)])))
          expect(error).toMatchObject({ reason: "Unavailable", cause: { detail: "no answer in time" } })
          expect(Duration.toMillis(took)).toBeLessThan(8_000)
        }
        yield* kafka.kill("SIGCONT")
        expect(yield* deliverUntilTaken(sink, [make(2), make(3)])).toEqual([])
        const sequences = (yield* readTopic(kafka.brokers, topic.name)).map((one) => placeOf(one).sequence)
        expect([...new Set(sequences)]).toEqual([1, 2, 3])
      })
    )
  })
})
