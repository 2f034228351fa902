import { Cause, ConfigProvider, Effect, Either, Layer, LogLevel, Option } from "effect"
import { describe, expect, it } from "vitest"
import { sentenceOf } from "../src/Sentence.ts"
import * as Settings from "../src/Settings.ts"

const read = (values: Readonly<Record<string, string>>) =>
  Effect.runSync(
    Settings.Settings.pipe(
      Effect.provide(
        Layer.provide(
          Settings.layerConfig,
          Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(values))))
        )
      ),
      Effect.either
    )
  )

const problem = (values: Readonly<Record<string, string>>) =>
  Either.match(read(values), {
    onLeft: (error) => sentenceOf(Cause.fail(error)),
    onRight: () => "none"
  })

describe("settings", () => {
  it("have presets, which empty values leave alone", () => {
    const preset = {
      dataFolder: ".data",
      isMongoGiven: false,
      logFormat: "auto",
      logLevel: Option.none(),
      twoWay: true,
      kafka: true,
      generator: { delayMillis: 200, batchMin: 1, batchMax: 10, updateShare: 0.2, deleteShare: 0.05 },
      http: { host: "127.0.0.1", port: 3000 },
      ingest: {
        connections: 500,
        connectionsPerAddress: 100,
        rate: 100,
        ratePerAddress: 2_000,
        pingMillis: 30_000
      },
      exports: { expiryMinutes: 60, maxMegabytes: 4_096, maxPerUser: 3, heartbeatLimitMillis: 15_000 },
      syncBatchSize: 1_000,
      apiTokens: Option.none()
    }
    expect(read({})).toEqual(Either.right(preset))
    expect(read({ FAKER_BATCH_MAX: "", LOG_LEVEL: "", MONGODB_URI: "" })).toEqual(Either.right(preset))
  })

  it("are read as they are meant", () => {
    const values = {
      LOG_LEVEL: "Debug",
      LOG_FORMAT: "json",
      FAKER_DELETE_SHARE: "0",
      MONGODB_URI: "x",
      HOST: "::",
      PORT: "0"
    }
    expect(Either.getOrThrow(read(values))).toMatchObject({
      logLevel: Option.some(LogLevel.Debug),
      logFormat: "json",
      isMongoGiven: true,
      generator: { deleteShare: 0 },
      http: { host: "::", port: 0 }
    })
  })

  it.each([
    ["FAKER_FILLING_DELAY_MS", "-1"],
    ["FAKER_BATCH_MIN", "0"],
    ["FAKER_BATCH_MAX", "2.5"],
    ["FAKER_UPDATE_SHARE", "1.1"],
    ["FAKER_DELETE_SHARE", "NaN"],
    ["PORT", "65536"],
    ["PORT", "http"],
    ["KAFKA", "maybe"],
    ["INGEST_CONNECTIONS", "901"],
    ["INGEST_RATE", "0"],
    ["LOG_LEVEL", "constructor"]
  ])("%s=%s is refused by its name", (name, value) => {
    expect(problem({ [name]: value })).toMatch(
      new RegExp(`^the setting ${name} must be .*, and is "${value}"$`)
    )
  })

  it("are not quoted when they are secret", () => {
    const token = "a-token-nobody-may-see"
    for (const text of [`{"${token}": {}}`, `{"${token}"`, JSON.stringify({ [token]: { user: "ann" } })]) {
      const told = problem({ API_TOKENS: text })
      expect(told).toMatch(/^the setting API_TOKENS must be JSON such as/)
      expect(told).not.toContain(token)
    }
    const given = { API_TOKENS: JSON.stringify({ [token]: { user: "ann", permissions: ["admin"] } }) }
    const settings = Either.getOrThrow(read(given))
    expect(Option.map(settings.apiTokens, (tokens) => [...tokens.values()])).toEqual(
      Option.some([{ user: "ann", permissions: new Set(["admin"]) }])
    )
    expect(problem({ API_TOKENS: "" })).toBe("none")
  })

  it("must fit together", () => {
    expect(problem({ FAKER_BATCH_MIN: "5", FAKER_BATCH_MAX: "4" })).toBe(
      "the setting FAKER_BATCH_MIN is 5 and over FAKER_BATCH_MAX, 4"
    )
    expect(problem({ FAKER_UPDATE_SHARE: "0.8", FAKER_DELETE_SHARE: "0.3" })).toBe(
      "the setting FAKER_UPDATE_SHARE and FAKER_DELETE_SHARE are together over 1"
    )
  })
})
