import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"

interface Entry {
  readonly version?: string
  readonly resolved?: string
  readonly link?: boolean
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

const lock = JSON.parse(readFileSync(new URL("../../package-lock.json", import.meta.url), "utf8")) as {
  readonly packages: Readonly<Record<string, Entry>>
}

/** Where npm looks for a dependency: beside the package that wants it, then further out. */
const places = (from: string, name: string): ReadonlyArray<string> => {
  const nested = from === "" ? [] : [`${from}/node_modules/${name}`]
  const outer = from.includes("/node_modules/") ? from.slice(0, from.lastIndexOf("/node_modules/")) : ""
  return from === "" ? [`node_modules/${name}`] : [...nested, ...places(outer, name)]
}

describe("The lock file", () => {
  // npm leaves out what a registry does not offer, and `npm ci` then refuses the whole file.
  it("holds the optional packages of all platforms, so that npm ci works on each", () => {
    const missing = Object.entries(lock.packages).flatMap(([from, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(
        (name) => !places(from, name).some((at) => at in lock.packages)
      )
    )
    expect(missing).toEqual([])
  })

  it("names no registry", () => {
    const named = Object.values(lock.packages).filter(
      ({ link, resolved }) => link !== true && resolved !== undefined
    )
    expect(named).toEqual([])
  })
})
