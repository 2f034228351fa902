import { customersApiSuite } from "./customersApiSuite.ts"

customersApiSuite("v1")
customersApiSuite("v2")
