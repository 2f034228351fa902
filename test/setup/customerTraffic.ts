import { Effect, Random } from "effect"

/* Writes of customers over HTTP, of both versions of the API. */

interface Pool {
  /** Ids of customers that may be there. */
  readonly ids: Array<string>
}

export interface Traffic {
  /** Writes that were answered with a success. */
  readonly succeeded: () => number
  /** How often each other answer came, by what it says; `v1 404 not-found`, for example. */
  readonly others: ReadonlyMap<string, number>
}

export interface Options {
  /** Where the API is. */
  readonly base: string
  /** Writes that have to succeed. */
  readonly count: number
  /** Roughly how many are tried in a second. */
  readonly perSecond: number
}

/** Clients at once, each with a pause after each write. */
const clients = 16

const apis = ["v1", "v2"] as const

const send = (url: string, method: string, headers: Readonly<Record<string, string>>, body: unknown) =>
  Effect.promise(async () => {
    const response = await fetch(url, {
      method,
      headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    const text = await response.text()
    return {
      status: response.status,
      etag: response.headers.get("etag"),
      body: text === "" ? undefined : (JSON.parse(text) as Readonly<Record<string, unknown>>)
    }
  })

const pick = (pool: Pool) =>
  Effect.map(Random.nextIntBetween(0, Math.max(1, pool.ids.length)), (at) => pool.ids[at])

/** A value that no other write has: so none leaves things as they are. */
const shortCustomer = (mark: number) => ({ name: `name ${mark}`, address: `street ${mark}` })

const fullCustomer = (mark: number) => ({
  firstName: `Ada ${mark}`,
  lastName: "Lovelace",
  email: `ada.${mark % 50}@example.org`,
  address: { line1: `${mark} Road`, line2: "", postcode: "N1", city: "London", state: "", country: "UK" }
})

/** Whether it is full or short stays the same: a patch is for one of the two. */
const wholeOf = (mark: number) => (mark % 2 === 0 ? shortCustomer(mark) : fullCustomer(mark))

/** Sends writes of all kinds to both APIs, on the same customers, until so many have succeeded. */
export const start = ({ base, count, perSecond }: Options) =>
  Effect.gen(function* () {
    const pool: Pool = { ids: [] }
    const others = new Map<string, number>()
    let succeeded = 0
    let marks = 0

    const write = Effect.gen(function* () {
      const api = apis[(marks += 1) % 2] ?? "v1"
      const mark = marks
      const chance = yield* Random.next
      const id = yield* pick(pool)
      const single = `${base}/${api}/customer`
      const settle = ({ body, status }: Effect.Effect.Success<ReturnType<typeof send>>) => {
        if (status < 300) {
          succeeded += 1
          if (status === 201) pool.ids.push(String(body?.["uid"]))
          return
        }
        const what = `${api} ${status} ${String(body?.["type"]).split(":").at(-1)}`
        others.set(what, (others.get(what) ?? 0) + 1)
      }
      if (id === undefined || chance < 0.3) return settle(yield* send(single, "POST", {}, wholeOf(mark)))
      const url = `${single}/${id}`
      if (chance < 0.35) {
        pool.ids.splice(pool.ids.indexOf(id), 1)
        return settle(yield* send(url, "DELETE", {}, undefined))
      }
      if (chance < 0.5) return settle(yield* send(url, "PUT", {}, wholeOf(mark)))
      const known = yield* send(url, "GET", {}, undefined)
      const isShort = known.body?.["name"] !== undefined
      const patch = isShort ? { name: `name ${mark}` } : { lastName: `Lovelace ${mark}` }
      const headers = chance < 0.6 && known.etag !== null ? { "if-match": known.etag } : {}
      return settle(yield* send(url, "PATCH", headers, patch))
    })

    const pauseMillis = Math.round((clients * 1_000) / perSecond)
    const paced = Effect.zipRight(
      write,
      Effect.flatMap(Random.nextIntBetween(0, 2 * pauseMillis), (millis) => Effect.sleep(millis))
    )
    const client = Effect.repeat(paced, { until: () => succeeded >= count })
    const running = yield* Effect.forkScoped(
      Effect.all(
        Array.from({ length: clients }, () => client),
        { concurrency: "unbounded", discard: true }
      )
    )
    return { running, traffic: { succeeded: () => succeeded, others } satisfies Traffic }
  })
