import type { Topic } from "@twinbox/outbox"

/** Who asks. Permissions that exports do not know are passed over. */
export interface User {
  /** Name of the user: the owner of the exports it starts. Stands in names of keys, so no personal data. */
  readonly id: string
  readonly permissions: ReadonlySet<string>
}

/** What starts and reads exports of a view. None brings another with it, not even `admin`. */
export const permissionOf = (view: Topic.View): string => `exports:start:${view}`

/** Sees, lists and stops everybody's exports. */
const admin = "admin"

export const isAdmin = (user: User): boolean => user.permissions.has(admin)

export const mayStart = (user: User, view: Topic.View): boolean => user.permissions.has(permissionOf(view))

/** To others an export does not exist. */
export const maySee = (user: User, owner: string): boolean => user.id === owner || isAdmin(user)

/** Original data is handed out only as long as the user could start such an export. */
export const mayRead = (user: User, view: Topic.View): boolean =>
  view === "anonymized" || mayStart(user, view)
