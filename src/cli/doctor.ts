/**
 * `millrace doctor`: looks at what Millrace stands on and says, line by line, what is right, what is wrong
 * and how to mend it. Ends with 1 when something is wrong.
 */
import { readConfig } from '../config.ts';
import type { Config } from '../config.ts';
import { readLangGraphJson } from '../graphs/langgraph-json.ts';
import { inspectPostgres } from '../postgres/inspect.ts';
import { inspectRedis } from '../redis/inspect.ts';
import type { Finding } from '../lib/finding.ts';
import { redactUrl } from '../telemetry/redact.ts';
import { errorSummary } from '../telemetry/error-chain.ts';
import { existsSync } from 'node:fs';

const MARKS = { ok: 'ok  ', warn: 'warn', wrong: 'BAD ' } as const;

export async function doctorCommand(): Promise<number> {
  const findings: Finding[] = [];
  let config: Config;
  try {
    config = readConfig();
    findings.push({ state: 'ok', what: 'configuration' });
  } catch (error) {
    print([
      {
        state: 'wrong',
        what: `configuration: ${errorSummary(error)}`,
        mend: 'correct the variables named above',
      },
    ]);
    return 1;
  }
  findings.push(...nodeFindings());
  if (config.DATABASE_URL === undefined)
    findings.push({
      state: 'warn',
      what: 'DATABASE_URL is not set: Postgres from npm is used, on this machine only',
      mend: 'set DATABASE_URL to use your own server',
    });
  else
    findings.push(
      ...(await inspectPostgres(
        config.DATABASE_URL,
        config.DATABASE_DIRECT_URL ?? config.DATABASE_URL,
      )),
    );
  if (config.REDIS_URL === undefined)
    findings.push({
      state: 'warn',
      what: 'REDIS_URL is not set: the direct path, through Postgres only',
      mend: 'set REDIS_URL for more throughput and lower latency',
    });
  else findings.push(...(await inspectRedis(config.REDIS_URL)));
  findings.push(...graphFindings(config));
  print(findings);
  return findings.some((finding) => finding.state === 'wrong') ? 1 : 0;
}

function nodeFindings(): Finding[] {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > 20 || (major === 20 && minor >= 19)
    ? [{ state: 'ok', what: `Node ${process.versions.node}` }]
    : [
        {
          state: 'wrong',
          what: `Node ${process.versions.node}, expected 20.19 or newer`,
          mend: 'install a newer Node',
        },
      ];
}

function graphFindings(config: Config): Finding[] {
  const path = config.LANGGRAPH_CONFIG_PATH;
  if (!existsSync(path))
    return [
      {
        state: 'warn',
        what: `no ${path} here: there are no graphs to run`,
        mend: 'run millrace where your langgraph.json is, or set LANGGRAPH_CONFIG_PATH',
      },
    ];
  try {
    const ids = readLangGraphJson(path).graphs.map((graph) => graph.graphId);
    return [{ state: 'ok', what: `${path}: ${ids.join(', ')}` }];
  } catch (error) {
    return [{ state: 'wrong', what: errorSummary(error), mend: `correct ${path}` }];
  }
}

function print(findings: readonly Finding[]): void {
  for (const { state, what, mend } of findings) {
    process.stdout.write(`${MARKS[state]}  ${redactUrl(what)}\n`);
    if (mend !== undefined) process.stdout.write(`      → ${mend}\n`);
  }
}
