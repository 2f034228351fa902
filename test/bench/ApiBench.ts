import { Agent, request } from "node:http"
import { TwinRepository } from "@twinbox/repository"
import { Effect } from "effect"
import {
  Customer,
  customerOriginalTopic,
  customerStream,
  customerTopic,
  FullCustomer
} from "../../examples/reference-app/src/Customer.ts"
import { startApp } from "../setup/appProcess.ts"
import * as BenchCustomer from "./BenchCustomer.ts"
import { inDatabase, type Servers } from "./BenchServers.ts"
import type { Figure } from "./Figure.ts"
import { effectsPerSecond, median, promisesPerSecond, round } from "./Measure.ts"

export interface ApiResult {
  readonly connections: number
  readonly apiPerSecond: number
  readonly repositoryPerSecond: number
  readonly ratio: number
}

const connections = 64

/** Requests and saves of one turn, at full size. */
const sizes = { api: 6_400, repository: 1_600 }

const secret = "5f0c9a1be7d24386fa17c05e92bd6843"

/** The role `api` as a process of its own, as users run it. */
const startApi = (servers: Servers, database: string) =>
  Effect.gen(function* () {
    const uri = new URL(servers.mongoUri)
    uri.pathname = `/${database}`
    const app = yield* startApp({
      env: { MONGODB_URI: uri.href, REDIS_URL: servers.redisUrl, ANONYMIZE_SECRET: secret },
      args: ["--roles", "api"]
    })
    const [, base = ""] = yield* Effect.promise(() => app.waitFor(/HTTP: (http:\S+) has/))
    return base
  })

/** One request over one of the kept connections. */
const post = (url: URL, agent: Agent, body: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method: "POST",
        agent,
        headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) }
      },
      (response) => {
        response.resume()
        response.once("end", () =>
          response.statusCode === 201 ? resolve() : reject(new Error(`answered ${response.statusCode}`))
        )
      }
    )
    sent.once("error", reject)
    sent.end(body)
  })

const bodyOf = (n: number): string => JSON.stringify(BenchCustomer.customer(n))

const makeRepository = TwinRepository.make({
  schema: Customer,
  collection: "bare_customers",
  topic: customerTopic,
  originalTopic: customerOriginalTopic,
  stream: customerStream,
  key: BenchCustomer.key
})

const compare = (servers: Servers, database: string, rounds: number, scale: number) =>
  Effect.gen(function* () {
    const base = yield* startApi(servers, database)
    const repository = yield* makeRepository
    const agent = yield* Effect.acquireRelease(
      Effect.sync(() => new Agent({ keepAlive: true, maxSockets: connections })),
      (open) => Effect.sync(() => open.destroy())
    )
    const url = new URL("/v1/customer", base)
    const byApi = Effect.promise(() =>
      promisesPerSecond(Math.round(sizes.api * scale), connections, (n) => post(url, agent, bodyOf(n)))
    )
    const bare = effectsPerSecond(Math.round(sizes.repository * scale), connections, (n) =>
      repository.create(FullCustomer.make(BenchCustomer.customer(n)))
    )
    const samples: Array<readonly [api: number, repository: number]> = []
    // The first round only warms up; who goes first alternates.
    for (let at = 0; at <= rounds; at++) {
      const apiFirst = at % 2 === 0
      const first = yield* apiFirst ? byApi : bare
      const second = yield* apiFirst ? bare : byApi
      if (at > 0) samples.push(apiFirst ? [first, second] : [second, first])
    }
    return {
      connections,
      apiPerSecond: round(median(samples.map(([api]) => api))),
      repositoryPerSecond: round(median(samples.map(([, own]) => own))),
      ratio: round(median(samples.map(([api, own]) => api / own)), 2)
    } satisfies ApiResult
  })

/**
 * (l) `POST /v1/customer` over 64 kept connections, with all that the role `api` does for a request, against `create` of
 * a repository without group commit in the process that measures. The two take turns.
 */
export const run = (servers: Servers, rounds: number, scale: number) =>
  inDatabase(servers, "api", compare(servers, "api", rounds, scale))

export const figures = ({ connections, ratio }: ApiResult): ReadonlyArray<Figure> => [
  {
    name: `(l) POST /v1/customer / bare repository without group commit, ${connections} at once`,
    measured: ratio,
    atLeast: 0.6
  }
]
