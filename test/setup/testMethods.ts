import { effect, it, layer, scoped } from "@effect/vitest"

// Runs before each test file. `layer` of @effect/vitest 0.30 writes its own methods over those of the `it` that all files
// of a worker share: the next file would have neither its test clock nor its logger.
Object.assign(it, { effect, layer, scoped })
