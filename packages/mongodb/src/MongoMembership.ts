import { OutboxError, type OutboxStore } from "@twinbox/outbox"
import { type Context, Effect } from "effect"
import type { Binary, Document, MongoClient } from "mongodb"
import { majority, type LeaseRecord, type MongoCollections } from "./MongoCollections.ts"
import * as MongoCall from "./MongoCall.ts"
import type { MongoFence } from "./MongoFence.ts"
import * as MongoView from "./MongoView.ts"
import { attempt, stale, toOutboxError } from "./StoreError.ts"
import * as Transaction from "./Transaction.ts"

type Store = Context.Tag.Service<OutboxStore.OutboxStore>

export type MongoMembership = Pick<
  Store,
  "join" | "beat" | "expel" | "leave" | "claim" | "release" | "clearSuspects"
>

/** How long the end of a membership waits for a write of the relay that is expelled. */
const expelWithinMillis = 2_000

const maxTimeExpired = 50

/** The slots of a lease that are still its own. */
const heldBy = ({ epochs, owner }: OutboxStore.Lease): Document => ({
  owner,
  $or: [...epochs].map(([slot, epoch]) => ({ _id: slot, epoch }))
})

/** What a claim makes of a slot. Who takes it from an owner that did not give it back takes it as suspect. */
const taking = (owner: string): Array<Document> => [
  {
    $set: {
      owner,
      epoch: { $add: ["$epoch", 1] },
      suspect: { $or: ["$suspect", { $not: [{ $in: ["$owner", [null, owner]] }] }] }
    }
  }
]

export const make = (
  client: MongoClient,
  collections: MongoCollections,
  fence: MongoFence
): MongoMembership => {
  const { leases, relays } = collections

  /** Whether it is this very process that has joined under that name and done nothing since: its reply was lost. */
  const hasJoined = (owner: string, session: Binary) =>
    Effect.flatMap(
      attempt("join", () => relays.findOne({ _id: owner, session, counter: 1, writes: 0 })),
      (found) =>
        found === null
          ? Effect.fail(new OutboxError.OutboxError({ reason: "Refused", operation: "join" }))
          : Effect.void
    )

  const join: Store["join"] = (owner, leaseMillis) =>
    Effect.flatMap(fence.enter(owner), (session) =>
      MongoCall.attempt(() =>
        relays.insertOne(
          { _id: owner, counter: 1, leaseMillis, leaving: false, writes: 0, session },
          majority
        )
      ).pipe(
        Effect.catchTag("DuplicateKey", () => hasJoined(owner, session)),
        Effect.mapError(toOutboxError("join")),
        Effect.asVoid
      )
    )

  /** The read is of the same session as the write, and so sees at least what stood when the write committed. */
  const writeAndRead = (owner: string, leaving: boolean) =>
    attempt("beat", () =>
      client.withSession({ causalConsistency: true }, async (session) => {
        const { matchedCount } = await relays.updateOne(
          { _id: owner },
          { $inc: { counter: 1 }, $set: { leaving } },
          { session, ...majority }
        )
        return matchedCount === 1 ? MongoView.read(collections, session) : undefined
      })
    )

  const beat: Store["beat"] = (owner, leaving) =>
    Effect.flatMap(fence.inTurn(owner, writeAndRead(owner, leaving)), (view) =>
      view === undefined
        ? Effect.zipRight(fence.exit(owner), Effect.fail(stale("beat")))
        : Effect.succeed(view)
    )

  /**
   * Ends what the relay's session has open: the server keeps the transactions of a dead client for a minute, and with
   * them the heartbeat document. Sessions of the same user need no privilege. Without success the end of the
   * membership waits.
   *
   * Source: https://www.mongodb.com/docs/manual/reference/command/killSessions/
   */
  const killSession = (session: Binary) =>
    Effect.ignore(Effect.tryPromise(() => client.db("admin").command({ killSessions: [{ id: session }] })))

  const remove = ({ counter, owner }: Pick<OutboxStore.Member, "owner" | "counter">) =>
    MongoCall.attempt(() =>
      relays.deleteOne({ _id: owner, counter }, { maxTimeMS: expelWithinMillis, ...majority })
    ).pipe(
      Effect.mapError((error) =>
        error._tag === "Refused" && error.code === maxTimeExpired
          ? new OutboxError.OutboxError({ reason: "Unavailable", operation: "expel", cause: error })
          : toOutboxError("expel")(error)
      ),
      Effect.map(({ deletedCount }) => deletedCount === 1)
    )

  const expel: Store["expel"] = (member) =>
    Effect.flatMap(
      attempt("expel", () => relays.findOne({ _id: member.owner, counter: member.counter })),
      // A relay that lives is left in peace.
      (found) =>
        found === null ? Effect.succeed(false) : Effect.zipRight(killSession(found.session), remove(member))
    )

  const leave: Store["leave"] = (owner) =>
    Effect.zipRight(
      fence.inTurn(
        owner,
        attempt("leave", () => relays.deleteOne({ _id: owner }, majority))
      ),
      fence.exit(owner)
    )

  /** Takes what no other member owns; what the owner has already, by a claim whose reply was lost, it takes anew. */
  const claim: Store["claim"] = (owner, slots) =>
    fence.member(
      "claim",
      owner,
      Effect.gen(function* () {
        const members = yield* Transaction.use((session) =>
          relays.find({}, { session, projection: { _id: 1 } }).toArray()
        )
        const others = members.flatMap(({ _id }) => (_id === owner ? [] : [_id]))
        const wanted = { $in: [...slots] }
        yield* Transaction.use((session) =>
          leases.updateMany({ _id: wanted, owner: { $nin: others } }, taking(owner), { session })
        )
        const taken = yield* Transaction.use((session) =>
          leases.find({ _id: wanted, owner }, { session }).toArray()
        )
        return taken.map(MongoView.toSlotState)
      })
    )

  const changeHeld = (operation: string, lease: OutboxStore.Lease, change: Partial<LeaseRecord>) =>
    fence.member(
      operation,
      lease.owner,
      lease.epochs.size === 0
        ? Effect.void
        : Effect.asVoid(
            Transaction.use((session) => leases.updateMany(heldBy(lease), { $set: change }, { session }))
          )
    )

  return {
    join,
    beat,
    expel,
    leave,
    claim,
    release: (lease) => changeHeld("release", lease, { owner: null }),
    clearSuspects: (lease) => changeHeld("clearSuspects", lease, { suspect: false })
  }
}
