import { HttpApi } from "@effect/platform"
import { OperationsApi } from "./OperationsApi.ts"

/** All that the app answers over HTTP. */
export class Api extends HttpApi.make("twinbox").add(OperationsApi) {}
