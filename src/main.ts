#!/usr/bin/env node
/** argv → command. The only place that ends the process in the ordinary way. */
import { Command } from 'commander';
import { AppError } from './errors.ts';
import { errorChain, errorText } from './telemetry/error-chain.ts';

// Who reads the log may be gone first: no reason to end without handing over.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

const program = new Command('millrace').description(
  'A self-hosted server for agent runs whose every event is durable',
);

const messagesOf = (error: AppError): string =>
  errorChain(error)
    .map(({ message }) => message)
    .join(': ');

/** Commands are loaded when called: `migrate` needs no web server, `--help` nothing at all. */
function command(
  name: string,
  description: string,
  load: () => Promise<(options: Record<string, string>) => Promise<number>>,
): Command {
  return program
    .command(name)
    .description(description)
    .action(async (options: Record<string, string>) => {
      const run = await load();
      process.exit(await run(options));
    });
}

command(
  'dev',
  'everything in one process, started again when a file changes',
  async () => (await import('./cli/dev.ts')).devCommand,
)
  .option('-H, --host <address>', 'address to listen on (HOST)')
  .option('-p, --port <port>', 'port to listen on (PORT)');
command('serve', 'answer the API', async () => (await import('./cli/serve.ts')).serveCommand)
  .option('-H, --host <address>', 'address to listen on (HOST)')
  .option('-p, --port <port>', 'port to listen on (PORT)')
  .option('--processes <n>', 'processes that share the port (1)');
command('worker', 'execute runs', async () => (await import('./cli/worker.ts')).workerCommand)
  .option('-c, --concurrency <runs>', 'runs at once in each process (N_JOBS_PER_WORKER)')
  .option('--processes <n>', 'processes (1)');
command('migrate', 'bring the database schema up to date', async () => {
  return (await import('./cli/migrate.ts')).migrateCommand;
});
command('doctor', 'check what Millrace stands on, and say how to mend it', async () => {
  return (await import('./cli/doctor.ts')).doctorCommand;
});

try {
  await program.parseAsync();
} catch (error) {
  // An AppError and its causes say all there is to say; anything else is a bug and needs its stack.
  const expected = error instanceof AppError;
  process.stderr.write(`millrace: ${expected ? messagesOf(error) : errorText(error)}\n`);
  process.exit(1);
}
