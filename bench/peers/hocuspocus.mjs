// Hocuspocus as its README starts it: no extension, every setting as it comes. Arguments: the port.
import { Server } from '@hocuspocus/server'

const server = new Server({ port: Number(process.argv[2]), address: '127.0.0.1', quiet: true, stopOnSignals: true })
await server.listen()
console.log('listening')
