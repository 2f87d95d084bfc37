/**
 * Holds back what a reader of a whole thread has to say until the thread has turned out to be one that the caller may
 * see. A stream may be opened on a thread that is not there yet, and whose it will be nobody knows before.
 */
import type { ReaderSink } from '../../events/reader.ts';

/**
 * @param maySee asked once, when there is something to say
 * @param shut ends the stream: the caller may not see it, or it could not be found out (with the reason)
 */
export function heldSink(
  sink: ReaderSink,
  maySee: () => Promise<boolean>,
  shut: (error?: unknown) => void,
): ReaderSink {
  let allowed: boolean | undefined;
  let asking: Promise<void> | undefined;

  function ask(): Promise<void> {
    return (asking ??= maySee().then(
      (answer) => {
        allowed = answer;
        if (!answer) shut();
      },
      (error: unknown) => {
        allowed = false;
        shut(error);
      },
    ));
  }

  return {
    write(batch, runFirst) {
      if (allowed === true) return sink.write(batch, runFirst);
      return ask().then(() => (allowed === true ? sink.write(batch, runFirst) : undefined));
    },
    rewind(to, runFirst) {
      if (allowed === true) return sink.rewind(to, runFirst);
      return ask().then(() => (allowed === true ? sink.rewind(to, runFirst) : undefined));
    },
    end(status) {
      if (asking === undefined || allowed === true) sink.end(status);
      else
        void asking.then(() => {
          if (allowed === true) sink.end(status);
        });
    },
  };
}
