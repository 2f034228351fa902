import { relative } from "node:path"
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** What takes longest, by how the path begins. */
const longest = [
  "test/simulation/",
  "test/chaos/",
  "packages/mongodb/test/MongoOutboxStore",
  "packages/kafka/",
  "test/e2e/",
  "packages/services/"
]

/**
 * Runs first what takes longest, so that no worker is left alone with it at the end. Vitest by itself goes by the size
 * of a file where no earlier run has told its time, and few lines can take minutes.
 */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const rank = ({ moduleId, project }: TestSpecification): number => {
      const path = relative(project.config.root, moduleId)
      const at = longest.findIndex((start) => path.startsWith(start))
      return at < 0 ? longest.length : at
    }
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b))
  }
}
