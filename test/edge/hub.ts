import { env, evictDurableObject, runInDurableObject } from 'cloudflare:test'
import type { MemoryBudget } from '../../protocol/yamux/memory-budget.ts'
import type { Relay } from '../../relay/relay.ts'
import type { Hub } from '../../worker/hub.ts'
import type { Sleep } from '../../worker/sleep.ts'

declare global {
  namespace Cloudflare {
    interface Env {
      HUB: DurableObjectNamespace<Hub>
      FRPS_CONFIG: string
    }
  }
}

export type HubStub = DurableObjectStub<Hub>

/** What a test may look at inside a hub. */
export interface Inside {
  relay: Relay
  sleep: Sleep
  budget: MemoryBudget
}

let hubCount = 0

/** A hub of its own for a test. */
export function newHub(name = `test-${++hubCount}`): HubStub {
  return env.HUB.get(env.HUB.idFromName(name))
}

export function inside<Result>(
  hub: HubStub,
  look: (inside: Inside, state: DurableObjectState) => Result,
): Promise<Result> {
  // Private members: a test looks where nothing else may.
  return runInDurableObject(hub, (instance, state) => look(instance as unknown as Inside, state)) as Promise<Result>
}

/** Instances of relays that were seen: each eviction must bring another one. */
export const relaysSeen = new Set<Relay>()

function isQuiet(hub: HubStub): Promise<boolean> {
  return inside(hub, ({ sleep, relay }) => {
    relaysSeen.add(relay)
    return sleep.isQuiet
  })
}

/** Waits until the hub would be let sleep by the platform: nothing under way, all that matters written down. */
export async function quiet(hub: HubStub): Promise<void> {
  while (!(await isQuiet(hub))) await turn()
}

/** The hub leaves memory; its sockets stay. */
export async function evict(hub: HubStub): Promise<void> {
  await quiet(hub)
  await evictDurableObject(hub)
}

/** The hub leaves memory if the platform would let it: with half a first message it waits for the rest. */
export async function evictIfQuiet(hub: HubStub): Promise<boolean> {
  await turn()
  if (!(await isQuiet(hub))) return false
  await evictDurableObject(hub)
  return true
}

/** Lets what is on its way arrive: one turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0))
}

/** Waits for something that another event brings. */
export async function eventually(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await turn()
}
