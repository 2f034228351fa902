import { type MongoDatabase, type MongoError, MongoInbox } from "@twinbox/mongodb"
import type { RemoteWrite } from "@twinbox/outbox"
import { RemoteWrites } from "@twinbox/repository"
import { Context, Effect, Layer, Option } from "effect"
import { Customer } from "./Customer.ts"
import { Customers } from "./Customers.ts"

/** Decides on the customers that were written in Redis; none where Redis takes no writes. */
export class RemoteCustomers extends Context.Tag("@twinbox/reference-app/RemoteCustomers")<
  RemoteCustomers,
  Option.Option<Context.Tag.Service<RemoteWrite.RemoteWrites>>
>() {}

/** Stays the same: under another name, writes that were applied just before a stop would be applied again. */
const consumer = "customers-v2"

const make = Effect.flatMap(Customers, (repository) =>
  RemoteWrites.make({ repository, schema: Customer, consumer })
)

export const layer: Layer.Layer<
  RemoteCustomers,
  MongoError.MongoError,
  Customers | MongoDatabase.MongoDatabase
> = Layer.scoped(RemoteCustomers, Effect.asSome(make)).pipe(Layer.provide(MongoInbox.layer()))

export const layerUnneeded: Layer.Layer<RemoteCustomers> = Layer.succeed(RemoteCustomers, Option.none())
