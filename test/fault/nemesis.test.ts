/** Random composition of everything, briefly; `npm run soak` plays it for long. The seed is in the report. */
import { playNemesis, renderReport } from '../nemesis/nemesis.ts';

test('[55] under a random sequence of faults no invariant is violated', async () => {
  const seed = Number(process.env['NEMESIS_SEED'] ?? Date.now() % 1e9);
  const report = await playNemesis({ seed, forMs: 30_000, users: 6 });
  expect(report.violations.length === 0 ? '' : renderReport(report)).toBe('');
  expect(report.figures.runs).toBeGreaterThan(5);
  expect(Object.keys(report.faults).length).toBeGreaterThan(2);
});
