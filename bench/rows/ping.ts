import { setTimeout as wait } from 'node:timers/promises'
import { ALL_CHAINS, type Row, WARM_UP_TRIPS, warmUp } from './row.ts'

const SIZE = 64
const COUNT = 3_000
/** Beside a stream a ping takes milliseconds; these are enough for a p99. */
const COUNT_BESIDE = 500

/** Round trips of 64 bytes, alone and beside a stream at full speed. */
export const ping: Row = {
  name: 'ping',
  chains: ALL_CHAINS,
  metrics: [
    { id: 'ping-p50', label: 'ping p50', unit: 'us', isHigherBetter: false, goal: { timesStock: 1.25 } },
    { id: 'ping-p99', label: 'ping p99', unit: 'us', isHigherBetter: false },
    {
      id: 'beside-p50',
      label: 'ping p50 beside a stream',
      unit: 'us',
      isHigherBetter: false,
      goal: { timesStock: 2 },
    },
    { id: 'beside-p99', label: 'ping p99 beside a stream', unit: 'us', isHigherBetter: false },
  ],
  async measure(chain, load) {
    const { echo, bulk } = chain.ports
    const count = load.isQuick ? COUNT / 4 : COUNT
    const alone = await load.user.call({
      do: 'ping',
      port: echo,
      count,
      warmUp: warmUp(WARM_UP_TRIPS, load),
      size: SIZE,
    })
    await load.streamer.call({ do: 'stream', port: bulk, connections: 1, direction: 'down' })
    await wait(300)
    const beside = await load.user.call({ do: 'ping', port: echo, count: COUNT_BESIDE, warmUp: 20, size: SIZE })
    await load.streamer.call({ do: 'stop' })
    await wait(200)
    return {
      'ping-p50': alone.p50Us,
      'ping-p99': alone.p99Us,
      'beside-p50': beside.p50Us,
      'beside-p99': beside.p99Us,
    }
  },
}
