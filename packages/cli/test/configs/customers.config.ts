import { Anonymize } from "@twinbox/anonymize"
import { define } from "@twinbox/cli/config"
import { TwinTopic } from "@twinbox/repository"
import { Schema } from "effect"

const Customer = Schema.Struct({
  name: Schema.String.pipe(Anonymize.pseudonym),
  note: Schema.optional(Schema.String.pipe(Anonymize.redact)),
  city: Schema.String.pipe(Anonymize.keep)
})

/** What a repository of these customers is made with. */
export const definition = {
  schema: Customer,
  collection: "customers",
  topic: TwinTopic.anonymized("customer", Customer),
  originalTopic: TwinTopic.original("customer-original", Customer)
}

export default define({ ...definition, mirrors: [{ view: "anonymized" }, { view: "original" }] })
