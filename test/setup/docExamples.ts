/** A command of the documentation with what it should answer. */
export interface DocExample {
  /** Of the section that it stands in. */
  readonly heading: string
  readonly command: string
  /** What the last line of the command prints, as documented. */
  readonly expected: string
}

const sections = (markdown: string): ReadonlyArray<readonly [heading: string, text: string]> =>
  markdown.split(/^## /m).map((section) => [section.split("\n", 1)[0] ?? "", section])

const examplePattern = /^```sh\n((?:(?!```).*\n)*)```\n\n```(\w+)\n((?:(?!```).*\n)*)```$/gm

/** The `sh` blocks of a page that are followed by a block of another language, which they print. */
export const docExamples = (markdown: string, printed = "http"): ReadonlyArray<DocExample> =>
  sections(markdown).flatMap(([heading, text]) =>
    [...text.matchAll(examplePattern)].flatMap(([, command = "", language, expected = ""]) =>
      language === printed ? [{ heading, command, expected }] : []
    )
  )

export interface HttpAnswer {
  readonly status: string
  readonly headers: ReadonlyMap<string, string>
  /** As JSON where it is. */
  readonly body: unknown
}

/** What differs from run to run. */
const variable = [
  [/\b[0-9a-f]{24}\b/g, "<uid>"],
  [/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, "<request id>"],
  [/\b\d{13}-\d+\b/g, "<position>"],
  [/"[0-9A-Za-z]{8}"/g, '"<pseudonym>"']
] as const

/** A text with placeholders for what differs from run to run. */
export const stable = (text: string): string =>
  variable.reduce((stabler, [pattern, name]) => stabler.replace(pattern, name), text)

const readable = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text.trim()
  }
}

/** Reads the last answer that `curl -i` printed, with placeholders for what differs from run to run. */
export const readAnswer = (printed: string): HttpAnswer => {
  const text = stable(printed.replaceAll("\r", ""))
  const start = text.lastIndexOf("HTTP/1.1 ")
  if (start < 0) throw new Error(`there is no HTTP answer in:\n${text}`)
  const answer = text.slice(start)
  const end = answer.indexOf("\n\n")
  const [status = "", ...lines] = (end < 0 ? answer.trimEnd() : answer.slice(0, end)).split("\n")
  const headers = lines.map((line) => {
    const colon = line.indexOf(":")
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
  })
  return { status, headers: new Map(headers), body: readable(end < 0 ? "" : answer.slice(end)) }
}
