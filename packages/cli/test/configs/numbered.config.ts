import { define } from "@twinbox/cli/config"
import { Config, Effect } from "effect"
import { definition } from "./customers.config.ts"

/** Of one of several shops, which the environment names. */
export default Effect.map(Config.integer("SHOP"), (shop) =>
  define({ ...definition, collection: `customers${shop}` })
)
