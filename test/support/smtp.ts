/** A mail server that takes everything and keeps it. */
import { createServer } from 'node:net';

export interface Mailbox {
  readonly url: string;
  readonly mails: { from: string; to: string[]; text: string }[];
  stop(): Promise<void>;
}

export async function startSmtp(): Promise<Mailbox> {
  const mails: Mailbox['mails'] = [];
  const server = createServer((socket) => {
    let from = '';
    let to: string[] = [];
    let waiting = '';
    let reading = false;
    const say = (line: string): void => void socket.write(`${line}\r\n`);
    const onCommand = (line: string): void => {
      const address = /<(.*?)>/.exec(line)?.[1] ?? '';
      if (/^(EHLO|HELO|RSET|NOOP)/i.test(line)) say('250 ok');
      else if (/^MAIL FROM/i.test(line)) {
        from = address;
        to = [];
        say('250 ok');
      } else if (/^RCPT TO/i.test(line)) {
        to.push(address);
        say('250 ok');
      } else if (/^DATA/i.test(line)) {
        reading = true;
        say('354 go on');
      } else if (/^QUIT/i.test(line)) socket.end('221 bye\r\n');
      else say('502 unknown');
    };
    socket.on('data', (chunk) => {
      waiting += chunk.toString();
      for (;;) {
        const end = waiting.indexOf(reading ? '\r\n.\r\n' : '\r\n');
        if (end < 0) return;
        const part = waiting.slice(0, end);
        waiting = waiting.slice(end + (reading ? 5 : 2));
        if (reading) {
          reading = false;
          mails.push({ from, to, text: part });
          say('250 taken');
        } else onCommand(part);
      }
    });
    socket.on('error', () => undefined);
    say('220 test');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    url: `smtp://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    mails,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      }),
  };
}
