import { describe, expect, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../../", import.meta.url))
const folder = `${root}test/types`

/** `file(line): TScode` of every `// error TScode` at the end of a line. */
const intended = (file: string) =>
  readFileSync(`${folder}/${file}`, "utf8")
    .split("\n")
    .flatMap((text, at) => {
      const code = /\/\/ error (TS\d+)$/.exec(text)?.[1]
      return code === undefined ? [] : [`${file}(${at + 1}): ${code}`]
    })

const compile = () => {
  const { error, stdout } = spawnSync(
    `${root}node_modules/.bin/tsc`,
    ["--noEmit", "--pretty", "false", "-p", folder],
    { encoding: "utf8", cwd: folder }
  )
  if (error !== undefined) throw error
  return stdout.split("\n").flatMap((text) => {
    const found = /^(.*)\((\d+),\d+\): error (TS\d+)/.exec(text)
    return found === null ? [] : [`${found[1]}(${found[2]}): ${found[3]}`]
  })
}

describe("appending", () => {
  it("compiles inside a transaction and nowhere else", () => {
    const outside = intended("AppendOutsideTransaction.ts")
    expect(outside).toHaveLength(4)
    expect(intended("AppendInsideTransaction.ts")).toEqual([])
    expect(compile().toSorted()).toEqual(outside.toSorted())
  })
})
