// Hocuspocus as its README starts it: no extension, every setting as it comes. Arguments: the port, and `flushDelay` in ms
// where it is to be another one.
import { Server } from '@hocuspocus/server'

const [port, flushDelay] = process.argv.slice(2).map(Number)
const told = flushDelay === undefined ? {} : { flushDelay }
const server = new Server({ port, address: '127.0.0.1', quiet: true, stopOnSignals: true, ...told })
await server.listen()
console.log('listening')
