import type { SnapshotSource } from "@twinbox/exporter"
import { createClient } from "@redis/client"
import type { Collection, Filter } from "mongodb"

const pageSize = 500
const chunkBytes = 256 * 1024
const segmentBytes = 64 * 1024 * 1024

/**
 * What somebody would write who needs it once: pages by `_id`, JSON, APPEND. The next page is on its way while one is
 * encoded. No state, no checksum, no limits, nobody to stop it or to see how far it is. Returns the bytes.
 */
export const appendByHand = async (
  collection: Collection<SnapshotSource.Stored>,
  redisUrl: string
): Promise<number> => {
  const redis = await createClient({ url: redisUrl }).connect()
  const pageAfter = (after: string | undefined) =>
    collection
      .find((after === undefined ? {} : { _id: { $gt: after } }) as Filter<SnapshotSource.Stored>)
      .sort({ _id: 1 })
      .limit(pageSize)
      .toArray()
  let bytes = 0
  let gathered = ""
  const append = async () => {
    const data = Buffer.from(gathered)
    gathered = ""
    await redis.append(`by-hand-${Math.floor(bytes / segmentBytes)}`, data)
    bytes += data.length
  }
  for (let next = pageAfter(undefined); ;) {
    const page = await next
    const last = page.at(-1)
    if (last === undefined) break
    next = pageAfter(last._id)
    for (const stored of page) {
      gathered += `${JSON.stringify({ ...stored, deleted: false })}\n`
      if (gathered.length >= chunkBytes) await append()
    }
  }
  await append()
  await redis.close()
  return bytes
}
