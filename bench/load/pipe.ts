import net from 'node:net'

// The yardstick: one ordinary Node process that pipes sockets. node pipe.ts FROM:TO [FROM:TO ...]

for (const pair of process.argv.slice(2)) {
  const [from, to] = pair.split(':').map(Number)
  if (from === undefined || to === undefined) throw new Error(`not FROM:TO: ${pair}`)
  const server = net.createServer({ noDelay: true, allowHalfOpen: true }, (user) => {
    const service = net.connect({ host: '127.0.0.1', port: to, noDelay: true, allowHalfOpen: true })
    user.on('error', () => service.destroy())
    service.on('error', () => user.destroy())
    user.on('close', () => service.destroy())
    service.on('close', () => user.destroy())
    user.pipe(service)
    service.pipe(user)
  })
  server.listen(from, '127.0.0.1', 4096)
}
