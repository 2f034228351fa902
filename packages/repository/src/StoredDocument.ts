/** Encoded fields of a document, without `_id` and `version`. */
export type Fields = Readonly<Record<string, unknown>>

/** A document as MongoDB holds it: the encoded fields, with what the repository adds. */
export interface StoredDocument {
  readonly _id: string
  /** Absent in originals that a foreign program wrote. */
  readonly version?: number
  readonly [field: string]: unknown
}

/** A twin as MongoDB holds it. */
export interface StoredTwin extends StoredDocument {
  /** Version of the key that made its pseudonyms. */
  readonly keyVersion?: number
  /** Fingerprint of the anonymizer that made it. */
  readonly fingerprint?: string
}

/** What is left of a deleted document: its last version, so that a later one goes on from there. */
export interface Tombstone {
  readonly _id: string
  readonly version: number
  readonly deletedAt: Date
}

/** Everything stored about one id. */
export interface Current {
  readonly original: StoredDocument | undefined
  readonly twin: StoredTwin | undefined
  readonly tombstone: Tombstone | undefined
}

export const nothing: Current = { original: undefined, twin: undefined, tombstone: undefined }

/** The version in a stored document. 0 for none, or for something else that a foreign program put there. */
export const versionIn = (stored: { readonly version?: unknown } | undefined): number => {
  const version = stored?.version
  return typeof version === "number" && Number.isSafeInteger(version) && version > 0 ? version : 0
}

/** The highest version this id has had; 0 for none. */
export const versionOf = ({ original, tombstone, twin }: Current): number =>
  Math.max(versionIn(original), versionIn(twin), versionIn(tombstone))

/** The fields of an original. */
export const fieldsOf = ({ _id, version, ...fields }: StoredDocument): Fields => fields

/** The fields of a twin. */
export const twinFieldsOf = ({ _id, fingerprint, keyVersion, version, ...fields }: StoredTwin): Fields =>
  fields

/** What twins are made by. */
export interface Maker {
  readonly keyVersion: number
  readonly fingerprint: string
}

/** A stored original with the twin that was made of it, by the present key and rules. */
export const upToDate = ({ fingerprint, keyVersion }: Maker, { original, twin }: Current) =>
  original !== undefined &&
  twin !== undefined &&
  versionIn(original) > 0 &&
  versionIn(twin) === versionIn(original) &&
  twin.keyVersion === keyVersion &&
  twin.fingerprint === fingerprint
    ? { original, twin }
    : undefined
