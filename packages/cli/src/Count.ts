const format = new Intl.NumberFormat("en")

/** `1,500`. */
export const text = (count: number): string => format.format(count)

/** `1 dead letter`, `1,500 dead letters`: `thing` is the singular, its plural ends in s. */
export const of = (count: number, thing: string): string => `${text(count)} ${thing}${count === 1 ? "" : "s"}`
