/** What the kernel's table of connections says of peers that do not answer. */
import { endianness } from 'node:os';
import { plainAddress, unanswered } from '../../../src/server/vanished.ts';

/** As the kernel of this machine writes it. */
function words(bytes: readonly number[]): string {
  const buffer = Buffer.from(bytes);
  if (endianness() === 'LE') buffer.swap32();
  return buffer.toString('hex').toUpperCase();
}
const SERVER = words([10, 0, 0, 1]);
const CLIENT = words([10, 231, 7, 2]);
const MAPPED = words([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 231, 7, 2]);
const LONG = words([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const row = (remote: string, timer: string, resends: string): string =>
  `   9: ${SERVER}:26F9 ${remote} 01 00000014:00000000 ${timer}:0000022C ${resends}     0        0 4937792 3 00`;
const table = (...rows: string[]): string => [HEAD, ...rows, ''].join('\n');

test('a peer that has not answered four sendings is found, others are not', () => {
  expect(
    unanswered(
      table(
        row(`${CLIENT}:C568`, '01', '00000004'),
        row(`${CLIENT}:C569`, '01', '00000003'),
        // A window that is shut is asked after, and the peer answers: timer 4.
        row(`${CLIENT}:C56A`, '04', '00000009'),
        row(`${CLIENT}:C56B`, '00', '00000000'),
      ),
    ),
  ).toEqual([`9977 ${plainAddress('10.231.7.2')} 50536`]);
});

test('an address is the same however it is written', () => {
  const [mapped, long] = unanswered(
    table(row(`${MAPPED}:C568`, '01', '0000000F'), row(`${LONG}:C568`, '01', '00000010')),
  );
  expect(mapped).toBe(`9977 ${plainAddress('::ffff:10.231.7.2')} 50536`);
  expect(plainAddress('::ffff:10.231.7.2')).toBe(plainAddress('10.231.7.2'));
  expect(long).toBe(`9977 ${plainAddress('2001:db8::9%eth0')} 50536`);
});

test('a table that is empty, or something else, names nobody', () => {
  expect(unanswered('')).toEqual([]);
  expect(unanswered('nonsense\n1 2 3 4 5 01: FF')).toEqual([]);
});
