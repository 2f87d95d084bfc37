/**
 * One WebSocket: commands in, answers and events out.
 *
 * All subscriptions of a connection share one reader and one order of events, because an event does
 * not say to which subscription it belongs: clients give it to all that match. A new subscription sends the
 * reader back to the beginning; what the others have they do not get again, and the live events wait until
 * the new one has caught up. So each event goes out once, and each subscription sees them in order.
 *
 * Clients ask for the ends of runs in one command and for all else in the next, and take nothing more of a run whose end
 * they were told. So nothing is read while an answer to a subscription is due, and who has asked for ends alone
 * is told of none at once: the next command may be on its way.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import type { Access } from '../../auth/gate.ts';
import { AuthFailedError, AuthRefusedError } from '../../auth/refusal.ts';
import { createDeferred } from '../../lib/deferred.ts';
import { AppError } from '../../errors.ts';
import type { LogBatch, LogEvent } from '../../events/event.ts';
import { openReader } from '../../events/reader.ts';
import type { Reader, ReaderSink } from '../../events/reader.ts';
import { newId } from '../../ids.ts';
import type { ProtocolEventType } from '../../protocol/event.ts';
import { isRootEnd } from '../../protocol/lifecycle.ts';
import { isForeignThread } from '../../threads/thread.ts';
import { heldSink } from '../auth/held-sink.ts';
import type { RouteContext } from '../context.ts';
import { BUFFER_BYTES_MAX } from '../sse.ts';
import { CommandRefusedError, errorAnswer } from './answer.ts';
import type { Answer } from './answer.ts';
import { answerCommand } from './commands.ts';
import type { Handler } from './commands.ts';
import { envelopeOf, protocolTypeOf, rewindEnvelope } from './envelope.ts';
import { countEvents } from './history.ts';
import { CommandBody, SubscribeParams, UnsubscribeParams } from './schemas.ts';
import { createSubscriptions } from './subscriptions.ts';

const SUBSCRIPTIONS_MAX = 1_000;
/** Commands whose answers are due. */
const COMMANDS_MAX = 100;
const HEARTBEAT_MS = 5_000;
/** A client that has taken nothing of what waits for it, or answered no ping, for this long is let go. */
const STALL_MS = 60_000;
/** After a subscription; longer than a busy client or a bad network takes between two commands that it sends together. */
const END_GRACE_MS = 500;
/** Close codes: the server goes away; a thread that is another's; a client that asks too much. */
const GOING_AWAY = 1001;
const POLICY_VIOLATION = 1008;
const TRY_AGAIN_LATER = 1013;
/** Time for the closing handshake. */
const CLOSE_MS = 1_000;

