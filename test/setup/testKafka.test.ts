import { expect, it } from "vitest"
import { isKafkaRequired, whyNoKafka } from "./testKafka.ts"

// The only one that fails where a Kafka is wanted and there is none: those that need it are skipped.
it("Kafka can run on this machine, or TWINBOX_REQUIRE_KAFKA is not on", () => {
  if (isKafkaRequired && whyNoKafka !== undefined) expect.fail(whyNoKafka)
})
