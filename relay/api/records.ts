import type { ClientRecord } from '../client-records.ts'
import type { ProxyRecord } from '../registry.ts'
import { confOf, specOf } from './conf.ts'

/** A client as both versions of frp's API show it; a public id stands for the run id, which is a secret. */
export function clientOf(record: ClientRecord): Record<string, unknown> {
  return {
    key: record.key,
    user: record.user,
    clientID: record.clientId,
    runID: record.publicId,
    ...(record.version === '' ? {} : { version: record.version }),
    wireProtocol: record.wireProtocol,
    hostname: record.hostname,
    ...(record.ip === '' ? {} : { clientIP: record.ip }),
    firstConnectedAt: seconds(record.firstConnectedMs),
    lastConnectedAt: seconds(record.lastConnectedMs),
    ...(record.disconnectedMs === undefined ? {} : { disconnectedAt: seconds(record.disconnectedMs) }),
    online: record.isOnline,
  }
}

/** A proxy as v1 shows it. */
export function proxyOfV1(record: ProxyRecord): Record<string, unknown> {
  return {
    name: record.name,
    conf: record.message === undefined ? null : confOf(record.message),
    ...(record.user === '' ? {} : { user: record.user }),
    ...(record.clientId === '' ? {} : { clientID: record.clientId }),
    ...todayOf(record),
    lastStartTime: timeText(record.lastStartMs),
    lastCloseTime: record.lastCloseMs === undefined ? '' : timeText(record.lastCloseMs),
    status: phaseOf(record),
  }
}

/** A proxy as v2 shows it. */
export function proxyOfV2(record: ProxyRecord): Record<string, unknown> {
  return {
    name: record.name,
    user: record.user,
    clientID: record.clientId,
    spec: specOf(record.type, record.message),
    status: {
      phase: phaseOf(record),
      ...todayOf(record),
      lastStartAt: seconds(record.lastStartMs),
      ...(record.lastCloseMs === undefined ? {} : { lastCloseAt: seconds(record.lastCloseMs) }),
    },
  }
}

export function phaseOf(record: ProxyRecord): 'online' | 'offline' {
  return record.message === undefined ? 'offline' : 'online'
}

function todayOf(record: ProxyRecord): Record<string, number> {
  return {
    todayTrafficIn: record.days[0]?.bytesIn ?? 0,
    todayTrafficOut: record.days[0]?.bytesOut ?? 0,
    curConns: record.stats?.connections ?? 0,
  }
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000)
}

/** frp's `01-02 15:04:05`, in local time. */
function timeText(ms: number): string {
  const date = new Date(ms)
  const two = (value: number): string => String(value).padStart(2, '0')
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':')
  return `${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`
}
