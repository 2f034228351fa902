import { createHash } from "node:crypto"
import type { MirrorBuild } from "@twinbox/outbox"

/**
 * A state as it stands aside: the SHA-1 of its key and of what follows, the version, the bytes of each text, a line
 * feed, and the texts: JSON, names and values of indexes. Without a text the record is gone.
 */
export const make = ({ key, payload, version }: MirrorBuild.State, pairs: ReadonlyArray<string>): string => {
  const texts = payload === null ? [] : [payload, ...pairs]
  const lengths = texts.map((text) => Buffer.byteLength(text))
  const body = `${[version, ...lengths].join(" ")}\n${texts.join("")}`
  return createHash("sha1").update(`${key}\n${body}`).digest("hex") + body
}

/** Functions `isSound`, and `read`, which returns the version and the texts. */
export const reading = `
local function isSound(key, entry)
  return redis.sha1hex(key .. '\\n' .. string.sub(entry, 41)) == string.sub(entry, 1, 40)
end

local function read(entry)
  local ending = string.find(entry, '\\n', 41, true)
  local at, version, texts = ending + 1, nil, {}
  for number in string.gmatch(string.sub(entry, 41, ending), '%d+') do
    if version then
      texts[#texts + 1] = string.sub(entry, at, at + tonumber(number) - 1)
      at = at + tonumber(number)
    else
      version = number
    end
  end
  return version, texts
end
`
