import { describe, expect, it } from "vitest"
import * as Table from "../src/Table.ts"

describe("Table.render", () => {
  it("makes each column as wide as its widest cell, numbers at its right, and leaves no spaces at the end", () => {
    const table = Table.render(
      [{ title: "SINK" }, { title: "DEAD", alignsRight: true }, { title: "NOTE" }],
      [
        ["mirror", "7", "a"],
        ["kafka", "12,345", "longer"]
      ]
    )
    expect(table.split("\n")).toEqual(["SINK      DEAD  NOTE", "mirror       7  a", "kafka   12,345  longer"])
  })

  it("counts characters, not UTF-16 code units", () => {
    const table = Table.render([{ title: "A" }, { title: "B" }], [["😀", "x"]])
    expect(table).toBe("A  B\n😀  x")
  })

  it.each(["\u001b[31m", "a\nb", "\u202eabc", "\u0085", "\u2028"])(
    "lets no cell move the cursor: %j",
    (cell) => {
      const table = Table.render([{ title: "KEY" }], [[cell]])
      expect(table.split("\n")).toHaveLength(2)
      expect(table.replace("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      expect(table).toContain("\u{FFFD}")
    }
  )
})
