import { Either } from "effect"

/** Options that take a value. */
const valued = new Set([
  "--id",
  "--sink",
  "--key",
  "--topic",
  "--reason",
  "--since",
  "--before",
  "--limit",
  "--after",
  "--uri",
  "--database",
  "--config",
  "--batch-size",
  "--concurrency",
  "--max-per-second",
  "--mirror",
  "--recheck-after",
  "--redis-url",
  "--retire",
  "--log-level",
  "--completions"
])
/** Those that can be given more than once. */
const repeatable = new Set(["--id", "--mirror"])

/** `--name=value` as two words. */
const split = (word: string): ReadonlyArray<string> => {
  const at = word.indexOf("=")
  const name = word.slice(0, at)
  return at > 0 && valued.has(name) ? [name, word.slice(at + 1)] : [word]
}

const problemOf = (
  name: string,
  value: string | undefined,
  seen: ReadonlySet<string>
): string | undefined => {
  if (value === undefined || value === "" || value.startsWith("--")) return `${name} needs a value`
  return seen.has(name) && !repeatable.has(name) ? `${name} can be given once only` : undefined
}

/**
 * The words of a command line, each option apart from its value; or what is wrong with them. An option without its
 * value must never be passed over: in `discard --sink "$SINK"` it would mean other dead letters than it says.
 */
export const check = (given: ReadonlyArray<string>): Either.Either<ReadonlyArray<string>, string> => {
  const words = given.flatMap(split)
  const seen = new Set<string>()
  for (let at = 0; at < words.length; at += 1) {
    const name = words[at] ?? ""
    if (!valued.has(name)) continue
    at += 1
    const problem = problemOf(name, words[at], seen)
    if (problem !== undefined) return Either.left(problem)
    seen.add(name)
  }
  return Either.right(words)
}
