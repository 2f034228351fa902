import { Data } from "effect"

/**
 * Why Kafka could not do what it was asked:
 * - `Unavailable`: no broker answers, or not in time; what was under way may have been done.
 * - `NotReady`: it answers, but cannot serve just now: a partition has no leader or too few replicas, a coordinator is loading.
 * - `UnknownTopic`: there is no such topic (or this user may not know of it).
 * - `AuthenticationFailed`: it refuses the credentials, wants some or TLS, or does not let this user do it.
 * - `TooLarge`: a record, or the records of one partition together, are over what the topic takes.
 * - `InvalidRecord`: the topic does not take such a record.
 * - `InvalidTopic`: a name that no topic can have, or settings that this Kafka cannot make a topic with.
 * - `Refused`: anything else; `detail` is Kafka's name of the error.
 */
export type KafkaErrorReason =
  | "Unavailable"
  | "NotReady"
  | "UnknownTopic"
  | "AuthenticationFailed"
  | "TooLarge"
  | "InvalidRecord"
  | "InvalidTopic"
  | "Refused"

const retryableReasons: ReadonlySet<KafkaErrorReason> = new Set(["Unavailable", "NotReady", "UnknownTopic"])

const sentences: Readonly<Record<KafkaErrorReason, string>> = {
  Unavailable: "does not answer",
  NotReady: "cannot serve just now",
  UnknownTopic: "has no such topic",
  AuthenticationFailed: "refused the credentials: check user, password, permissions and TLS",
  TooLarge: "takes no record of this size",
  InvalidRecord: "takes no such record",
  InvalidTopic: "cannot have such a topic",
  Refused: "refused the request"
}

/**
 * A request failed. `retryable` tells whether the same call may succeed later.
 *
 * There is no `cause`: the texts of the client and of the broker can quote credentials and values.
 */
export class KafkaError extends Data.TaggedError("KafkaError")<{
  readonly reason: KafkaErrorReason
  /** Hosts and ports of the brokers that are asked first. */
  readonly brokers: string
  /** A code such as `ECONNREFUSED` or `NOT_ENOUGH_REPLICAS`, or a few fixed words; never a value. */
  readonly detail?: string
}> {
  get retryable(): boolean {
    return retryableReasons.has(this.reason)
  }
  override get message() {
    const detail = this.detail === undefined ? "" : ` (${this.detail})`
    return `Kafka at ${this.brokers} ${sentences[this.reason]}${detail}`
  }
}

/** Names of errors: https://kafka.apache.org/protocol#protocol_error_codes. Those left out are `Refused`. */
const reasonsByName: ReadonlyMap<string, KafkaErrorReason> = new Map([
  ["REQUEST_TIMED_OUT", "Unavailable"],
  ["BROKER_NOT_AVAILABLE", "Unavailable"],
  ["NETWORK_EXCEPTION", "Unavailable"],
  ["LEADER_NOT_AVAILABLE", "NotReady"],
  ["NOT_LEADER_OR_FOLLOWER", "NotReady"],
  ["FENCED_LEADER_EPOCH", "NotReady"],
  ["UNKNOWN_LEADER_EPOCH", "NotReady"],
  ["REPLICA_NOT_AVAILABLE", "NotReady"],
  ["NOT_ENOUGH_REPLICAS", "NotReady"],
  ["NOT_ENOUGH_REPLICAS_AFTER_APPEND", "NotReady"],
  ["NOT_CONTROLLER", "NotReady"],
  ["NOT_COORDINATOR", "NotReady"],
  ["COORDINATOR_LOAD_IN_PROGRESS", "NotReady"],
  ["COORDINATOR_NOT_AVAILABLE", "NotReady"],
  ["KAFKA_STORAGE_ERROR", "NotReady"],
  ["THROTTLING_QUOTA_EXCEEDED", "NotReady"],
  // The idempotent producer begins anew with the next request.
  ["OUT_OF_ORDER_SEQUENCE_NUMBER", "NotReady"],
  ["UNKNOWN_PRODUCER_ID", "NotReady"],
  ["INVALID_PRODUCER_EPOCH", "NotReady"],
  ["UNKNOWN_TOPIC_OR_PARTITION", "UnknownTopic"],
  ["UNKNOWN_TOPIC_ID", "UnknownTopic"],
  ["TOPIC_AUTHORIZATION_FAILED", "AuthenticationFailed"],
  ["GROUP_AUTHORIZATION_FAILED", "AuthenticationFailed"],
  ["CLUSTER_AUTHORIZATION_FAILED", "AuthenticationFailed"],
  ["SASL_AUTHENTICATION_FAILED", "AuthenticationFailed"],
  ["UNSUPPORTED_SASL_MECHANISM", "AuthenticationFailed"],
  ["ILLEGAL_SASL_STATE", "AuthenticationFailed"],
  ["MESSAGE_TOO_LARGE", "TooLarge"],
  ["RECORD_LIST_TOO_LARGE", "TooLarge"],
  ["INVALID_RECORD", "InvalidRecord"],
  ["INVALID_TIMESTAMP", "InvalidRecord"],
  ["CORRUPT_MESSAGE", "InvalidRecord"],
  ["INVALID_TOPIC_EXCEPTION", "InvalidTopic"],
  ["INVALID_PARTITIONS", "InvalidTopic"],
  ["INVALID_REPLICATION_FACTOR", "InvalidTopic"],
  ["INVALID_CONFIG", "InvalidTopic"],
  ["POLICY_VIOLATION", "InvalidTopic"]
])

