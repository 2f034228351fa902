import { MongoClient } from "mongodb"

/*
 * A program that knows the driver and nothing of twins: `syncKillsWriter.ts <uri> <database> <count>`. It inserts half of
 * the customers and says so by a line, then the others, while it updates, replaces, deletes and inserts again those of odd
 * numbers. It ends, with its counts as the last line, when its input does and all customers have been inserted.
 */

const [, , uri = "", database = "", countText = ""] = process.argv
const count = Number(countText)

const insertsAtOnce = 500
const changesAtOnce = 25
/** Between changes, so that the syncs have to catch up with others and not with these alone. */
const pauseMillis = 20

interface Customer {
  readonly _id: string
  readonly [field: string]: unknown
}

const customer = (at: number, visits: number): Customer => ({
  _id: `customer-${at}`,
  firstName: `Ada ${at}`,
  lastName: "Lovelace",
  email: `ada.${at}@example.org`,
  address: { line1: `${at} Long Street`, city: "London" },
  visits,
  createdAt: new Date(1_700_000_000_000 + at)
})

const client = await MongoClient.connect(uri)
const customers = client.db(database).collection<Customer>("customers")

const done = { inserted: 0, updated: 0, replaced: 0, deleted: 0, insertedAgain: 0 }
/** Its input ends when the parent wants no more, or is gone. */
const isWanted = () => !process.stdin.readableEnded
process.stdin.resume()

const insertUpTo = async (end: number) => {
  const size = Math.min(insertsAtOnce, end - done.inserted)
  await customers.insertMany(Array.from({ length: size }, (_, at) => customer(done.inserted + at, 0)))
  done.inserted += size
}

/** A number that no other change has: none leaves things as they are. */
let visits = 0

/** Numbers of customers that were deleted. */
const gone: Array<number> = []

const change = async () => {
  visits += 1
  const at = 2 * Math.floor((Math.random() * done.inserted) / 2) + 1
  const _id = `customer-${at}`
  const chance = Math.random()
  if (chance < 0.15) {
    const { deletedCount } = await customers.deleteOne({ _id })
    done.deleted += deletedCount
    if (deletedCount === 1) gone.push(at)
  } else if (chance < 0.25) {
    const again = gone.shift()
    if (again === undefined) return
    await customers.insertOne(customer(again, visits))
    done.insertedAgain += 1
  } else if (chance < 0.5) {
    done.replaced += (await customers.replaceOne({ _id }, customer(at, visits))).modifiedCount
  } else {
    done.updated += (await customers.updateOne({ _id }, { $set: { visits } })).modifiedCount
  }
}

const changeSome = async () => {
  for (let at = 0; at < changesAtOnce; at++) await change()
}

const pause = () => new Promise((resolve) => setTimeout(resolve, pauseMillis))

while (done.inserted < count / 2) await insertUpTo(Math.ceil(count / 2))
process.stdout.write("half of them are there\n")
while (isWanted() || done.inserted < count) {
  if (done.inserted < count) await insertUpTo(count)
  await changeSome()
  await pause()
}
await client.close()
process.stdout.write(`${JSON.stringify(done)}\n`)
