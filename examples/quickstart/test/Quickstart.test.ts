import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { promisify } from "node:util"
import { describe, expect, it } from "vitest"

const root = new URL("../../../", import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), "utf8")
const program = "examples/quickstart/src/Quickstart.ts"

/** What stands between the two marker comments. */
const example = (): string =>
  /^\/\/ --- begin:.*\n([^]*?)^\/\/ --- end$/m.exec(read(program))?.[1]?.trim() ?? ""

describe("the quick start", () => {
  it("is the README's example, to the letter", () => {
    expect(example()).not.toBe("")
    expect(read("README.md")).toContain(`\`\`\`ts\n${example()}\n\`\`\``)
  })

  it("runs, and shows the twin of each version in Redis", async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--conditions=twinbox-source", new URL(program, root).pathname],
      { timeout: 45_000 }
    )
    const mirrors = [...stdout.matchAll(/^customer:(\w+) = (.*)$/gm)].map(
      ([, , json]) => JSON.parse(json ?? "") as Record<string, unknown>
    )
    expect(mirrors.map(({ version, city }) => [version, city])).toEqual([
      [1, "Oslo"],
      [2, "Bergen"]
    ])
    for (const { email, name } of mirrors) {
      expect(name).toMatch(/^[0-9A-Za-z]{8}$/)
      expect(email).toMatch(/^[0-9A-Za-z]{8}@example\.org$/)
    }
    expect(stdout).not.toContain("Ann Lee")
  }, 60_000)
})
