import type { ParseResult } from "effect"

/** What is wrong with one part of a request. */
export interface FieldProblem {
  /** For example `address.line1` or `limit`; empty for the whole. */
  readonly path: string
  /** Never quotes the value. */
  readonly problem: string
}

/** So many are told at most. */
const maxProblems = 20

const sentences = new Set<string>()

/** A rule of a Schema in words, as its annotation. The words are fixed ones: they are told to whoever breaks the rule. */
export const rule = (sentence: string) => {
  sentences.add(sentence)
  return { message: () => sentence }
}

const usual: Readonly<Record<string, string>> = {
  Missing: "is missing",
  Unexpected: "is not known here",
  Type: "has the wrong type"
}

/** Names come from the request, too: only those that look like one are repeated. */
const nameOf = (part: PropertyKey): string =>
  /^[A-Za-z0-9_-]{1,64}$/.test(String(part)) ? String(part) : "(a name that is not repeated)"

/** The problems of a Schema error. Other messages than those of rules quote values, and are replaced. */
export const ofIssues = (
  issues: ReadonlyArray<Pick<ParseResult.ArrayFormatterIssue, "path" | "message"> & { readonly _tag: string }>
): ReadonlyArray<FieldProblem> =>
  issues.slice(0, maxProblems).map(({ _tag, message, path }) => ({
    path: path.map(nameOf).join("."),
    problem: sentences.has(message) ? message : (usual[_tag] ?? "is not valid")
  }))
