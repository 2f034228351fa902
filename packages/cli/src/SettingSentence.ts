import type { ConfigError } from "effect"

/** What is wrong with settings of the environment, in one sentence. */
export const settingSentence = (error: ConfigError.ConfigError): string => {
  switch (error._op) {
    case "And":
    case "Or":
      return `${settingSentence(error.left)}; ${settingSentence(error.right)}`
    case "MissingData":
      return `the setting ${error.path.join("_")} is missing`
    default:
      return `the setting ${error.path.join("_")} ${error.message}`
  }
}
