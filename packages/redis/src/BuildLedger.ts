import type { MirrorBuild } from "@twinbox/outbox"
import type { Reply } from "./RedisConnection.ts"

/** What the ledger of a build says. */
export interface BuildLedger {
  /** Empty: there is no build. */
  readonly build: string
  readonly rules: string
  /** Of the mirror's marker when it began; empty: there was none. */
  readonly generation: string
  readonly steps: number
  /** Number of the last chunk that was put aside. */
  readonly chunks: number
  /** Number of the last chunk that was swapped in. */
  readonly swapped: number
  /** States that stand aside. */
  readonly records: number
  /** Parts that are not wholly read. */
  readonly parts: ReadonlyArray<MirrorBuild.Part>
}

const partField = "part/"

/** Reads the answer to HGETALL. */
export const of = (reply: Reply): BuildLedger => {
  const texts = Array.isArray(reply) ? reply.map(String) : []
  const fields = new Map<string, string>()
  for (let at = 0; at < texts.length; at += 2) fields.set(texts[at] ?? "", texts[at + 1] ?? "")
  const text = (name: string) => fields.get(name) ?? ""
  const number = (name: string) => Number(fields.get(name) ?? 0)
  return {
    build: text("build"),
    rules: text("rules"),
    generation: text("generation"),
    steps: number("steps"),
    chunks: number("chunks"),
    swapped: number("swapped"),
    records: number("records"),
    parts: [...fields].flatMap(([name, rest]) =>
      name.startsWith(partField) ? [{ number: Number(name.slice(partField.length)), rest }] : []
    )
  }
}

/** Numbers of the chunks that stand aside, or may. */
export const standing = ({ chunks, swapped }: Pick<BuildLedger, "chunks" | "swapped">) =>
  Array.from({ length: Math.max(0, chunks - swapped) }, (_, at) => swapped + 1 + at)
