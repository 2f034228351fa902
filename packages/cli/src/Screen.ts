import { createInterface } from "node:readline"
import type { Readable, Writable } from "node:stream"
import { Context, Effect, Layer } from "effect"

const eraseLine = "\r\u001b[2K"

/** Some terminals do not know their width and say 0. */
const presetColumns = 80

/** The standard streams, or what a test puts in their place. */
export interface Streams {
  readonly input: Readable & { readonly isTTY?: boolean }
  readonly output: Writable
  readonly errors: Writable & { readonly isTTY?: boolean; readonly columns?: number }
}

/** Results go to standard output; whatever is said about the work itself goes to standard error. */
export interface ScreenService {
  /** Lines of the result; done when they are out, since the end of the process loses what is not. */
  readonly print: (text: string) => Effect.Effect<void>
  /** On a terminal, the one line that tells how far the work is, drawn again and again; undefined takes it away. */
  readonly live: (text: string | undefined) => Effect.Effect<void>
  /** Whether there is a terminal for the live line. */
  readonly hasLive: boolean
  /** A line about the work, above the live line. At once: loggers have no Effects. */
  readonly tell: (text: string) => void
  /** Whether there is a person to ask. */
  readonly canAsk: boolean
  /** Asks for consent; anything but `y` or `yes` is none. */
  readonly ask: (question: string) => Effect.Effect<boolean>
}

export class Screen extends Context.Tag("@twinbox/cli/Screen")<Screen, ScreenService>() {}

const readLine = ({ errors, input }: Streams, prompt: string) =>
  Effect.async<string>((resume) => {
    // Not as a terminal: readline would take Ctrl-C for itself.
    const lines = createInterface({ input, output: errors, terminal: false })
    // The end of the input is no consent.
    lines.on("close", () => resume(Effect.succeed("")))
    lines.question(prompt, (answer) => {
      resume(Effect.succeed(answer))
      lines.close()
    })
    return Effect.sync(() => {
      lines.close()
      // What is told next stands on a line of its own.
      errors.write("\n")
    })
  })

export const make = (streams: Streams): ScreenService => {
  const { errors, input, output } = streams
  const hasLive = errors.isTTY === true
  let shown: string | undefined
  const draw = (text: string | undefined): void => {
    if (shown !== undefined) errors.write(eraseLine)
    shown = text
    // The last column is left alone, since writing there may wrap.
    if (text !== undefined) errors.write(text.slice(0, (errors.columns || presetColumns) - 1))
  }
  return {
    print: (text) =>
      Effect.async((resume) => {
        output.write(`${text}\n`, () => resume(Effect.void))
      }),
    live: (text) => Effect.sync(() => hasLive && draw(text)),
    hasLive,
    tell: (text) => {
      const below = shown
      draw(undefined)
      errors.write(`${text}\n`)
      if (below !== undefined) draw(below)
    },
    canAsk: input.isTTY === true && hasLive,
    ask: (question) =>
      Effect.map(readLine(streams, `${question} [y/N] `), (answer) => /^y(es)?$/i.test(answer.trim()))
  }
}

/** The streams of this process. */
export const layer: Layer.Layer<Screen> = Layer.sync(Screen, () =>
  make({ input: process.stdin, output: process.stdout, errors: process.stderr })
)
