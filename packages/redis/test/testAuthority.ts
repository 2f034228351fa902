import { Key, type Message, RemoteWrite, Slot } from "@twinbox/outbox"
import { Effect } from "effect"

type Json = Readonly<Record<string, unknown>>

interface Stored {
  readonly version: number
  readonly document: Json | null
}

/** What the authority can be asked to do with a document. */
export interface Change {
  readonly operation: RemoteWrite.Operation
  readonly body: Json | null
  readonly expectedVersion?: number
}

const nothing: Stored = { version: 0, document: null }

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** JSON Merge Patch (RFC 7396). */
export const merge = (target: unknown, patch: unknown): unknown => {
  if (!isObject(patch)) return patch
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {}
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name]
    else merged[name] = merge(merged[name], value)
  }
  return merged
}

const toJson = (text: string | null): Json | null => (text === null ? null : (JSON.parse(text) as Json))

/**
 * A small database that decides: documents with versions, once per write id, and a message for each change in the
 * order of its commits. It refuses documents with a field `invalid`.
 */
export class Authority {
  readonly #stream: string
  readonly #documents = new Map<string, Stored>()
  readonly #decided = new Map<string, RemoteWrite.Refusal | "Applied">()
  /** Messages of the originals' topic, in order of commit. */
  readonly messages: Array<Message.Message> = []
  /** Positions in the order in which they were given to `apply`, repetitions included. */
  readonly given: Array<{ readonly position: string; readonly key: Key.Key }> = []

  constructor(stream = "customer") {
    this.#stream = stream
  }

  /** How many writes of another store it has decided on. */
  get decided(): number {
    return this.#decided.size
  }

  state(id: string): RemoteWrite.State {
    const { document, version } = this.#documents.get(id) ?? nothing
    return {
      version,
      payload: document === null ? null : JSON.stringify({ _id: id, version, ...document })
    }
  }

  document(id: string): Json | null {
    return (this.#documents.get(id) ?? nothing).document
  }

  #refusal(
    { document, version }: Stored,
    next: Json | null,
    change: Change
  ): RemoteWrite.Refusal | undefined {
    if (change.operation === "create" && document !== null) return "Exists"
    if (change.operation !== "create" && document === null) return "NotFound"
    if (change.expectedVersion !== undefined && change.expectedVersion !== version) return "VersionConflict"
    return next !== null && "invalid" in next ? "Invalid" : undefined
  }

  /** A write of the authority's own; undefined: it was done. */
  change(id: string, change: Change, headers: Message.Headers = {}): RemoteWrite.Refusal | undefined {
    const before = this.#documents.get(id) ?? nothing
    const merged = change.operation === "patch" ? merge(before.document, change.body) : change.body
    const next = change.operation === "delete" ? null : (merged as Json)
    const refusal = this.#refusal(before, next, change)
    if (refusal !== undefined) return refusal
    this.#documents.set(id, { version: before.version + 1, document: next })
    this.#publish(id, headers)
    return undefined
  }

  #publish(id: string, headers: Message.Headers): void {
    const key = Key.make(this.#stream, id)
    const { payload, version } = this.state(id)
    this.messages.push({
      id: `message-${this.messages.length}`,
      topic: "customer-originals",
      key,
      slot: Slot.ofKey(key),
      sequence: version,
      ordinal: 0,
      payload,
      headers,
      createdAt: 0
    })
  }

  /** Applies a write of another store, once. */
  apply(write: RemoteWrite.RemoteWrite): RemoteWrite.Verdict {
    const id = Key.idOf(write.key)
    this.given.push({ position: write.position, key: write.key })
    const outcome =
      this.#decided.get(write.id) ??
      this.change(
        id,
        {
          operation: write.operation,
          body: toJson(write.body),
          ...(write.expectedVersion === undefined ? {} : { expectedVersion: write.expectedVersion })
        },
        { ...write.headers, [RemoteWrite.header]: write.position }
      ) ??
      "Applied"
    this.#decided.set(write.id, outcome)
    const state = this.state(id)
    return outcome === "Applied" ? { _tag: "Applied", state } : { _tag: "Refused", reason: outcome, state }
  }

  /** The port, as a reader sees it. */
  readonly port: typeof RemoteWrite.RemoteWrites.Service = {
    apply: (write) => Effect.sync(() => this.apply(write)),
    current: (key) => Effect.sync(() => this.state(Key.idOf(key)))
  }
}
