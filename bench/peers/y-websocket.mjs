// y-websocket's server as its package starts it; no persistence. Arguments: the port.
process.env.HOST = '127.0.0.1'
process.env.PORT = process.argv[2]
await import('@y/websocket-server/server')
