import { MongoError } from "@twinbox/mongodb"
import { OutboxError } from "@twinbox/outbox"
import { describe, expect, it } from "vitest"
import { Failed, Unfinished } from "../src/CommandError.ts"
import * as Sentence from "../src/Sentence.ts"

const unavailable = new OutboxError.OutboxError({ reason: "Unavailable", operation: "requeue" })
const refused = (code: number) => new MongoError.Refused({ code, codeName: "SomeName", cause: "a secret" })

describe("Sentence.of", () => {
  it.each([
    [new Failed({ message: "there is no sink 'x'" }), "there is no sink 'x'"],
    [unavailable, "MongoDB did not answer: run the same command again"],
    [
      new OutboxError.OutboxError({ reason: "Refused", operation: "x", cause: refused(13) }),
      "the role readWrite"
    ],
    [new OutboxError.OutboxError({ reason: "Refused", operation: "x", cause: refused(26) }), "SomeName"],
    [new MongoError.Unavailable({ cause: "x" }), "check --uri or MONGODB_URI"],
    [new Unfinished({ progress: "500 dead letters", cause: undefined }), "stopped after 500 dead letters"],
    [new Unfinished({ progress: "500 dead letters", cause: unavailable }), "(500 dead letters done before)"]
  ])("tells %s", (error, sentence) => {
    expect(Sentence.of(error)).toContain(sentence)
    expect(Sentence.of(error)).not.toMatch(/\n|a secret/)
  })
})
