// The interop suites once more over the portable WebSocket link: it is chosen when the module is loaded.
process.env['EDGEFRP_WEBSOCKET'] = 'ws'
await import('./client.test.ts')
await import('./frps.test.ts')

export {}
