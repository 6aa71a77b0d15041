import { nodeRuntime } from '../../../node/runtime.ts'
import { pair } from '../../../protocol/stream/pair.ts'
import { TokenBucket, throttle } from '../../../protocol/stream/throttle.ts'
import { byteStreamContract } from '../../contract/byte-stream.ts'

byteStreamContract(
  'throttle over a pair',
  async () => {
    const [a, b] = pair()
    const runtime = nodeRuntime()
    // A burst of 8 KiB, so that chunks are cut and must wait, yet are through in a moment.
    return [
      throttle(a, new TokenBucket(8_192, fast(runtime))),
      throttle(b, new TokenBucket(8_192, fast(runtime))),
      () => {},
    ]
  },
  { boundBytes: 256 * 1024 },
)

/** A clock that runs a thousand times as fast. */
function fast(runtime: ReturnType<typeof nodeRuntime>): ReturnType<typeof nodeRuntime> {
  return {
    ...runtime,
    crypto: runtime.crypto,
    log: runtime.log,
    nowMs: () => runtime.nowMs(),
    monotonicMs: () => runtime.monotonicMs() * 1_000,
    after: (delayMs, run) => runtime.after(delayMs / 1_000, run),
  }
}
