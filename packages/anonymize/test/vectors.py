"""Writes vectors.json: what the package must compute, by another implementation. Run: python3 vectors.py"""

import base64
import hashlib
import hmac
import json
import pathlib
import unicodedata

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
HEX_SECRET = "9f1c5a7be03d42688d5b0c4e6a17f2935cb8e1d70a4f63926b1d8e57c3fa0419"
BASE64_SECRET = base64.b64encode(hashlib.sha256(b"a test secret").digest()[:18]).decode()
LONG_SECRET = (hashlib.sha512(b"a long test secret").digest() * 2)[:100].hex()


def secret_bytes(text):
    return base64.b64decode(text) if text == BASE64_SECRET else bytes.fromhex(text)


def draw(length, blocks):
    letters = ""
    for block in blocks:
        for byte in block:
            if byte < 248:
                letters += ALPHABET[byte % 62]
            if len(letters) == length:
                return letters


def pseudonym(secret, scope, length, value):
    text = unicodedata.normalize("NFC", value).encode("utf-8")
    tail = b"twinbox/pseudonym/v1\0" + scope.encode("utf-8") + b"\0" + text
    blocks = (hmac.new(secret_bytes(secret), bytes([n]) + tail, hashlib.sha256).digest() for n in range(256))
    return draw(length, blocks)


def is_domain(domain):
    labels = domain.split(".")
    if len(domain) > 253 or len(labels) < 2:
        return False
    for label in labels:
        kinds = [unicodedata.category(c) for c in label]
        if not label or len(label) > 63 or label[0] == "-" or label[-1] == "-":
            return False
        if any(k[0] not in "LM" and k != "Nd" and c != "-" for c, k in zip(label, kinds)):
            return False
    last = labels[-1]
    return last.startswith("xn--") or (len(last) >= 2 and all(unicodedata.category(c)[0] in "LM" for c in last))


def email(secret, scope, length, value):
    head, at, domain = value.rpartition("@")
    if at == "" or not is_domain(domain):
        return pseudonym(secret, scope, length, value) + "@invalid"
    return pseudonym(secret, scope, length, head) + "@" + domain


def sha256_hex(secret, scope, length, value):
    return hashlib.sha256(value.encode("utf-8")).hexdigest()[:8]


def sha256_base62(secret, scope, length, value):
    def blocks():
        digest = hashlib.sha256(value.encode("utf-8")).digest()
        while True:
            yield digest
            digest = hashlib.sha256(digest).digest()

    return draw(8, blocks())


STRATEGIES = {
    "pseudonym": pseudonym,
    "email": email,
    "sha256Hex": sha256_hex,
    "sha256Base62": sha256_base62,
}

CASES = [
    ("pseudonym", HEX_SECRET, "firstName", 8, "Ada"),
    ("pseudonym", HEX_SECRET, "lastName", 8, "Ada"),
    ("pseudonym", BASE64_SECRET, "firstName", 8, "Ada"),
    ("pseudonym", LONG_SECRET, "firstName", 8, "Ada"),
    ("pseudonym", HEX_SECRET, "firstName", 8, ""),
    ("pseudonym", HEX_SECRET, "firstName", 8, " Ada"),
    ("pseudonym", HEX_SECRET, "firstName", 8, "ada"),
    ("pseudonym", HEX_SECRET, "firstName", 4, "Ada"),
    ("pseudonym", HEX_SECRET, "firstName", 12, "Ada"),
    ("pseudonym", HEX_SECRET, "firstName", 22, "Ada"),
    ("pseudonym", HEX_SECRET, "firstName", 8, "Zo\u00eb"),
    ("pseudonym", HEX_SECRET, "firstName", 8, "Zoe\u0308"),
    ("pseudonym", HEX_SECRET, "firstName", 8, "\u212bngstr\u00f6m"),
    ("pseudonym", HEX_SECRET, "firstName", 8, "\u1112\u1161\u11ab\u1100\u1173\u11af"),
    ("pseudonym", HEX_SECRET, "firstName", 8, "\u674e\u5c0f\u9f8d"),
    ("pseudonym", HEX_SECRET, "firstName", 8, "\U0001f469\u200d\U0001f4bb"),
    ("pseudonym", HEX_SECRET, "firstName", 8, "a\0b"),
    ("pseudonym", HEX_SECRET, "\u00fcber.name", 8, "Ada"),
    ("pseudonym", HEX_SECRET, "address.line1", 8, "12, St James's Square"),
    ("pseudonym", HEX_SECRET, "note", 8, "x" * 511),
    ("pseudonym", HEX_SECRET, "note", 8, "x" * 512),
    ("pseudonym", HEX_SECRET, "note", 8, "x" * 5000),
    ("pseudonym", HEX_SECRET, "note", 8, "\u00e9" * 170),
    ("pseudonym", HEX_SECRET, "note", 8, "\u00e9" * 5000),
    ("email", HEX_SECRET, "email", 8, "ada@example.org"),
    ("email", HEX_SECRET, "email", 8, "Ada@Example.ORG"),
    ("email", HEX_SECRET, "email", 8, "ada"),
    ("email", HEX_SECRET, "email", 8, ""),
    ("email", HEX_SECRET, "email", 8, "@example.org"),
    ("email", HEX_SECRET, "email", 8, "ada@"),
    ("email", HEX_SECRET, "email", 8, "ada@home@example.org"),
    ("email", HEX_SECRET, "email", 8, "ada@Ada Lovelace"),
    ("email", HEX_SECRET, "email", 8, "ada@Lovelace"),
    ("email", HEX_SECRET, "email", 8, "ada@192.168.0.1"),
    ("email", HEX_SECRET, "email", 8, "zoe\u0308@m\u00fcnchen.example"),
    ("email", HEX_SECRET, "email", 12, "ada@xn--mnchen-3ya.xn--p1ai"),
    ("sha256Hex", HEX_SECRET, "", 8, "Ada"),
    ("sha256Hex", HEX_SECRET, "", 8, "Zoe\u0308"),
    ("sha256Hex", HEX_SECRET, "", 8, ""),
    ("sha256Base62", HEX_SECRET, "", 8, "Ada"),
    ("sha256Base62", HEX_SECRET, "", 8, "\u674e\u5c0f\u9f8d"),
    ("sha256Base62", HEX_SECRET, "", 8, ""),
]


def main():
    fields = [
        {
            "strategy": strategy,
            "secret": secret,
            "scope": scope,
            "length": length,
            "value": value,
            "twin": STRATEGIES[strategy](secret, scope, length, value),
        }
        for strategy, secret, scope, length, value in CASES
    ]
    checks = [
        {"secret": s, "check": hmac.new(secret_bytes(s), b"twinbox/key-check/v1", hashlib.sha256).hexdigest()[:32]}
        for s in (HEX_SECRET, BASE64_SECRET, LONG_SECRET)
    ]
    path = pathlib.Path(__file__).with_name("vectors.json")
    path.write_text(json.dumps({"fields": fields, "checks": checks}, indent=2) + "\n")


if __name__ == "__main__":
    main()
