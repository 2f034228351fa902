/** Reads customers as JSON from standard input and writes their twins: what another process computes. */
import { readFileSync } from "node:fs"
import { ada, customers } from "./Customer.ts"

const documents: ReadonlyArray<object> = JSON.parse(readFileSync(0, "utf8"))
const twins = documents.map((document) =>
  customers.anonymize({ ...ada, ...document, createdAt: ada.createdAt })
)
process.stdout.write(JSON.stringify(twins))
