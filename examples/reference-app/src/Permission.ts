import { Schema } from "effect"

/** What a caller may be allowed to do. `admin` is a permission of its own and does not bring the others. */
export const Permission = Schema.Literal(
  "customers:read",
  "customers:write",
  "twins:read",
  "exports:start:anonymized",
  "exports:start:original",
  "admin"
)
export type Permission = typeof Permission.Type

export const all: ReadonlySet<Permission> = new Set(Permission.literals)
