/**
 * Where a field stands: `text` is what people read and `matches` takes (`address.line1`, `tags[]`, `pair[0]`,
 * `attributes.*`), `scope` is the same without `[]`, so that items of an array share a scope with the array.
 */
export interface FieldPath {
  readonly text: string
  readonly scope: string
}

/** The document itself. */
export const root: FieldPath = { text: "", scope: "" }

// Names that could be taken for something else are written as JSON text in brackets; so scopes never hold NUL.
const plainName = /^[^.*[\]"\s\p{Cc}\p{Cs}]+$/u

const join = (parent: string, name: string): string => {
  if (!plainName.test(name)) return `${parent}[${JSON.stringify(name)}]`
  return parent === "" ? name : `${parent}.${name}`
}

/** A field of a struct. */
export const field = (parent: FieldPath, name: string): FieldPath => ({
  text: join(parent.text, name),
  scope: join(parent.scope, name)
})

/** Any item of an array. */
export const item = (parent: FieldPath): FieldPath => ({ text: `${parent.text}[]`, scope: parent.scope })

/** One place of a tuple; `position` is its index, or for places behind a rest `-1` for the last, and so on. */
export const element = (parent: FieldPath, position: number): FieldPath => ({
  text: `${parent.text}[${position}]`,
  scope: `${parent.scope}[${position}]`
})

/** Any value of a Record. */
export const recordValue = (parent: FieldPath): FieldPath => {
  const star = (text: string): string => (text === "" ? "*" : `${text}.*`)
  return { text: star(parent.text), scope: star(parent.scope) }
}

/** The form under which a path is looked up: with or without `[]`. */
export const lookup = (text: string): string => text.replaceAll("[]", "")

/** The path for a message; the document itself has no name of its own. */
export const display = (path: FieldPath): string => (path.text === "" ? "(document)" : path.text)
