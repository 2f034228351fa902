import { inspect } from "node:util"
import { ConfigProvider, Effect, Either, Redacted } from "effect"
import { describe, expect, it } from "vitest"
import { AnonymizeKey } from "../src/index.ts"
import { keyOf, otherSecretText, secretText } from "./Customer.ts"

const refused = (text: string, version = 1) =>
  AnonymizeKey.make({ version, secret: Redacted.make(text) }).pipe(
    Either.match({ onLeft: (error) => error.reason, onRight: () => "accepted" })
  )

const bytes = Buffer.from(secretText, "hex")

describe("a secret", () => {
  it.each([
    ["hexadecimal of 128 bits", bytes.toString("hex", 0, 16)],
    ["upper-case hexadecimal", secretText.toUpperCase()],
    ["base64 with padding", bytes.toString("base64")],
    ["base64 of 128 bits without padding", bytes.toString("base64", 0, 16).replace("==", "")],
    ["base64url", bytes.toString("base64url")],
    ["hexadecimal with blanks and a line break around it", `  ${secretText}\n`]
  ])("is accepted as %s", (_, text) => {
    expect(refused(text)).toBe("accepted")
  })

  it.each([
    ["nothing", "", "Missing"],
    ["blanks", " \t\n", "Missing"],
    ["a short word", "changeme", "TooShort"],
    ["120 bits in hexadecimal", bytes.toString("hex", 0, 15), "TooShort"],
    ["120 bits in base64", bytes.toString("base64", 0, 15), "TooShort"],
    ["hexadecimal that base64 would take for 144 bits", bytes.toString("hex", 0, 12), "TooShort"],
    ["hexadecimal with a digit lost", secretText.slice(1), "Malformed"],
    ["a passphrase", "correct horse battery staple again", "Malformed"],
    ["base64 with a character lost", bytes.toString("base64").slice(0, 41), "Malformed"],
    ["base64 with too much padding", `${bytes.toString("base64", 0, 18)}==`, "Malformed"],
    ["base64 with bits nobody reads", `${bytes.toString("base64url", 0, 16).slice(0, 21)}B`, "Malformed"],
    ["two base64 alphabets in one", "ab+/-_cdefghijklmnopqrstuvwxyz01", "Malformed"],
    ["letters of other scripts", "é".repeat(40), "Malformed"],
    ["zeros", "0".repeat(64), "Weak"],
    ["few distinct bytes", "01020304050607070605040302010102", "Weak"],
    ["a repeated sequence", "0123456789abcdef".repeat(4), "Weak"],
    ["counted bytes", "000102030405060708090a0b0c0d0e0f", "Weak"]
  ])("is refused when it is %s", (_, text, reason) => {
    expect(refused(text)).toBe(reason)
  })

  it.each([0, -1, 1.5, Number.NaN, 2 ** 31])("is refused under version %d", (version) => {
    expect(refused(secretText, version)).toBe("Version")
  })

  it("is refused with a sentence that says what to do and shows nothing of it", () => {
    const text = "my secret, which is no secret at all"
    const error = Either.flip(AnonymizeKey.make({ version: 1, secret: Redacted.make(text) })).pipe(
      Either.getOrThrow
    )
    const printed = `${error.message} ${error.stack} ${inspect(error, { depth: 9 })}`
    expect(printed).toContain("openssl rand -hex 32")
    expect(printed).not.toContain("no secret at all")
  })
})

describe("a key", () => {
  const key = keyOf()
  const pads = Array.from(bytes.subarray(0, 4), (byte) => byte ^ 0x36).join(", ")

  it.each([
    ["text", String(key)],
    ["JSON", JSON.stringify({ key })],
    ["inspection", inspect(key, { depth: 9, showHidden: true })],
    ["inspection of what it is made of", inspect({ ...key }, { depth: 9, showHidden: true })]
  ])("shows no secret as %s", (_, printed) => {
    for (const form of [secretText, bytes.toString("base64"), bytes.toString("latin1"), pads]) {
      expect(printed).not.toContain(form)
    }
  })

  it("has a check value that is the same for the same secret only, whatever its notation", () => {
    expect(key.check).toMatch(/^[0-9a-f]{32}$/)
    expect(keyOf(bytes.toString("base64url"), 7).check).toBe(key.check)
    expect(keyOf(otherSecretText).check).not.toBe(key.check)
  })

  const fromEnvironment = (entries: ReadonlyArray<readonly [string, string]>) =>
    AnonymizeKey.config.pipe(
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(entries))),
      Effect.either,
      Effect.runSync
    )

  it("comes from the configuration, version 1 unless told otherwise", () => {
    const secret = ["ANONYMIZE_SECRET", secretText] as const
    const [first, third] = [[secret], [secret, ["ANONYMIZE_KEY_VERSION", "3"] as const]].map(fromEnvironment)
    expect(first && Either.getOrThrow(first).version).toBe(1)
    expect(third && Either.getOrThrow(third).version).toBe(3)
  })

  it("does not come from a configuration without a secret", () => {
    const result = fromEnvironment([])
    expect(Either.isLeft(result) && result.left).toMatchObject({ _tag: "SecretError", reason: "Missing" })
  })

  it("can be made of a generated secret, another one each time", () => {
    const [one, two] = [Effect.runSync(AnonymizeKey.generate), Effect.runSync(AnonymizeKey.generate)]
    expect(refused(Redacted.value(one))).toBe("accepted")
    expect(Redacted.value(one)).not.toBe(Redacted.value(two))
  })
})
