import { readFileSync } from "node:fs"
import { Either, Schema } from "effect"
import { describe, expect, it } from "vitest"
import { Anonymize, Anonymizer } from "../src/index.ts"
import { keyOf } from "./Customer.ts"

const Vectors = Schema.parseJson(
  Schema.Struct({
    fields: Schema.Array(
      Schema.Struct({
        strategy: Schema.Literal("pseudonym", "email", "sha256Hex", "sha256Base62"),
        secret: Schema.String,
        scope: Schema.String,
        length: Schema.Number,
        value: Schema.String,
        twin: Schema.String
      })
    ),
    checks: Schema.Array(Schema.Struct({ secret: Schema.String, check: Schema.String }))
  })
)
const vectors = Schema.decodeSync(Vectors)(readFileSync(new URL("vectors.json", import.meta.url), "utf8"))

type Vector = (typeof vectors.fields)[number]

const annotate = ({ strategy, scope, length }: Vector) => {
  if (strategy === "pseudonym") return Schema.String.pipe(Anonymize.pseudonym({ scope, length }))
  if (strategy === "email") return Schema.String.pipe(Anonymize.email({ scope, length }))
  return strategy === "sha256Hex" ? Anonymize.sha256Hex(Schema.String) : Anonymize.sha256Base62(Schema.String)
}

describe("vectors of another implementation", () => {
  it("are twenty at least", () => {
    expect(vectors.fields.length).toBeGreaterThanOrEqual(20)
  })

  it.each(vectors.fields)("$strategy $scope $length of $value is $twin", (vector) => {
    const anonymizer = Anonymizer.compile(Schema.Struct({ x: annotate(vector) }), keyOf(vector.secret)).pipe(
      Either.getOrThrow
    )
    expect(anonymizer.anonymize({ x: vector.value })).toEqual({ x: vector.twin })
  })

  it.each(vectors.checks)("check value $check", ({ secret, check }) => {
    expect(keyOf(secret).check).toBe(check)
  })
})
