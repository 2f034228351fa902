import { createReadStream, createWriteStream } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { pipeline } from "node:stream/promises"
import { createInflateRaw } from "node:zlib"

// Sizes and signatures are those of the ZIP format (APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16).
const endSignature = 0x06054b50
const endSizeBytes = 22
const longestCommentBytes = 65_535
const centralSignature = 0x02014b50
const centralSizeBytes = 46
const localSizeBytes = 30

interface Entry {
  readonly name: string
  readonly method: number
  readonly compressedBytes: number
  readonly offset: number
}

const readAt = async (file: FileHandle, position: number, bytes: number): Promise<Buffer> =>
  (await file.read(Buffer.alloc(bytes), 0, bytes, position)).buffer

const readDirectory = async (file: FileHandle): Promise<Buffer> => {
  const { size } = await file.stat()
  const tailBytes = Math.min(size, endSizeBytes + longestCommentBytes)
  const tail = await readAt(file, size - tailBytes, tailBytes)
  for (let at = tailBytes - endSizeBytes; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== endSignature) continue
    return readAt(file, tail.readUInt32LE(at + 16), tail.readUInt32LE(at + 12))
  }
  throw new Error("not a zip file")
}

const parseDirectory = (directory: Buffer): ReadonlyArray<Entry> => {
  const entries: Array<Entry> = []
  let at = 0
  while (at + centralSizeBytes <= directory.length && directory.readUInt32LE(at) === centralSignature) {
    const nameBytes = directory.readUInt16LE(at + 28)
    entries.push({
      name: directory.toString("utf8", at + centralSizeBytes, at + centralSizeBytes + nameBytes),
      method: directory.readUInt16LE(at + 10),
      compressedBytes: directory.readUInt32LE(at + 20),
      offset: directory.readUInt32LE(at + 42)
    })
    at += centralSizeBytes + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32)
  }
  return entries
}

const locate = async (zipPath: string, name: string): Promise<Entry & { readonly start: number }> => {
  const file = await open(zipPath, "r")
  try {
    const entry = parseDirectory(await readDirectory(file)).find((entry) => entry.name === name)
    if (entry === undefined) throw new Error(`no ${name} in the archive`)
    const local = await readAt(file, entry.offset, localSizeBytes)
    const start = entry.offset + localSizeBytes + local.readUInt16LE(26) + local.readUInt16LE(28)
    return { ...entry, start }
  } finally {
    await file.close()
  }
}

/** Extracts one file of a ZIP archive (such as a Python wheel) as an executable file. Archives over 4 GB: no. */
export const extractZipEntry = async (zipPath: string, name: string, target: string): Promise<void> => {
  const { start, compressedBytes, method } = await locate(zipPath, name)
  const packed = createReadStream(zipPath, { start, end: start + compressedBytes - 1 })
  const unpacked = createWriteStream(target, { mode: 0o755 })
  if (method === 0) await pipeline(packed, unpacked)
  else await pipeline(packed, createInflateRaw(), unpacked)
}
