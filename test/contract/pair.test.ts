import { pair } from '../../protocol/stream/pair.ts'
import { byteStreamContract } from './byte-stream.ts'

byteStreamContract('pair', async () => [...pair(), () => {}], { boundBytes: 128 * 1024 })
