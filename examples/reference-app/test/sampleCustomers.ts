/** Customers as bodies, in either form. */
export const short = { name: "cc Inc", address: "cahce 37" }

export const full = {
  firstName: "Ada",
  lastName: "King",
  email: "ada@example.com",
  address: {
    line1: "12 St James's Square",
    line2: "",
    postcode: "SW1Y 4JH",
    city: "London",
    state: "",
    country: "United Kingdom"
  },
  createdAt: "2026-05-01T12:00:00.000Z"
}
