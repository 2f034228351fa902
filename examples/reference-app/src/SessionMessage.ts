import { Either, ParseResult, Schema } from "effect"
import { type CustomerBody, decode as decodeCustomer, Moment, text } from "./CustomerBody.ts"
import { CustomerId } from "./CustomerId.ts"
import { type FieldProblem, ofIssues } from "./FieldProblem.ts"
import { isDeeperThan } from "./RequestBody.ts"
import { MessageId, Properties, Type } from "./SessionEvent.ts"

/*
 * Messages as they come over a WebSocket. What the specification has beside these fields (`context`, `integrations`,
 * ...) may be there, and is not kept.
 */

/** Libraries send null for what they do not know. */
const optional = <A, I>(schema: Schema.Schema<A, I>) =>
  Schema.optionalWith(schema, { exact: true, nullable: true })

const common = {
  messageId: MessageId,
  timestamp: Moment,
  anonymousId: optional(text(1, 128))
}

const Identify = Schema.Struct({
  type: Schema.Literal("identify"),
  ...common,
  userId: CustomerId,
  traits: Schema.Unknown
})

const Track = Schema.Struct({
  type: Schema.Literal("track"),
  ...common,
  userId: optional(text(1, 512)),
  event: text(1, 128),
  properties: optional(Properties)
})

const Page = Schema.Struct({
  type: Schema.Literal("page"),
  ...common,
  userId: optional(text(1, 512)),
  name: optional(text(1, 128)),
  category: optional(text(1, 128)),
  properties: optional(Properties)
})

/** `https://segment.com/docs/connections/spec/identify/`, its traits being those of a customer. */
export type Identify = Omit<typeof Identify.Type, "traits"> & { readonly traits: CustomerBody }
export type SessionMessage = Identify | typeof Track.Type | typeof Page.Type

/** Why a text is no message. */
export interface NoMessage {
  readonly code: "invalid_json" | "invalid_message"
  /** Fixed words, never a value. */
  readonly message: string
  readonly messageId: string | null
}

const maxDepth = 32
const maxProblemsTold = 5

const decodeWith = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = ParseResult.decodeUnknownEither(schema, { errors: "all" })
  return (value: unknown): Either.Either<A, ReadonlyArray<FieldProblem>> =>
    Either.mapLeft(decode(value), (issue) => ofIssues(ParseResult.ArrayFormatter.formatIssueSync(issue)))
}

const decodeIdentifyWith = decodeWith(Identify)

const traitsOf = (traits: unknown): Either.Either<CustomerBody, ReadonlyArray<FieldProblem>> =>
  Either.mapLeft(decodeCustomer(traits), (problems) =>
    problems.map(({ path, problem }) => ({ path: path === "" ? "traits" : `traits.${path}`, problem }))
  )

const decodeIdentify = (value: unknown): Either.Either<Identify, ReadonlyArray<FieldProblem>> =>
  Either.flatMap(decodeIdentifyWith(value), (message) =>
    Either.map(traitsOf(message.traits), (traits) => ({ ...message, traits }))
  )

const decoders: Readonly<
  Record<Type, (value: unknown) => Either.Either<SessionMessage, ReadonlyArray<FieldProblem>>>
> = { identify: decodeIdentify, track: decodeWith(Track), page: decodeWith(Page) }

const isType = Schema.is(Type)
const isMessageId = Schema.is(MessageId)

const sentenceOf = (problems: ReadonlyArray<FieldProblem>): string =>
  problems
    .slice(0, maxProblemsTold)
    .map(({ path, problem }) => `${path === "" ? "the message" : path} ${problem}`)
    .join("; ")

const noJson: NoMessage = {
  code: "invalid_json",
  message: `A message is JSON text, ${maxDepth} levels deep at most.`,
  messageId: null
}

const noObject: NoMessage = {
  code: "invalid_message",
  message: "A message is a JSON object.",
  messageId: null
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const decodeObject = (value: Readonly<Record<string, unknown>>): Either.Either<SessionMessage, NoMessage> => {
  const { messageId, type } = value
  const refused = (message: string): NoMessage => ({
    code: "invalid_message",
    message,
    messageId: isMessageId(messageId) ? messageId : null
  })
  if (!isType(type)) return Either.left(refused(`type must be one of ${Type.literals.join(", ")}`))
  return Either.mapLeft(decoders[type](value), (problems) => refused(sentenceOf(problems)))
}

/** Reads a message. */
export const decode = (json: string): Either.Either<SessionMessage, NoMessage> =>
  Either.try({ try: () => JSON.parse(json) as unknown, catch: () => noJson }).pipe(
    Either.filterOrLeft(
      (value) => !isDeeperThan(value, maxDepth),
      () => noJson
    ),
    Either.flatMap((value) => (isObject(value) ? decodeObject(value) : Either.left(noObject)))
  )
