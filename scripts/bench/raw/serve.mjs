/** The frame of a raw process: says hello to the bench, answers its messages, and ends with it. */
export function serve(hello, handlers) {
  process.on('message', async ({ id, kind, ...options }) => {
    try {
      process.send({ id, result: (await handlers[kind](options)) ?? null });
    } catch (error) {
      process.send({ id, error: error.stack ?? String(error) });
    }
  });
  process.on('disconnect', () => process.exit());
  process.on('SIGTERM', () => process.exit());
  process.send({ hello });
}
