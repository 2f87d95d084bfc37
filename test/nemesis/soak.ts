/**
 * npm run soak -- --minutes 10 --seed 7 --users 12
 *
 * Several rounds, each with a deployment and a seed of its own (seed, seed + 1, …); stops at the first violation.
 * With `--only "kill worker,kill redis"` those faults alone are inflicted. With `--url` the users alone play against a server that is there already, which must serve the graphs of
 * test/support/fault-project (or `--assistants a,b` that count as they do); nothing is broken there.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startSharedServers } from '../support/shared-servers.ts';
import { createJournal } from './journal.ts';
import { counts, playNemesis, renderReport, shares } from './nemesis.ts';
import type { NemesisReport } from './nemesis.ts';
import { FAULT_KINDS } from './schedule.ts';
import { startWorkload } from './workload.ts';

const ROUND_MINUTES_MAX = 5;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
    users: { type: 'string', default: '12' },
    only: { type: 'string' },
    url: { type: 'string', multiple: true },
    header: { type: 'string', multiple: true, default: [] },
    assistants: { type: 'string', default: 'probe,counter' },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
const users = Number(values.users);
const kinds = values.only?.split(',').map((name) => {
  const kind = FAULT_KINDS.find((known) => known === name.trim());
  if (kind === undefined)
    throw new Error(`--only: expected some of ${FAULT_KINDS.join(', ')}; found ${name}`);
  return kind;
});
if (!(minutes > 0) || !Number.isInteger(seed) || !(users >= 1))
  throw new Error('expected --minutes > 0, --seed an integer, --users >= 1');

function say(text: string): void {
  process.stdout.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
}

/** The part that needs no hands on the machines. */
async function playClients(urls: readonly string[]): Promise<NemesisReport> {
  const journal = createJournal();
  const headers = Object.fromEntries(
    values.header.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    }),
  );
  const target = { urls: () => urls, idempotent: false, headers };
  const workload = startWorkload(target, journal, {
    seed,
    users,
    assistants: values.assistants.split(','),
    webhookUrl: undefined,
    effectsFile: undefined,
  });
  await delay(minutes * 60_000);
  await workload.stop();
  return {
    seed,
    violations: journal.violations,
    figures: workload.figures,
    faults: {},
    recoveriesMs: [],
    requests: workload.client.figures,
    webhooks: 0,
  };
}

async function playRounds(): Promise<boolean> {
  const shared = await startSharedServers();
  process.env['TEST_POSTGRES_URL'] ??= shared.postgresUrl;
  process.env['TEST_REDIS_URL'] ??= shared.redisUrl;
  const reports: NemesisReport[] = [];
  try {
    const endAt = Date.now() + minutes * 60_000;
    for (let round = 0; Date.now() < endAt; round++) {
      const forMs = Math.min(endAt - Date.now(), ROUND_MINUTES_MAX * 60_000);
      say(`round ${round + 1}, seed ${seed + round}, ${(forMs / 1_000).toFixed(0)} s`);
      const report = await playNemesis({ seed: seed + round, forMs, users, kinds, onNote: say });
      say(renderReport(report));
      reports.push(report);
      if (report.violations.length > 0) break;
    }
    sayAll(reports);
    return reports.every(({ violations }) => violations.length === 0);
  } finally {
    await shared.stop();
  }
}

/** The figures of all rounds. */
function sayAll(reports: readonly NemesisReport[]): void {
  const sum = (of: (report: NemesisReport) => number): number =>
    reports.reduce((all, report) => all + of(report), 0);
  const merged = (of: (report: NemesisReport) => Readonly<Record<string, number>>): string => {
    const all: Record<string, number> = {};
    for (const report of reports)
      for (const [name, n] of Object.entries(of(report))) all[name] = (all[name] ?? 0) + n;
    return `${Object.values(all).reduce((total, n) => total + n, 0)} (${counts(all)})`;
  };
  const times = reports.flatMap(({ recoveriesMs }) => recoveriesMs).sort((a, b) => a - b);
  for (const line of [
    `all ${reports.length} rounds, seeds ${reports.map((report) => report.seed).join(', ')}:`,
    `runs ${sum(({ figures }) => figures.runs)}, which ended: ${merged(({ figures }) => figures.ends)}`,
    `events ${sum(({ figures }) => figures.events)}`,
    `faults ${merged(({ faults }) => faults)}`,
    `recoveries ${times.length}, ${shares(times)}`,
    `rewinds announced ${sum(({ figures }) => figures.rewinds)}, connections resumed ${sum(({ figures }) => figures.resumed)}`,
    `webhooks ${sum(({ webhooks }) => webhooks)}`,
    `violations ${sum(({ violations }) => violations.length)}`,
  ])
    say(line);
}

let sound: boolean;
if (values.url === undefined) sound = await playRounds();
else {
  const report = await playClients(values.url);
  say(renderReport(report));
  sound = report.violations.length === 0;
}
process.exit(sound ? 0 : 1);
