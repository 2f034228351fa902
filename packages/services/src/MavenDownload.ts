import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { readdir, readFile, rm, writeFile } from "node:fs/promises"
import { delimiter, join } from "node:path"
import { Effect } from "effect"
import { DownloadFailed, type ProgramDownload } from "./ProgramDownload.ts"
import { type CommandFailed, runCommand } from "./RunCommand.ts"

/** A set of jars: some artifacts with all that they need at run time. */
export interface MavenJars {
  readonly label: string
  readonly cacheKey: string
  /** `group:artifact:version` each. */
  readonly artifacts: ReadonlyArray<string>
  /** SHA-256 over the names and SHA-256 sums of all jars, see `digestOf`. */
  readonly sha256: string
}

/** Kafka with its command-line tools. */
export const kafkaJars: MavenJars = {
  label: "Kafka 3.9.1 (56 MB)",
  cacheKey: "kafka-3.9.1",
  artifacts: ["org.apache.kafka:kafka_2.13:3.9.1", "org.apache.kafka:kafka-tools:3.9.1"],
  sha256: "2cf5691355fbd914c3c9ab366aa8ee7e02657235d81bbe18088aeea53fe5d29b"
}

const goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

/** Few words, and no jar whose checksum is not that of its repository. */
const quietly = ["--batch-mode", "--quiet", "--no-transfer-progress", "--strict-checksums"]

const dependency = (artifact: string): string => {
  const [group, name, version] = artifact.split(":")
  return `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`
}

const projectOf = ({ artifacts }: MavenJars): string =>
  `<project><modelVersion>4.0.0</modelVersion><groupId>twinbox</groupId><artifactId>jars</artifactId><version>1</version><dependencies>${artifacts.map(dependency).join("")}</dependencies></project>`

const sha256 = (data: Buffer | string): string => createHash("sha256").update(data).digest("hex")

/** One sum for a folder of jars: that of a line `<sum> <name>` for each, in the order of their names. */
const digestOf = async (folder: string): Promise<string> => {
  const lines: Array<string> = []
  for (const name of (await readdir(folder)).toSorted()) {
    lines.push(`${sha256(await readFile(join(folder, name)))} ${name}\n`)
  }
  return sha256(lines.join(""))
}

const fileStep = <A>(step: () => Promise<A>): Effect.Effect<A, DownloadFailed> =>
  Effect.tryPromise({
    try: step,
    catch: (error) => new DownloadFailed({ message: error instanceof Error ? error.message : String(error) })
  })

/** Maven tells its errors on standard output, the first of them in a line that leads to a page of help. */
const mavenSays = ({ message, output }: CommandFailed) => {
  const told = /^\W*\[ERROR\] (.+?)(?: -> \[Help \d+\])?$/m.exec(output)?.[1]
  return new DownloadFailed({ message: `mvn says: ${told ?? message}` })
}

const checkJars = async (jars: MavenJars, folder: string): Promise<void> => {
  if ((await digestOf(folder)) !== jars.sha256) {
    throw new Error(`the jars of ${jars.label} are not the files that were expected`)
  }
}

const fetchJars = (jars: MavenJars, mvn: string, folder: string, target: string) => {
  const project = join(folder, "pom.xml")
  // A repository of its own: nothing outside the cache changes, and nothing stale comes from elsewhere.
  const repository = join(folder, "repository")
  return fileStep(() => writeFile(project, projectOf(jars))).pipe(
    Effect.zipRight(
      runCommand(
        mvn,
        [
          ...quietly,
          "--file",
          project,
          `-Dmaven.repo.local=${repository}`,
          "-DincludeScope=runtime",
          `-DoutputDirectory=${target}`,
          goal
        ],
        { limit: "10 minutes" }
      )
    ),
    Effect.catchTag("CommandFailed", (error) => mavenSays(error)),
    Effect.zipRight(fileStep(() => checkJars(jars, target))),
    Effect.zipRight(fileStep(() => rm(repository, { recursive: true, force: true }))),
    Effect.zipRight(fileStep(() => rm(project)))
  )
}

/** The `mvn` on a search path, as PATH writes it. */
const findMaven = (searchPath: string): string | undefined =>
  searchPath
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, "mvn"))
    .find((path) => existsSync(path))

/** Gets a folder of jars through Maven, from whatever repository it uses on this machine. */
export const mavenDownload = (jars: MavenJars, searchPath: string): ProgramDownload => {
  const mvn = findMaven(searchPath)
  return {
    label: jars.label,
    cacheKey: jars.cacheKey,
    fitsMachine: mvn !== undefined,
    fetch: (folder, target) => fetchJars(jars, mvn ?? "mvn", folder, target)
  }
}
