import { constants, createGzip } from "node:zlib"

/** Turns bytes into what is stored, a piece at a time and in order. */
export interface Compressor {
  /** Whether what comes out may be what went in, and not a copy. */
  readonly keepsInput: boolean
  /** Takes bytes in; resolves when it can take more. */
  readonly push: (bytes: Buffer) => Promise<void>
  /** Resolves when all that was taken in has come out, so that a reader can make something of it. */
  readonly flush: () => Promise<void>
  /** Ends the data. */
  readonly end: () => Promise<void>
  /** What has come out since it was last asked. */
  readonly take: () => ReadonlyArray<Buffer>
  readonly destroy: () => void
}

const resolved = Promise.resolve()

/** Stores bytes as they are. */
export const none = (): Compressor => {
  let out: Array<Buffer> = []
  return {
    keepsInput: true,
    push: (bytes) => {
      out.push(bytes)
      return resolved
    },
    flush: () => resolved,
    end: () => resolved,
    take: () => {
      const taken = out
      out = []
      return taken
    },
    destroy: () => undefined
  }
}

/** One gzip member (RFC 1952). */
export const gzip = (): Compressor => {
  const stream = createGzip()
  let out: Array<Buffer> = []
  stream.on("data", (bytes: Buffer) => out.push(bytes))
  // Whoever waits for the call that failed is told.
  stream.on("error", () => undefined)
  const done =
    (resolve: () => void, reject: (error: Error) => void) =>
    (error?: Error | null): void => {
      if (error === undefined || error === null) resolve()
      else reject(error)
    }
  return {
    keepsInput: false,
    push: (bytes) => new Promise((resolve, reject) => stream.write(bytes, done(resolve, reject))),
    flush: async () => {
      await new Promise<void>((resolve) => stream.flush(constants.Z_SYNC_FLUSH, resolve))
      // What was flushed is handed over in a later turn.
      await new Promise((resolve) => setImmediate(resolve))
    },
    end: () =>
      new Promise((resolve, reject) => {
        stream.once("end", resolve)
        stream.once("error", reject)
        stream.end()
      }),
    take: () => {
      const taken = out
      out = []
      return taken
    },
    destroy: () => stream.destroy()
  }
}
