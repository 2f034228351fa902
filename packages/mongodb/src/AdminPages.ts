import { Effect } from "effect"

/** Is told how many records are done. */
export type Progress = (done: number) => Effect.Effect<void>

/** Records that are changed in one step, at most. */
export const pageSize = 500

/**
 * Works through records page by page until a page is not full. `read` gets the last record of the page before;
 * `change` does one page, whole by itself.
 */
export const each = <A, E>(
  read: (after: A | undefined) => Effect.Effect<ReadonlyArray<A>, E>,
  change: (page: ReadonlyArray<A>) => Effect.Effect<void, E>,
  progress: Progress = () => Effect.void
): Effect.Effect<void, E> => {
  const next = (after: A | undefined, before: number): Effect.Effect<void, E> =>
    Effect.flatMap(read(after), (page) => {
      if (page.length === 0) return Effect.void
      const done = before + page.length
      const finished = Effect.zipRight(change(page), progress(done))
      return page.length < pageSize ? finished : Effect.zipRight(finished, next(page.at(-1), done))
    })
  return next(undefined, 0)
}
