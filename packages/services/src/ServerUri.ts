/**
 * The hosts of a connection string, for people: `host:port`, several joined by commas. Never its credentials:
 * everything up to the last `@` before the path is left out, even in a string that is not a valid URI.
 */
export const hostsOf = (uri: string): string => {
  const afterScheme = uri.slice(uri.indexOf("//") + 2)
  const authority = /^[^/?#]*/.exec(afterScheme.slice(afterScheme.lastIndexOf("@") + 1))?.[0] ?? ""
  return authority === "" ? "an unnamed host" : authority
}
