import { contentType } from "./Problem.ts"

type Json = Readonly<Record<string, unknown>>

const isJson = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Leaves out what becomes undefined. */
const mapEntries = (object: unknown, change: (value: unknown, name: string) => unknown): Json =>
  Object.fromEntries(
    Object.entries(isJson(object) ? object : {})
      .map(([name, value]) => [name, change(value, name)] as const)
      .filter(([, value]) => value !== undefined)
  )

const content = { [contentType]: { schema: { $ref: "#/components/schemas/Problem" } } }

const invalidRequest = { description: "The request is not valid; `errors` tells where", content }

/** What the platform documents for its own decoding, which is answered as problems, too. */
const ofDecoding: ReadonlySet<string> = new Set(["HttpApiDecodeError", "Issue", "PropertyKey"])

const hasInput = ({ parameters, requestBody }: Json): boolean =>
  requestBody !== undefined || (Array.isArray(parameters) && parameters.length > 0)

const isProblem = (response: Json): boolean =>
  isJson(response["content"]) && contentType in response["content"]

const describeOperation = (operation: unknown): unknown =>
  isJson(operation)
    ? {
        ...operation,
        responses: mapEntries(operation["responses"], (response, status) => {
          if (status === "400") return hasInput(operation) ? invalidRequest : undefined
          return isJson(response) && isProblem(response) ? { ...response, content } : response
        })
      }
    : operation

/** Says in the OpenAPI description that all errors are problems. */
export const describe = (spec: Readonly<Record<string, unknown>>): Record<string, unknown> => {
  const components = isJson(spec["components"]) ? spec["components"] : {}
  return {
    ...spec,
    paths: mapEntries(spec["paths"], (path) => mapEntries(path, describeOperation)),
    components: {
      ...components,
      schemas: mapEntries(components["schemas"], (schema, name) =>
        ofDecoding.has(name) ? undefined : schema
      )
    }
  }
}
