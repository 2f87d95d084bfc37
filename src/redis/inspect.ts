/** What `millrace doctor` looks at in Redis. */
import { clockFinding } from '../lib/finding.ts';
import type { Finding } from '../lib/finding.ts';
import { isCluster } from './address.ts';
import { connectCommands, isReachable, mastersOf } from './connect.ts';

const CONNECT_LIMIT_MS = 3_000;
const VERSION_MIN = [6, 2];
const CLUSTER_VERSION_MIN = [7, 0];

export async function inspectRedis(url: string): Promise<Finding[]> {
  let lastError = 'no answer';
  const redis = connectCommands({ url, name: 'millrace-doctor' }, (error) => {
    lastError = error.message;
  });
  try {
    if (!(await isReachable(redis, CONNECT_LIMIT_MS)))
      return [
        {
          state: 'wrong',
          what: `Redis ${url}: ${lastError}`,
          mend: 'start Redis or correct REDIS_URL; without it Millrace is slower, not down',
        },
      ];
    const masters = mastersOf(redis);
    const findings: Finding[] = [];
    for (const master of masters) {
      const { host = '', port = '' } = master.options;
      const name = masters.length === 1 ? 'Redis' : `Redis ${host}:${port}`;
      findings.push(...(await findingsOf(master, name, isCluster(url))));
    }
    return findings;
  } finally {
    redis.disconnect();
  }
}

async function findingsOf(
  redis: ReturnType<typeof mastersOf>[number],
  name: string,
  cluster: boolean,
): Promise<Finding[]> {
  const info = await redis.info();
  const field = (name: string): string =>
    new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1] ?? '';
  const findings: Finding[] = [versionFinding(name, field('redis_version'), cluster)];

  const policy = field('maxmemory_policy');
  findings.push(
    policy === 'noeviction'
      ? { state: 'ok', what: `${name}: maxmemory-policy noeviction` }
      : {
          state: 'wrong',
          what: `${name}: maxmemory-policy ${policy}, expected noeviction: it would evict queued jobs and events`,
          mend: 'CONFIG SET maxmemory-policy noeviction, and the same in redis.conf',
        },
  );
  const maxmemory = Number(field('maxmemory'));
  findings.push(
    maxmemory > 0
      ? {
          state: 'ok',
          what: `${name}: maxmemory ${field('maxmemory_human')}, used ${field('used_memory_human')}`,
        }
      : {
          state: 'warn',
          what: `${name}: maxmemory is not set: a full machine kills it instead of pausing writers`,
          mend: 'CONFIG SET maxmemory to what the machine can spare',
        },
  );
  findings.push(
    field('aof_enabled') === '1'
      ? { state: 'ok', what: `${name}: append-only file on` }
      : {
          state: 'warn',
          what: `${name}: append-only file off: a restart is survived, but every running log is sent again`,
          mend: 'CONFIG SET appendonly yes (appendfsync everysec is enough)',
        },
  );
  const before = Date.now();
  const [seconds = '0', micros = '0'] = (await redis.time()).map(String);
  findings.push(
    clockFinding(name, Number(seconds) * 1_000 + Number(micros) / 1_000, before, Date.now()),
  );
  return findings;
}

function versionFinding(name: string, version: string, cluster: boolean): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const wanted = cluster ? CLUSTER_VERSION_MIN : VERSION_MIN;
  const [majorMin = 0, minorMin = 0] = wanted;
  return major > majorMin || (major === majorMin && minor >= minorMin)
    ? { state: 'ok', what: `${name} ${version}` }
    : {
        state: 'wrong',
        what: `${name} ${version}, expected ${wanted.join('.')} or newer (${cluster ? 'SPUBLISH' : 'XAUTOCLAIM'})`,
        mend: 'upgrade Redis, or use Valkey',
      };
}
