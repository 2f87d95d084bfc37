/** Where and with what it was measured: figures without it say nothing. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../prepare.mjs';

export async function describeMachine(postgres, redis) {
  const {
    rows: [{ server_version: pgVersion }],
  } = await postgres.admin.query('SHOW server_version');
  const redisVersion =
    redis && /redis_version:(\S+)/.exec(await redis.commands.info('server'))?.[1];
  const version = (name) =>
    JSON.parse(readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8')).version;
  const git = (...args) => {
    try {
      return execFileSync('git', args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'ignore'] })
        .toString()
        .trim();
    } catch {
      return undefined; // not a clone
    }
  };
  const commit = git('rev-parse', '--short', 'HEAD');
  const changed = (git('status', '--porcelain', '--', 'src') ?? '') !== '';
  return {
    date: new Date().toISOString(),
    commit: commit === undefined ? null : `${commit}${changed ? ' with changes' : ''}`,
    cpus: `${cpus().length} × ${cpus()[0]?.model.trim()}`,
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    system: `${type()} ${release()}`,
    loadBefore: loadavg()[0],
    node: process.versions.node,
    postgres: pgVersion,
    redis: redisVersion ?? null,
    langgraph: version('@langchain/langgraph'),
    bullmq: version('bullmq'),
  };
}

export const machineText = (m) =>
  `${m.date.slice(0, 16).replace('T', ' ')} UTC, commit ${m.commit ?? 'unknown'}; ${m.cpus}, ${m.memoryGiB} GiB, ${m.system}, load before ${m.loadBefore.toFixed(1)}; ` +
  `Node ${m.node}, PostgreSQL ${m.postgres} (fsync on), Redis ${m.redis ?? 'none'} (AOF everysec), ` +
  `LangGraph.js ${m.langgraph}, BullMQ ${m.bullmq}; ${m.slots} slots a worker, median of ${m.rounds}${m.quick ? ', quick' : ''}${m.profiled ? ', with the profiler, which costs CPU' : ''}`;
