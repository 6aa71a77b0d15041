// Our client at our relay once more over the portable WebSocket link: it is chosen when the module is loaded.
process.env['EDGEFRP_WEBSOCKET'] = 'ws'
await import('./client-relay.test.ts')

export {}
