import { Context, Effect, Layer } from "effect"

/** The end of the terminal's line is left alone, since writing there may wrap. */
const margin = 1
const presetColumns = 80
const eraseLine = "\r\u001b[2K"

/** What the screen needs of a stream; `process.stdout` is one. */
export interface Output {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly write: (text: string) => unknown
}

/** Lines that scroll, and below them, on a terminal, one live line that is drawn again and again. */
export interface ScreenService {
  /** Whether it is a terminal, and so can have a live line. */
  readonly isTerminal: boolean
  readonly line: (text: string) => void
  /** Shows this as the live line, or none. */
  readonly live: (text: string | undefined) => void
}

export class Screen extends Context.Tag("@twinbox/reference-app/Screen")<Screen, ScreenService>() {}

export const make = (output: Output): ScreenService => {
  const isTerminal = output.isTTY === true
  let shown = ""
  // Some terminals do not know their width and say 0.
  const fitting = (text: string) => text.slice(0, (output.columns || presetColumns) - margin)
  const draw = (above: string) => output.write(`${shown === "" ? "" : eraseLine}${above}`)
  return {
    isTerminal,
    line: (text) => {
      draw(`${text}\n${shown}`)
    },
    live: (text) => {
      if (!isTerminal) return
      const next = text === undefined ? "" : fitting(text)
      draw(next)
      shown = next
    }
  }
}

/** The program's standard output. */
export const layer: Layer.Layer<Screen> = Layer.effect(
  Screen,
  Effect.sync(() => make(process.stdout))
)
