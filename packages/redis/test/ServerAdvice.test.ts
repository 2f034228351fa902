import { describe, expect, it } from "@effect/vitest"
import { adviceOn, outboxAdviceOn } from "../src/ServerAdvice.ts"

const info = (maxmemory: number, policy: string, aof: number) =>
  `# Memory\r\nmaxmemory:${maxmemory}\r\nmaxmemory_human:0B\r\nmaxmemory_policy:${policy}\r\n# Persistence\r\naof_enabled:${aof}\r\n`

describe("advice on a server's settings", () => {
  it("nothing to say of a server that keeps everything", () => {
    expect(adviceOn(info(0, "noeviction", 1))).toEqual([])
    expect(adviceOn(info(100, "noeviction", 1))).toEqual([])
    expect(adviceOn(info(0, "allkeys-lru", 1))).toEqual([])
    expect(adviceOn("")).toEqual([])
  })

  it("names the setting by which keys or everything would be lost", () => {
    expect(adviceOn(info(100, "volatile-ttl", 1))).toEqual([expect.stringContaining("volatile-ttl")])
    expect(adviceOn(info(0, "noeviction", 0))).toEqual([expect.stringContaining("appendonly")])
  })

  it("of a server that takes writes, names what a restart would lose", () => {
    expect(outboxAdviceOn(info(0, "noeviction", 1), "everysec")).toEqual([])
    expect(outboxAdviceOn("", "")).toEqual([])
    expect(outboxAdviceOn(info(0, "noeviction", 0), "everysec")).toEqual([
      expect.stringMatching(/restart loses .*appendonly yes/)
    ])
    expect(outboxAdviceOn(info(0, "noeviction", 1), "no")).toEqual([expect.stringContaining("appendfsync")])
  })
})
