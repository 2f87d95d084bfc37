/**
 * REDIS_URL names one server, a cluster, or the sentinels of a replicated one:
 *
 *   redis://[user:password@]host:port/db
 *   redis-cluster://[user:password@]host:port,host:port,…          some of the masters: the rest is found
 *   redis-sentinel://[user:password@]host:port,host:port,…/name    the sentinels, and the master's name
 *
 * `rediss…` for TLS. `?sentinel_password=…` when the sentinels have one of their own. One variable for all
 * three, because what is configured is always the same thing: where Redis is.
 */

export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

interface Credentials {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: boolean;
}

export type RedisAddress =
  | { readonly kind: 'single'; readonly url: string }
  | (Credentials & { readonly kind: 'cluster'; readonly nodes: readonly RedisNode[] })
  | (Credentials & {
      readonly kind: 'sentinel';
      readonly sentinels: readonly RedisNode[];
      readonly master: string;
      readonly db: number;
      readonly sentinelPassword: string | undefined;
    });

export const REDIS_URL_EXPECTED =
  'expected redis://host:port, redis-cluster://host:port,host:port or redis-sentinel://host:port,host:port/master (rediss… for TLS)';

const DEFAULT_PORT = { cluster: 6379, sentinel: 26_379 };
const SEVERAL =
  /^(redis|rediss)-(cluster|sentinel):\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/?@]+)(?:\/([^/?]*))?(?:\?(.*))?$/;

/** @returns undefined when `text` is no address of Redis */
export function parseRedisAddress(text: string): RedisAddress | undefined {
  const parts = SEVERAL.exec(text);
  if (parts === null) return isSingle(text) ? { kind: 'single', url: text } : undefined;
  const [, protocol, kind, username, password, hosts = '', path = '', query] = parts;
  const several = kind as 'cluster' | 'sentinel';
  const nodes = hosts.split(',').map((host) => parseNode(host, DEFAULT_PORT[several]));
  const given = new URLSearchParams(query);
  const credentials = {
    username: decoded(username),
    password: decoded(password),
    tls: protocol === 'rediss',
  };
  if (!nodes.every((node) => node !== undefined)) return undefined;
  if (several === 'cluster')
    return path === '' ? { kind: 'cluster', nodes, ...credentials } : undefined;
  const db = Number(given.get('db') ?? 0);
  if (path === '' || !Number.isInteger(db) || db < 0) return undefined;
  return {
    kind: 'sentinel',
    sentinels: nodes,
    master: decodeURIComponent(path),
    db,
    sentinelPassword: given.get('sentinel_password') ?? undefined,
    ...credentials,
  };
}

/** True when every script's keys must share a slot, and messages are to stay on the shard they are from. */
export const isCluster = (url: string): boolean => parseRedisAddress(url)?.kind === 'cluster';

function isSingle(text: string): boolean {
  return URL.canParse(text) && ['redis:', 'rediss:'].includes(new URL(text).protocol);
}

function parseNode(text: string, defaultPort: number): RedisNode | undefined {
  // [::1]:6379 has colons of its own.
  const [, host, port] = /^(\[[^\]]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (host === undefined) return undefined;
  return {
    host: host.replace(/^\[|\]$/g, ''),
    port: port === undefined ? defaultPort : Number(port),
  };
}

const decoded = (text: string | undefined): string | undefined =>
  text === undefined || text === '' ? undefined : decodeURIComponent(text);