/** @param access of who opened it; each command asks anew */
export function openConnection(
  context: RouteContext,
  access: Access,
  ws: WebSocket,
  socket: Socket,
  threadId: string,
): void {
  const subscriptions = createSubscriptions();
  let reader: Reader | undefined;
  /** Of the reader: what an earlier one still has in hand is dropped. */
  let reading = 0;
  let commands = 0;
  /** Settles when the runs that were asked for so far are made, or refused. */
  let made: Promise<void> = Promise.resolve();
  /** Of these, subscriptions. */
  let subscribing = 0;
  /** Of the latest, by performance.now. */
  let begunAt = 0;
  let heardAt = Date.now();
  let taken = 0;
  let closed = false;

  context.metrics.sseClients.inc();
  const forget = context.open.add(() => {
    close(GOING_AWAY, 'the server stops');
  });
  const timer = setInterval(beat, HEARTBEAT_MS);
  ws.on('pong', heard);
  ws.on('message', (data, isBinary) => {
    heard();
    void receive(data, isBinary);
  });
  ws.on('error', () => {
    ws.terminate();
  });
  ws.once('close', () => {
    closed = true;
    clearInterval(timer);
    reader?.close();
    forget();
    context.metrics.sseClients.dec();
  });

  function heard(): void {
    heardAt = Date.now();
  }

  function beat(): void {
    if (socket.writableLength === 0) ws.ping();
    // A client that reads slowly answers late: what it has taken counts, too.
    const progress = socket.bytesWritten - socket.writableLength;
    if (progress !== taken) heard();
    taken = progress;
    if (Date.now() - heardAt >= STALL_MS) ws.terminate();
  }

  function close(code: number, reason: string): void {
    ws.close(code, reason);
    setTimeout(() => {
      ws.terminate();
    }, CLOSE_MS).unref();
  }

  function send(text: string): void {
    if (!closed) ws.send(text);
  }

  function answer(message: Answer): void {
    send(JSON.stringify(message));
    if (socket.writableLength <= BUFFER_BYTES_MAX || ws.isPaused || closed) return;
    // Who takes no answers is not asked what else it wants.
    ws.pause();
    void drained().then(() => {
      ws.resume();
    });
  }

  async function receive(data: RawData, isBinary: boolean): Promise<void> {
    let parsed: unknown;
    try {
      // ws hands over one Buffer: binaryType is its default.
      parsed = isBinary ? undefined : JSON.parse((data as Buffer).toString());
    } catch {
      parsed = undefined;
    }
    const command = CommandBody.safeParse(parsed);
    if (!command.success) {
      answer(
        errorAnswer(
          null,
          'invalid_argument',
          'A command is a JSON object with a non-negative integer id and a string method.',
        ),
      );
      return;
    }
    if (commands >= COMMANDS_MAX) {
      close(TRY_AGAIN_LATER, 'too many commands at once');
      return;
    }
    const { id, method, params } = command.data;
    const subscribes = method === 'subscription.subscribe';
    commands++;
    if (subscribes) {
      subscribing++;
      stopReading();
    }
    const before = made;
    const done = createDeferred();
    // Runs are made in the order in which they are asked for. An answer to a question may have to wait for the question,
    // so it waits for the runs before it, and no run waits for it.
    if (method === 'run.start') made = done.promise;
    try {
      if (method === 'run.start' || method === 'input.respond') await before;
      const message = await answerCommand(
        context,
        access,
        threadId,
        { id, method, params },
        handlers,
      );
      answer(message);
      if (subscribes && message.type === 'success' && 'subscription_id' in message.result) {
        subscriptions.begin(String(message.result.subscription_id));
        begunAt = performance.now();
      }
    } catch (error) {
      answer(failure(id, error));
    } finally {
      done.resolve();
      commands--;
      if (subscribes) {
        subscribing--;
        goOn();
      }
    }
  }

  function failure(id: number, error: unknown): Answer {
    if (error instanceof AuthRefusedError)
      return errorAnswer(id, 'permission_denied', error.message);
    if (error instanceof AppError && !(error instanceof AuthFailedError) && !error.retryable)
      return errorAnswer(id, 'invalid_argument', error.message);
    context.log.error('command failed', { thread_id: threadId, error });
    return errorAnswer(id, 'unknown_error', 'The command failed, try again');
  }

  const handlers: Readonly<Record<string, Handler>> = {
    'subscription.subscribe': async (_thread, params) => {
      const filter = SubscribeParams.parse(params);
      if (subscriptions.size >= SUBSCRIPTIONS_MAX)
        throw new CommandRefusedError(
          'invalid_argument',
          `expected at most ${SUBSCRIPTIONS_MAX} subscriptions of one connection`,
        );
      const replayed = await context.guard.watch(countEvents(context.reader, threadId, filter));
      const id = newId();
      // It begins when its answer is out (begin): clients know no subscription before that.
      subscriptions.add(id, filter);
      return { subscription_id: id, replayed_events: replayed };
    },
    'subscription.unsubscribe': (_thread, params) => {
      const { subscription_id: id } = UnsubscribeParams.parse(params);
      if (!subscriptions.remove(id))
        return Promise.reject(
          new CommandRefusedError('no_such_subscription', `There is no subscription ${id}.`),
        );
      if (subscriptions.size === 0) stopReading();
      return Promise.resolve({});
    },
  };

  function stopReading(): void {
    reading++;
    reader?.close();
    reader = undefined;
  }

  function goOn(): void {
    if (closed || subscribing > 0 || subscriptions.size === 0) return;
    read(reading);
  }

  function read(current: number): void {
    const isOld = (): boolean => closed || current !== reading;
    const sink: ReaderSink = {
      write(batch) {
        if (isOld()) return undefined;
        const suffix = context.suffixes.known(batch);
        if (suffix !== undefined && subscriptions.lost(batch) === undefined)
          return put(batch, 0, suffix, isOld);
        return lookUp(batch, isOld);
      },
      rewind: (to) => (isOld() ? undefined : announce(to, isOld).catch(onFailure)),
      end() {
        // The thread was deleted.
        if (!isOld()) close(GOING_AWAY, 'the thread is gone');
      },
    };
    reader = openReader(
      context.reader,
      { threadId, runId: null, after: subscriptions.lowest(), waitForThread: true },
      // A thread that came later may be another's.
      access.user === undefined ? sink : heldSink(sink, maySee, shut),
    );
  }

  async function maySee(): Promise<boolean> {
    const { visible } = await access.ask('threads:read', { thread_id: threadId });
    return !(await isForeignThread(context.pool, threadId, visible));
  }

  function shut(error?: unknown): void {
    if (error !== undefined) context.reader.onTrouble(`look at thread ${threadId}`, error);
    close(POLICY_VIOLATION, 'not found');
  }

  function onFailure(error: unknown): void {
    context.reader.onTrouble(`send events of thread ${threadId}`, error);
    // It comes back, and gets everything again.
    ws.terminate();
  }

  async function lookUp(batch: LogBatch, isOld: () => boolean): Promise<void> {
    try {
      const lost = subscriptions.lost(batch);
      if (lost !== undefined) {
        context.reader.onRewind(threadId, lost);
        await announce(lost, isOld);
      }
      const suffix = await context.suffixes.find(threadId, batch.term);
      await put(batch, 0, suffix, isOld);
    } catch (error) {
      onFailure(error);
    }
  }

  /** Where a subscription comes in between, the next reader finds the loss again: nothing is taken back before it is told. */
  async function announce(to: number, isOld: () => boolean): Promise<void> {
    const id = await context.suffixes.idAt(threadId, to);
    if (isOld()) return;
    subscriptions.rewind(to);
    send(rewindEnvelope(id));
  }

  /** How long the end of a run is to wait. */
  function tooSoonMs({ channel, namespace }: ProtocolEventType, { data }: LogEvent): number {
    if (channel !== 'lifecycle' || namespace.length > 0 || !subscriptions.endsOnly) return 0;
    const leftMs = begunAt + END_GRACE_MS - performance.now();
    return leftMs > 0 && isRootEnd(data) ? leftMs : 0;
  }

  /** @returns undefined when all of it is in the socket, else settles when it is */
  function put(
    batch: LogBatch,
    from: number,
    suffix: string,
    isOld: () => boolean,
  ): Promise<void> | undefined {
    for (let i = from; i < batch.events.length && !isOld(); i++) {
      const event = batch.events[i];
      if (event === undefined) break;
      const seq = batch.first + i;
      const type = protocolTypeOf(event);
      const tooSoon = type === undefined ? 0 : tooSoonMs(type, event);
      if (tooSoon > 0)
        return delay(tooSoon, undefined, { ref: false }).then(() => put(batch, i, suffix, isOld));
      if (subscriptions.pass(seq, batch.term, type) && type !== undefined) {
        const text = envelopeOf(event, type, seq, `${seq}${suffix}`);
        if (text !== undefined) send(text);
      }
      if (socket.writableLength > BUFFER_BYTES_MAX)
        return drained().then(() => put(batch, i + 1, suffix, isOld));
    }
    return undefined;
  }

  function drained(): Promise<void> {
    const empty = createDeferred();
    const settle = (): void => {
      socket.off('drain', settle);
      socket.off('close', settle);
      empty.resolve();
    };
    socket.once('drain', settle);
    socket.once('close', settle);
    return empty.promise;
  }
}
