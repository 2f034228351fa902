import { randomUUID } from "node:crypto"
import { mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Option } from "effect"
import { readJson, writeJson } from "./JsonFile.ts"
import { isAlive, ownIdentity, ProcessIdentity } from "./ProcessIdentity.ts"

const usersFolder = (folder: string): string => join(folder, "users")

const list = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(usersFolder(folder)).filter((name) => name.endsWith(".json"))
  } catch {
    return []
  }
}

/** Says that this process uses the servers of a folder, until the returned function is called or it dies. */
export const joinFolder = (folder: string): (() => void) => {
  mkdirSync(usersFolder(folder), { recursive: true })
  const path = join(usersFolder(folder), `${randomUUID()}.json`)
  writeJson(ProcessIdentity, path, ownIdentity())
  return () => rmSync(path, { force: true })
}

/** The living processes that use the servers of a folder; entries of the dead are removed. */
export const livingUsers = (folder: string): ReadonlyArray<ProcessIdentity> =>
  list(folder).flatMap((name) => {
    const path = join(usersFolder(folder), name)
    const user = Option.filter(readJson(ProcessIdentity, path), isAlive)
    if (Option.isNone(user)) rmSync(path, { force: true })
    return Option.toArray(user)
  })
