import { Topic } from "@twinbox/outbox"
import { Schema } from "effect"

const Payload = Schema.Struct({ revision: Schema.Int })

export const customers = Topic.anonymized("customers", Payload)

/** Comes with some messages of customers, in the same place of their key. */
export const audits = Topic.anonymized("audits", Payload)

export const reminders = Topic.anonymized("reminders", Payload, { ordered: false })
