// Documents as other servers keep them. Arguments: a folder for y-websocket's LevelDB. On stdout: a JSON object a line for each state
// that Hocuspocus' Database extension is given to store, in base64.
import process from 'node:process'
import { Database } from '@hocuspocus/extension-database'
import { Server } from '@hocuspocus/server'

const DOCUMENTS = { 'notes/1': 'Salt and bread 😀', 'notes/sub/2': 'And onions' }

async function hocuspocus() {
  const store = async ({ documentName, state }) => {
    process.stdout.write(`${JSON.stringify({ name: documentName, data: Buffer.from(state).toString('base64') })}\n`)
  }
  const { hocuspocus: server } = new Server({ quiet: true, extensions: [new Database({ fetch: async () => null, store })] })
  for (const [name, text] of Object.entries(DOCUMENTS)) {
    const direct = await server.openDirectConnection(name)
    await direct.transact((document) => document.getText('text').insert(0, text))
    await direct.transact((document) => document.getText('text').insert(text.length, '.'))
    await direct.disconnect()
  }
}

/** y-websocket's server, as its package has it: what comes from its sockets is an update of such a document. */
async function yWebsocket(folder) {
  process.env.YPERSISTENCE = folder
  const { getYDoc, getPersistence } = (await import('y-websocket/bin/utils')).default
  for (const [name, text] of Object.entries(DOCUMENTS)) {
    const document = getYDoc(name)
    document.getText('text').insert(0, text)
    document.getText('text').insert(text.length, '.')
  }
  const { provider } = getPersistence()
  for (const name of Object.keys(DOCUMENTS)) {
    while ((await provider.getYDoc(name)).getText('text').toString() !== `${DOCUMENTS[name]}.`) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  await provider.destroy()
}

await hocuspocus()
console.info = (...words) => process.stderr.write(`${words.join(' ')}\n`) // y-websocket tells where it keeps documents
await yWebsocket(process.argv[2])
process.exit(0)
