import { CliConfig, Command, type HelpDoc, type Span } from "@effect/cli"

const columns = 96
const indent = "  "

/** Names wider than this stand on a line of their own. */
const widestName = 22

/** What the command line library says about every option. */
const commonplaces = [
  "A user-defined piece of text",
  "A true or false value",
  "An integer",
  "This setting is optional",
  "This option may be repeated"
]

const textOf = (span: Span.Span): string => {
  switch (span._tag) {
    case "Sequence":
      return textOf(span.left) + textOf(span.right)
    case "Text":
    case "URI":
      return span.value
    default:
      return textOf(span.value)
  }
}

const paragraphs = (doc: HelpDoc.HelpDoc): ReadonlyArray<string> => {
  if (doc._tag === "Sequence") return [...paragraphs(doc.left), ...paragraphs(doc.right)]
  if (doc._tag !== "Paragraph") return []
  const text = textOf(doc.value)
  return commonplaces.some((start) => text.startsWith(start)) ? [] : [text]
}

type Definition = readonly [name: string, text: string]

const definitions = (doc: HelpDoc.HelpDoc): ReadonlyArray<Definition> => {
  if (doc._tag === "Sequence") return [...definitions(doc.left), ...definitions(doc.right)]
  if (doc._tag !== "DescriptionList") return []
  return doc.definitions.map(([name, text]) => [textOf(name), paragraphs(text).join(" ")])
}

const wrap = (text: string, width: number): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === "" ? word : `${line} ${word}`
  }
  return [...lines, line]
}

const list = (entries: ReadonlyArray<Definition>): string => {
  const width = Math.min(widestName, Math.max(0, ...entries.map(([name]) => name.length)))
  const margin = indent + " ".repeat(width + 2)
  const entryText = ([name, text]: Definition) => {
    const body = wrap(text, columns - margin.length).join(`\n${margin}`)
    const head = indent + name
    return name.length > width ? `${head}\n${margin}${body}` : head.padEnd(margin.length) + body
  }
  return entries.map(entryText).join("\n")
}

/** A command and the words that call it. */
export interface Entry {
  readonly words: ReadonlyArray<string>
  readonly help: HelpDoc.HelpDoc
}

/** The help of a command, without what all programs of the library have. */
export const entry = <Name extends string, R, E, A>(
  words: string,
  command: Command.Command<Name, R, E, A>
): Entry => ({
  words: words.split(" "),
  help: Command.getHelp(command, CliConfig.make({ showBuiltIns: false }))
})

const wrapped = (doc: HelpDoc.HelpDoc): string =>
  paragraphs(doc)
    .flatMap((text) => wrap(text, columns))
    .join("\n")

const onOne = ({ help, words }: Entry): string =>
  [`twinbox ${words.join(" ")} [OPTIONS]`, wrapped(help), list(definitions(help))].join("\n\n")

const overview = (entries: ReadonlyArray<Entry>): string => `twinbox COMMAND [OPTIONS]

What is stuck in an outbox, and what to do about it.
Whether twins and mirrors are in step, and how to make them so.

${list(entries.map(({ help, words }) => [words.join(" "), paragraphs(help).join(" ")]))}

--help after a command shows its options; --version the version; --completions bash|zsh|fish a script.
Exit codes: 0 done, 1 failed, 2 the command line makes no sense, 130 ended by a second Ctrl-C.`

/** Help on the command that the words begin with, or an overview when they begin with none. */
export const of = (entries: ReadonlyArray<Entry>, given: ReadonlyArray<string>): string => {
  const named = entries
    .filter(({ words }) => words.every((word, at) => word === given[at]))
    .sort((a, b) => b.words.length - a.words.length)[0]
  return named === undefined ? overview(entries) : onOne(named)
}

/** Whether a command line asks for help. */
export const isAsked = (words: ReadonlyArray<string>): boolean =>
  words.length === 0 || words.includes("--help") || words.includes("-h")
