import type { Faker } from "@faker-js/faker"
import { faker } from "@faker-js/faker/locale/en"
import type { FullCustomer } from "./Customer.ts"

const address = (source: Faker): FullCustomer["address"] => ({
  line1: source.location.streetAddress(),
  line2: source.location.secondaryAddress(),
  postcode: source.location.zipCode(),
  city: source.location.city(),
  state: source.location.state(),
  country: source.location.country()
})

/** Seeding before each use makes the one shared source a pure function of the seed. */
const seeded = (seed: number): Faker => {
  faker.seed(seed)
  return faker
}

/** An invented customer; the same seed gives the same one. */
export const fakeCustomer = (seed: number, createdAt: Date): FullCustomer => {
  const source = seeded(seed)
  const firstName = source.person.firstName()
  const lastName = source.person.lastName()
  return {
    firstName,
    lastName,
    email: source.internet.email({ firstName, lastName }),
    address: address(source),
    createdAt
  }
}

/** What changes when an invented customer moves, marries or takes another e-mail address. */
export const fakePatch = (seed: number): Partial<FullCustomer> => {
  const source = seeded(seed)
  return source.helpers.arrayElement<() => Partial<FullCustomer>>([
    () => ({ address: address(source) }),
    () => ({ lastName: source.person.lastName() }),
    () => ({ email: source.internet.email() })
  ])()
}
