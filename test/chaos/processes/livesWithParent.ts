/** Ends this process when the one that started it is gone, however that went. */
export const livesWithParent = (): void => {
  process.stdin.on("end", () => process.exit(1))
  process.stdin.resume()
}
