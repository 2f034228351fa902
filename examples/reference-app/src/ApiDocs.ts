import { type HttpApi, HttpApiBuilder, HttpApiSwagger } from "@effect/platform"
import { Layer } from "effect"

/** Where the API is described; nobody needs a token for it. */
export const pages: ReadonlyArray<string> = ["/openapi.json", "/docs"]

/** The description for programs, and a page for people that has its scripts in itself and loads nothing. */
export const layer: Layer.Layer<never, never, HttpApi.Api> = Layer.merge(
  HttpApiBuilder.middlewareOpenApi({ path: "/openapi.json" }),
  HttpApiSwagger.layer({ path: "/docs" })
)
