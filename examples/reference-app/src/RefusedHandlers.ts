import { HttpApiBuilder, HttpServerResponse } from "@effect/platform"
import { Key } from "@twinbox/outbox"
import type { RedisError, RedisOutbox } from "@twinbox/redis"
import { Effect, Option } from "effect"
import { need } from "./Access.ts"
import { Api } from "./Api.ts"
import { CustomerOutbox } from "./CustomerOutbox.ts"
import { CustomerStoreError } from "./CustomerStore.ts"
import { Problem } from "./Problem.ts"
import * as RedisCustomers from "./RedisCustomers.ts"
import { pageSize } from "./RefusedApi.ts"
import { RequestLimits } from "./RequestLimits.ts"
import * as StoreProblem from "./StoreProblem.ts"

const gone = new Problem({ kind: "not-found", detail: "There is no refused write at this position." })

const shown = ({ key, operation, refusedAt, ...write }: RedisOutbox.RefusedWrite) => ({
  ...write,
  uid: key === undefined ? null : Key.idOf(key),
  operation: operation ?? null,
  refusedAt: new Date(refusedAt).toISOString()
})

const page = (found: ReadonlyArray<RedisOutbox.RefusedWrite>) => ({
  items: found.map(shown),
  next: found.length < pageSize ? null : (found.at(-1)?.position ?? null)
})

/** A write that is not listed is nothing wrong with a customer. */
const changeFailed = (error: RedisOutbox.WriteRefused | RedisError.RedisError): Problem =>
  error.reason === "NotFound" ? gone : StoreProblem.of(RedisCustomers.writeFailed(error))

const listFailed = (error: RedisError.RedisError): Problem =>
  StoreProblem.of(RedisCustomers.readFailed(error))

const absent = StoreProblem.of(new CustomerStoreError({ reason: "Absent" }))

/** Lets people look after what MongoDB refused. */
export const layer = HttpApiBuilder.group(Api, "refused", (handlers) =>
  Effect.gen(function* () {
    const { run } = yield* RequestLimits
    const outbox = yield* CustomerOutbox
    /** An operation for those who may. */
    const administer = <A>(operation: (writes: RedisOutbox.RefusedWrites) => Effect.Effect<A, Problem>) =>
      run(
        Effect.zipRight(
          need("admin"),
          Option.match(outbox, { onNone: () => absent, onSome: ({ refused }) => operation(refused) })
        )
      )
    const change = <A>(
      operation: (
        writes: RedisOutbox.RefusedWrites
      ) => Effect.Effect<A, RedisOutbox.WriteRefused | RedisError.RedisError>
    ) => administer((writes) => Effect.uninterruptible(Effect.mapError(operation(writes), changeFailed)))

    return handlers
      .handle("list", ({ urlParams }) =>
        Effect.map(
          administer((writes) => Effect.mapError(writes.list({ limit: pageSize, ...urlParams }), listFailed)),
          (found) => HttpServerResponse.unsafeJson(page(found), { headers: { "cache-control": "no-store" } })
        )
      )
      .handle("requeue", ({ path }) =>
        Effect.map(
          change((writes) => writes.requeue(path.position)),
          (pending) => HttpServerResponse.empty({ status: 204, headers: { "x-pending": pending } })
        )
      )
      .handle("discard", ({ path }) => change((writes) => writes.discard(path.position)))
  })
)
