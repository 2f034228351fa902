import { define, type MirrorOptions } from "@twinbox/cli/config"
import { Effect } from "effect"
import { customerIndexes } from "./src/CustomerIndexes.ts"
import * as Customers from "./src/Customers.ts"
import * as Settings from "./src/Settings.ts"

/** What the role relay makes. */
const twins: MirrorOptions = { view: "anonymized" }
const originals: MirrorOptions = { view: "original", indexes: customerIndexes }

/** The customers as the `twinbox` command knows them. `TWO_WAY` tells whether Redis has the originals, too. */
export default Effect.map(Customers.definition, (definition) =>
  define({ ...definition, mirrors: definition.originalTopic === undefined ? [twins] : [twins, originals] })
).pipe(Effect.provide(Settings.layerConfig))
