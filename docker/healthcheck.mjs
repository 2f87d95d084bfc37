/** The image's HEALTHCHECK: HEALTH_URL answers with 2xx. A worker sets it to its WORKER_METRICS_PORT. */
const url = process.env.HEALTH_URL ?? 'http://127.0.0.1:2024/ok';
try {
  const { ok, status } = await fetch(url, { signal: AbortSignal.timeout(2_500) });
  if (!ok) throw new Error(`${url} answered ${status}`);
} catch (error) {
  console.error(String(error.cause ?? error));
  process.exitCode = 1;
}
