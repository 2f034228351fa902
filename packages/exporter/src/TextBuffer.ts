/** One is filled while another waits to be sent and a third is under way. */
const buffersInTurn = 3

/** The most bytes of UTF-8 that one UTF-16 code unit takes. */
const bytesPerUnit = 3

/**
 * Gathers texts as bytes, in buffers that take turns. Fresh strings and buffers for each append would let memory grow
 * by hundreds of megabytes before they are collected.
 */
export class TextBuffer {
  readonly #buffers: ReadonlyArray<Buffer>
  #current: Buffer
  #turn = 0
  #size = 0

  constructor(bytes: number) {
    this.#buffers = Array.from({ length: buffersInTurn }, () => Buffer.allocUnsafeSlow(bytes))
    this.#current = this.#buffers[0] ?? Buffer.alloc(0)
  }

  get size(): number {
    return this.#size
  }

  /** Takes a text in; false when there is no room for it. */
  add(text: string): boolean {
    const room = this.#current.length - this.#size
    if (text.length * bytesPerUnit > room && Buffer.byteLength(text) > room) return false
    this.#size += this.#current.write(text, this.#size)
    return true
  }

  /** What was gathered. It is written over when as many more were taken as there are buffers. */
  take(): Buffer {
    const taken = this.#current.subarray(0, this.#size)
    this.#turn = (this.#turn + 1) % buffersInTurn
    this.#current = this.#buffers[this.#turn] ?? this.#current
    this.#size = 0
    return taken
  }
}
