// One call of the library, told by the test as JSON on stdin: {"call": name, ...arguments}. The result is JSON on stdout.
// token.mjs is the code of docs/tokens.md.

import { text } from "node:stream/consumers"
import { SignJWT, base64url, exportJWK, generateKeyPair, jwtDecrypt } from "jose"

const calls = {
  async make({ user, documents }) {
    const { sessionToken } = await import("./token.mjs")
    return sessionToken(user, documents)
  },
  async decrypt({ token, secret }) {
    const { payload, protectedHeader } = await jwtDecrypt(token, base64url.decode(secret))
    return { payload, protectedHeader }
  },
  async sign({ claims, algorithm, kid, secret }) {
    const signed = new SignJWT(claims).setProtectedHeader({ alg: algorithm, kid, typ: "JWT" })
    if (secret) return { token: await signed.sign(new TextEncoder().encode(secret)) }
    const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true })
    return { token: await signed.sign(privateKey), key: { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: "sig" } }
  },
}

const { call, ...options } = JSON.parse(await text(process.stdin))
process.stdout.write(JSON.stringify(await calls[call](options)))
