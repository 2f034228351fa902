import { describe, expect, it } from "@effect/vitest"
import { ExportState } from "@twinbox/exporter"

const { canBecome, isEnded, states } = ExportState

describe("states of an export", () => {
  it("these arrows exist and no others", () => {
    const arrows = states.flatMap((from) =>
      states.filter((to) => canBecome(from, to)).map((to) => `${from} -> ${to}`)
    )
    expect(arrows).toEqual([
      "CREATED -> PENDING",
      "CREATED -> CANCELLED",
      "CREATED -> FAILED",
      "PENDING -> COMPLETED",
      "PENDING -> CANCELLED",
      "PENDING -> FAILED"
    ])
  })

  it("what has ended never changes again", () => {
    expect(states.filter(isEnded)).toEqual(["COMPLETED", "CANCELLED", "FAILED"])
  })
})