/** What a protocol error of Kafka means. */
export const ofName = (name: string, brokers: string): KafkaError =>
  new KafkaError({ reason: reasonsByName.get(name) ?? "Refused", brokers, detail: name })

interface Named {
  readonly code?: unknown
  readonly apiId?: unknown
}

/** An error with all that is in it: the client nests them as causes and as lists. */
export const errorsIn = (error: unknown): ReadonlyArray<Error & Named> => {
  const found: Array<Error & Named> = []
  const pending: Array<unknown> = [error]
  const limit = 100
  for (let at = 0; at < pending.length && at < limit; at++) {
    const one = pending[at]
    if (!(one instanceof Error)) continue
    found.push(one)
    if (one instanceof AggregateError) pending.push(...(one.errors as ReadonlyArray<unknown>))
    pending.push(one.cause)
  }
  return found
}

/** Codes of sockets and name look-ups, such as `ECONNREFUSED`; of TLS, such as `SELF_SIGNED_CERT_IN_CHAIN`. */
const systemCodeOf = ({ code }: Named): string | undefined =>
  typeof code === "string" && !code.startsWith("PLT_KFK_") ? code : undefined

const isCertificateCode = (code: string): boolean => /CERT|^ERR_TLS|^ERR_SSL|^UNABLE_TO/.test(code)

/** What the client says in words only, by the beginning of its text. */
const ofWords = (text: string): KafkaErrorReason | undefined => {
  if (text.startsWith("Unknown topic ")) return "UnknownTopic"
  return /^Broker requires TLS|^TLS handshake failed/.test(text) ? "AuthenticationFailed" : undefined
}

/** Turns what the client threw into a typed error. */
export const fromClient = (error: unknown, brokers: string): KafkaError => {
  const errors = errorsIn(error)
  const name = errors.map(({ apiId }) => apiId).find((apiId) => typeof apiId === "string")
  if (name !== undefined) return ofName(name, brokers)
  const code = errors.map(systemCodeOf).find((code) => code !== undefined)
  const detail = code === undefined ? {} : { detail: code }
  const reason = errors.map(({ message }) => ofWords(message)).find((reason) => reason !== undefined)
  if (reason !== undefined) return new KafkaError({ reason, brokers, ...detail })
  const isRefusal = errors.some((one) => one.code === "PLT_KFK_AUTHENTICATION")
  if (isRefusal || (code !== undefined && isCertificateCode(code))) {
    return new KafkaError({ reason: "AuthenticationFailed", brokers, ...detail })
  }
  const isOfNetwork = code !== undefined || errors.some((one) => one.code === "PLT_KFK_NETWORK")
  return new KafkaError({ reason: isOfNetwork ? "Unavailable" : "Refused", brokers, ...detail })
}
