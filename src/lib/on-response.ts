/** One request's answer, or why there is none. */
import type { ClientRequest, IncomingMessage } from 'node:http';

/**
 * One of the two is called, whatever comes: after a 101 Node tells of no answer and no error, only that the request is closed.
 * @param fail may follow `take`, when the connection breaks
 */
export function onResponse(
  request: ClientRequest,
  take: (response: IncomingMessage) => void,
  fail: (error: Error) => void,
): void {
  request.once('error', fail);
  const unanswered = (): void => {
    fail(new Error('the connection ended without an answer'));
  };
  request.once('close', unanswered);
  request.once('response', (response) => {
    request.off('close', unanswered);
    take(response);
  });
}
