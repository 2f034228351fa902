import { describe, expect, it } from "@effect/vitest"
import { ExportFormat, type ExportRecord } from "@twinbox/exporter"
import { FastCheck as fc } from "effect"

const csvOf = (columns: ReadonlyArray<string>, ...given: ReadonlyArray<ExportRecord>): string => {
  const { encode, header } = ExportFormat.encoder("csv", columns)
  return header + given.map(encode).join("")
}

/** Reads RFC 4180, as a plain program would. */
const parseCsv = (text: string): ReadonlyArray<ReadonlyArray<string>> => {
  const rows: Array<Array<string>> = []
  let row: Array<string> = []
  let at = 0
  while (at < text.length) {
    let cell = ""
    if (text[at] === '"') {
      for (at++; !(text[at] === '"' && text[at + 1] !== '"'); at++) {
        cell += text[at]
        if (text[at] === '"') at++
      }
      at++
    } else while (at < text.length && text[at] !== "," && !text.startsWith("\r\n", at)) cell += text[at++]
    row.push(cell)
    if (text[at] === ",") at++
    else {
      rows.push(row)
      row = []
      at += 2
    }
  }
  return rows
}

describe("CSV", () => {
  it("has a header, CRLF line ends, and quotes only where they are needed", () => {
    const text = csvOf(["a", "b"], { a: "plain", b: 'say "hi", twice\r\nor not' }, { a: "", b: "ß" })
    expect(text).toBe('a,b\r\nplain,"say ""hi"", twice\r\nor not"\r\n,ß\r\n')
  })

  it("cells that a spreadsheet would take for formulas get an apostrophe", () => {
    for (const start of ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"]) {
      const [, [cell] = []] = parseCsv(csvOf(["x"], { x: `${start}1+1` }))
      expect(cell).toBe(`'${start}1+1`)
    }
    expect(csvOf(["x"], { x: '=HYPERLINK("http://evil","x")' })).toBe(
      'x\r\n"\'=HYPERLINK(""http://evil"",""x"")"\r\n'
    )
    expect(csvOf(["=x"])).toBe("'=x\r\n")
  })

  it("numbers stay numbers, also below zero", () => {
    expect(csvOf(["a", "b", "c"], { a: -5, b: 1.5, c: true })).toBe("a,b,c\r\n-5,1.5,true\r\n")
  })

  it("nested paths are columns; dates are ISO texts, other nested values JSON, and what is missing is empty", () => {
    const record = {
      address: { city: "Köln" },
      at: new Date(0),
      tags: ["a", "b"],
      none: null
    }
    expect(csvOf(["address.city", "at", "tags", "none", "absent", "address.absent.deeper"], record)).toBe(
      'address.city,at,tags,none,absent,address.absent.deeper\r\nKöln,1970-01-01T00:00:00.000Z,"[""a"",""b""]",,,\r\n'
    )
  })

  it("whatever texts there are, a reader of RFC 4180 finds them again", () => {
    const text = fc.string({
      unit: fc.constantFrom("a", "é", '"', ",", "\r", "\n", "\r\n", "=", "'", " ", "𝄞")
    })
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text)), (rows) => {
        const written = csvOf(["x", "y"], ...rows.map(([x, y]) => ({ x, y })))
        const guarded = rows.map((row) => row.map((cell) => (/^[=\r\n]/.test(cell) ? `'${cell}` : cell)))
        expect(parseCsv(written)).toEqual([["x", "y"], ...guarded])
      })
    )
  })

  it("names that every object has are no columns", () => {
    expect(csvOf(["constructor", "__proto__", "toString"], {})).toBe(
      "constructor,__proto__,toString\r\n,,\r\n"
    )
  })
})

describe("NDJSON", () => {
  it("is one JSON text per line, of the chosen columns if any", () => {
    const record = { a: 1, b: { c: "x\ny", d: 2 } }
    expect(ExportFormat.encoder("ndjson").encode(record)).toBe('{"a":1,"b":{"c":"x\\ny","d":2}}\n')
    expect(ExportFormat.encoder("ndjson", ["b.c", "a"]).encode(record)).toBe('{"b.c":"x\\ny","a":1}\n')
  })
})
