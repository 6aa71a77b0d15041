export default { fetch: () => new Response('nothing is served here', { status: 404 }) }
