/** What Redis answers, in the terms of its protocol RESP2. */
export type RedisReply = string | number | null | RedisErrorReply | ReadonlyArray<RedisReply>

/** An error reply, such as `NOAUTH Authentication required.` */
export interface RedisErrorReply {
  readonly error: string
}

export const isErrorReply = (reply: RedisReply): reply is RedisErrorReply =>
  typeof reply === "object" && reply !== null && "error" in reply

interface Parsed {
  readonly reply: RedisReply
  readonly next: number
}

const parseBulk = (bytes: Buffer, at: number, length: number): Parsed | undefined => {
  if (length < 0) return { reply: null, next: at }
  if (bytes.length < at + length + 2) return undefined
  return { reply: bytes.toString("utf8", at, at + length), next: at + length + 2 }
}

const parseArray = (bytes: Buffer, at: number, length: number): Parsed | undefined => {
  const items: Array<RedisReply> = []
  let next = at
  for (let index = 0; index < length; index++) {
    const item = parseReply(bytes, next)
    if (item === undefined) return undefined
    items.push(item.reply)
    next = item.next
  }
  return { reply: items, next }
}

/** Reads one reply from `at`; undefined when it is not complete yet. */
export const parseReply = (bytes: Buffer, at: number): Parsed | undefined => {
  const end = bytes.indexOf("\r\n", at)
  if (end < 0) return undefined
  const kind = bytes.toString("latin1", at, at + 1)
  const text = bytes.toString("utf8", at + 1, end)
  if (kind === "$") return parseBulk(bytes, end + 2, Number(text))
  if (kind === "*") return parseArray(bytes, end + 2, Number(text))
  if (kind === ":") return { reply: Number(text), next: end + 2 }
  return { reply: kind === "-" ? { error: text } : text, next: end + 2 }
}

/** One command as Redis reads it. */
export const encodeCommand = (parts: ReadonlyArray<string>): string =>
  [`*${parts.length}`, ...parts.flatMap((part) => [`$${Buffer.byteLength(part)}`, part]), ""].join("\r\n")
