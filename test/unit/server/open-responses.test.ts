/** Responses that last, at the stop of their server. */
import { createOpenResponses } from '../../../src/server/open-responses.ts';

test('all are broken off once, those that begin while the server stops too; who is forgotten is not', async () => {
  const open = createOpenResponses();
  const broken: string[] = [];
  const add = (name: string): (() => void) => open.add(() => broken.push(name));
  add('early');
  add('gone')();
  open.breakOffAll();
  expect(broken).toEqual(['early']);
  add('late');
  add('left')();
  expect(broken).toEqual(['early']);
  await Promise.resolve();
  expect(broken).toEqual(['early', 'late']);
  open.breakOffAll();
  expect(broken).toEqual(['early', 'late']);
});
