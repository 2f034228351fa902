import { Key, type Message } from "@twinbox/outbox"
import { FastCheck } from "effect"
import * as MessageFixture from "./MessageFixture.ts"

export interface Options {
  /** Default 5. */
  readonly maxKeys?: number
  /** Messages in all. Default 40. */
  readonly maxMessages?: number
}

/**
 * What several writers may have committed, in commit order: messages of a few keys mixed with one another,
 * each key with rising sequences, some of them with two messages (ordinals 0 and 1).
 */
export const history = (options: Options = {}): FastCheck.Arbitrary<ReadonlyArray<Message.Message>> =>
  FastCheck.array(
    FastCheck.record({
      key: FastCheck.nat({ max: (options.maxKeys ?? 5) - 1 }),
      twice: FastCheck.boolean()
    }),
    { minLength: 1, maxLength: Math.ceil((options.maxMessages ?? 40) / 2) }
  ).map((writes) => {
    const sequences = new Map<number, number>()
    return writes.flatMap((write) => {
      const sequence = (sequences.get(write.key) ?? 0) + 1
      sequences.set(write.key, sequence)
      const fields = { key: Key.make("customer", String(write.key)), sequence }
      const idOf = (ordinal: number) => `${write.key}-${sequence}-${ordinal}`
      const first = MessageFixture.make({ ...fields, id: idOf(0) })
      return write.twice ? [first, MessageFixture.make({ ...fields, id: idOf(1), ordinal: 1 })] : [first]
    })
  })
