import { Option } from "effect"
import * as SyncCommand from "./SyncCommand.ts"

/** `--concurrency` and `--max-per-second` */
export const options = {
  concurrency: SyncCommand.count(
    "concurrency",
    "Parts of the collection that are worked on at once. Default 2."
  ),
  maxPerSecond: SyncCommand.count(
    "max-per-second",
    "Documents that are compared in a second, at most. Default: no limit."
  )
}

interface Given {
  readonly concurrency: Option.Option<number>
  readonly maxPerSecond: Option.Option<number>
}

/** The same as `TwinSync` takes it. */
export const of = ({ concurrency, maxPerSecond }: Given) => ({
  ...Option.match(concurrency, { onNone: () => ({}), onSome: (concurrency) => ({ concurrency }) }),
  ...Option.match(maxPerSecond, { onNone: () => ({}), onSome: (maxPerSecond) => ({ maxPerSecond }) })
})
