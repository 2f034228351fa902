import { tmpdir } from "node:os"
import { join } from "node:path"
import { Config, Option } from "effect"
import type { ProgramSearch } from "./ServerProgram.ts"

const cacheFolder: Config.Config<string> = Config.all({
  own: Config.option(Config.nonEmptyString("TWINBOX_CACHE")),
  cache: Config.option(Config.nonEmptyString("XDG_CACHE_HOME")),
  home: Config.option(Config.nonEmptyString("HOME"))
}).pipe(
  Config.map(({ own, cache, home }) =>
    own.pipe(
      Option.orElse(() => Option.map(cache, (folder) => join(folder, "twinbox"))),
      Option.orElse(() => Option.map(home, (folder) => join(folder, ".cache", "twinbox"))),
      Option.getOrElse(() => join(tmpdir(), "twinbox-cache"))
    )
  )
)

/** A server of the environment by its URI; an empty variable counts as none. */
export const uriConfig = (name: string): Config.Config<Option.Option<string>> =>
  Config.option(Config.nonEmptyString(name))

/** Where to look for programs: `TWINBOX_CACHE`, `XDG_CACHE_HOME`, `HOME`, `PATH`. */
export const searchConfig = (program: Config.Config<Option.Option<string>>): Config.Config<ProgramSearch> =>
  Config.all({ program, searchPath: Config.withDefault(Config.string("PATH"), ""), cacheFolder })
