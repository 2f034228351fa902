/**
 * Customers per second on one core against the bare HMAC calls of their hashed fields. Run by hand:
 * `node --conditions=twinbox-source packages/anonymize/test/measure.ts`
 */
import { createHmac, createSecretKey } from "node:crypto"
import { ada, customers, secretText } from "./Customer.ts"

const documents = Array.from({ length: 1000 }, (_, index) => ({
  ...ada,
  firstName: `Ada-Maria ${index}`,
  lastName: index % 4 === 0 ? `Łovelace ${index}` : `Lovelace ${index}`,
  email: `ada.lovelace+${index}@example.org`
}))
const key = createSecretKey(Buffer.from(secretText, "hex"))

const hmacOf = (text: string) => createHmac("sha256", key).update(text).digest()

const bareHmacs = (document: typeof ada): void => {
  hmacOf(document.firstName)
  hmacOf(document.lastName)
  hmacOf(document.email)
  hmacOf(document.address.line1)
  hmacOf(document.address.line2 ?? "")
  hmacOf(document.address.postcode)
  for (const tag of document.tags) hmacOf(tag)
}

const perSecond = (run: (document: typeof ada) => void): number => {
  const start = performance.now()
  for (let round = 0; round < 30; round++) for (const document of documents) run(document)
  return (30 * documents.length * 1000) / (performance.now() - start)
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN

const rounds = Array.from({ length: 9 }, () => {
  const bare = perSecond(bareHmacs)
  const anonymize = perSecond(customers.anonymize)
  const unchanged = perSecond((document) =>
    customers.reanonymize(document, document, customers.anonymize(ada))
  )
  return { bare, anonymize, unchanged, ratio: anonymize / bare }
})
const report = {
  bareHmacsPerSecond: Math.round(median(rounds.map(({ bare }) => bare))),
  customersPerSecond: Math.round(median(rounds.map(({ anonymize }) => anonymize))),
  ratio: Number(median(rounds.map(({ ratio }) => ratio)).toFixed(2))
}
process.stdout.write(`${JSON.stringify(report)}\n`)
