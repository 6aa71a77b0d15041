/** What a hub of the benchmark tells of itself. */
export interface Probe {
  /** Bytes of state of each sleeping socket. */
  attachments: number[]
  /** How many objects this isolate has made. */
  lives: number
}
