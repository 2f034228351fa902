import { Context } from "effect"

/**
 * Proof that a transaction is open. An adapter puts its own class here (one that holds a session, say)
 * and narrows to it; code outside adapters only needs the tag to be there.
 */
export interface TransactionService {
  /** Name of the adapter that opened the transaction, for errors. */
  readonly adapter: string
}

/**
 * The open transaction. Whatever needs it in its type, as `Outbox.append` does, compiles only inside an
 * adapter's `Transaction.run`.
 */
export class Transaction extends Context.Tag("@twinbox/outbox/Transaction")<
  Transaction,
  TransactionService
>() {}
