/** Sends mail through the one server that the environment names: a document says to whom, never through what. */
import { createTransport } from 'nodemailer';
import { AppError } from '../errors.ts';

const TIMEOUT_MS = 30_000;

export class MailFailedError extends AppError {
  readonly code = 'node_failed';
}

export interface Mail {
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
}

export interface Mailer {
  /**
   * @returns the message's id
   * @throws {MailFailedError}
   */
  send(mail: Mail): Promise<string>;
}

/** @param options.url `smtp://user:password@host:587`; undefined: sending fails and says so */
export function createMailer(options: {
  url: string | undefined;
  from: string | undefined;
}): Mailer {
  return {
    async send({ to, subject, text }) {
      const { url, from } = options;
      if (url === undefined || from === undefined)
        throw new MailFailedError('no mail server: set SMTP_URL and SMTP_FROM');
      const transport = createTransport({
        url,
        connectionTimeout: TIMEOUT_MS,
        greetingTimeout: TIMEOUT_MS,
        socketTimeout: TIMEOUT_MS,
      });
      try {
        const sent = await transport.sendMail({
          from,
          to: [...to],
          subject,
          text,
          disableFileAccess: true,
          disableUrlAccess: true,
        });
        return sent.messageId;
      } catch (cause) {
        // No cause: it may tell of the account.
        throw new MailFailedError(
          `mail: ${cause instanceof Error ? cause.message : String(cause)}`,
        );
      } finally {
        transport.close();
      }
    },
  };
}
