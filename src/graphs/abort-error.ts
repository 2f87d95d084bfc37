/** What an execution rejects with when its signal was aborted. The cause is the signal's reason. */
export function abortError(signal: AbortSignal): Error {
  const error = new Error('the run was aborted', { cause: signal.reason });
  error.name = 'AbortError';
  return error;
}
