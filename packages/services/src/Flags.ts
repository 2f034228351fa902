/** Command-line arguments from names and values: `{ port: 1 }` gives `--port 1`; `true` stands for a bare name. */
export const flags = (values: Readonly<Record<string, string | number | true>>): ReadonlyArray<string> =>
  Object.entries(values).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [`--${name}`, String(value)]
  )
