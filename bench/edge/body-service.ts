import net from 'node:net'

// A web server whose answer to /bytes/N is N bytes: node body-service.ts PORT

const PIECE = Buffer.alloc(256 * 1024, 1)

net
  .createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {})
    socket.on('data', (head) => {
      let left = Number(/^GET \/bytes\/(\d+)/.exec(head.toString('latin1'))?.[1] ?? 0)
      const more = (): void => {
        while (left > 0) {
          const piece = left < PIECE.length ? PIECE.subarray(0, left) : PIECE
          left -= piece.length
          if (socket.write(piece)) continue
          socket.once('drain', more)
          return
        }
      }
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${left}\r\n\r\n`)
      more()
    })
  })
  .listen(Number(process.argv[2]), '127.0.0.1')
