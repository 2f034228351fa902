import { describe, expect, it } from "vitest"
import { make } from "../src/Screen.ts"

const erase = "\r\u001b[2K"

const recorded = (isTTY: boolean, columns = 12) => {
  const written: Array<string> = []
  const screen = make({ isTTY, columns, write: (text) => written.push(text) })
  return { screen, written }
}

describe("on a terminal", () => {
  it("the live line is drawn over itself, cut to the width", () => {
    const { screen, written } = recorded(true)
    screen.live("one")
    screen.live("a line that is too long")
    screen.live(undefined)
    expect(written).toEqual(["one", `${erase}a line that`, erase])
  })

  it("the live line is shown on one that does not know its width", () => {
    const { screen, written } = recorded(true, 0)
    screen.live("a line that is not too long")
    expect(written).toEqual(["a line that is not too long"])
  })

  it("log lines go above the live line", () => {
    const { screen, written } = recorded(true)
    screen.live("live")
    screen.line("told")
    expect(written).toEqual(["live", `${erase}told\nlive`])
  })
})

it("elsewhere there is no live line", () => {
  const { screen, written } = recorded(false)
  screen.live("live")
  screen.line("told")
  expect(written).toEqual(["told\n"])
})
