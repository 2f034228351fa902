/*
 * Ranges of bytes that a client asks for: https://www.rfc-editor.org/rfc/rfc9110#section-14
 */

/** Both ends included. */
export interface ByteRange {
  readonly from: number
  readonly to: number
}

const single = /^bytes=(\d{0,15})-(\d{0,15})$/i

/** The range of a header, of so many bytes. What is no single range is passed over, which RFC 9110 allows. */
export const of = (header: string | undefined, bytes: number): ByteRange | "Unsatisfiable" | undefined => {
  const [, first = "", last = ""] = single.exec(header ?? "") ?? []
  if (first === "" && last === "") return undefined
  if (first === "") {
    const from = Math.max(0, bytes - Number(last))
    return from < bytes ? { from, to: bytes - 1 } : "Unsatisfiable"
  }
  if (last !== "" && Number(last) < Number(first)) return undefined
  if (Number(first) >= bytes) return "Unsatisfiable"
  return { from: Number(first), to: Math.min(last === "" ? Infinity : Number(last), bytes - 1) }
}
