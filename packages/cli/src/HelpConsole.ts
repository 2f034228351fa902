import { stripVTControlCharacters } from "node:util"
import { Console, Effect, Layer } from "effect"

/** Colours are for terminals, and for those who want them: https://no-color.org */
const line = (stream: NodeJS.WriteStream, text: unknown): Effect.Effect<void> =>
  Effect.sync(() => {
    const isPlain = !stream.isTTY || (process.env["NO_COLOR"] ?? "") !== ""
    const told = isPlain ? stripVTControlCharacters(String(text)) : String(text)
    stream.write(`${told.trimEnd()}\n`)
  })

/** Where the command line prints help and usage errors. */
export const layer: Layer.Layer<never> = Layer.unwrapEffect(
  Console.consoleWith((console) =>
    Effect.succeed(
      Console.setConsole({
        ...console,
        log: (text: unknown) => line(process.stdout, text),
        error: (text: unknown) => line(process.stderr, text)
      })
    )
  )
)
