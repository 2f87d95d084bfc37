/**
 * The demo's second scene: a student asks a teacher. Two nodes of a workflow, their words in the run's stream, and
 * beside them what goes over Redis. The models are scripted: no key, no network.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createParser } from 'eventsource-parser';
import { Redis } from 'ioredis';
import { ROOT } from './prepare.mjs';

const DOCUMENT = join(ROOT, 'examples/workflows/04_pubsub_collaborative_qa.json');
const LINE_LENGTH_MAX = 88;

/** @throws when the execution does not end as it should */
export async function talk({ url, post, redisUrl, say, paint }) {
  const wire = redisUrl === undefined ? undefined : await listen(redisUrl, paint);
  try {
    const workflow = await post('/workflows', JSON.parse(readFileSync(DOCUMENT, 'utf8')));
    const begun = await post(`/workflows/${workflow.workflow_id}/execute`, {
      inputs: {},
      async_execution: true,
    });
    say(`second scene: "${workflow.name}", execution ${begun.execution_id}`);
    await follow(`${url}/threads/${begun.thread_id}/runs/${begun.execution_id}/stream`, paint);
    const response = await fetch(`${url}/workflows/executions/${begun.execution_id}`);
    const execution = await response.json();
    const { used, warning } = execution.communication ?? {};
    console.log(`\n  ${'execution'.padEnd(28)}${execution.status}, communication mode ${used}`);
    if (warning) console.log(`  ${paint(33, warning)}`);
    console.log(`  ${'messages in the log'.padEnd(28)}${execution.communication_log.length}`);
    if (wire) console.log(`  ${'messages on the wire'.padEnd(28)}${wire.heard.length}`);
    if (execution.status !== 'success')
      throw new Error(`the execution ended as ${execution.status}: ${execution.error?.message}`);
    if (wire && used === 'pubsub' && wire.heard.length < 3)
      throw new Error(`3 messages expected on the wire, heard ${wire.heard.length}`);
  } finally {
    wire?.close();
  }
}

/** Prints what the nodes say, as it comes. */
async function follow(url, paint) {
  let speaker;
  const parser = createParser({
    onEvent({ event, data }) {
      const value = JSON.parse(data);
      if (event === 'messages') {
        const [{ name, content }] = value;
        if (name !== speaker) process.stdout.write(`\n  ${paint('1', name.padEnd(12))} `);
        speaker = name;
        process.stdout.write(content);
      } else if (event === 'custom' && value.type === 'agent_message') {
        const { message } = value;
        const { question, response, message: told } = message.content;
        speaker = undefined;
        process.stdout.write(
          `\n  ${paint(36, `${nodeOf(message.from_agent)} → ${nodeOf(message.to_agent)}:`)} ${question ?? response ?? told}`,
        );
      }
    },
  });
  const response = await fetch(url);
  if (!response.ok) throw new Error(`GET ${url}: ${response.status} ${await response.text()}`);
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) parser.feed(chunk);
  process.stdout.write('\n');
}

const nodeOf = (agent) => /^node-[0-9a-f-]{36}-(.+)$/.exec(agent)?.[1] ?? agent;

/** Hears every channel of the bus, as `redis-cli psubscribe 'agent:messages:*'` would. */
async function listen(redisUrl, paint) {
  const redis = new Redis(redisUrl, { enableReadyCheck: false });
  redis.on('error', () => undefined);
  const heard = [];
  redis.on('pmessage', (_pattern, channel, text) => {
    const { type, id } = JSON.parse(text);
    heard.push(id);
    const line = `${type} ${channel}`;
    process.stdout.write(`\n  ${paint(2, `redis  ${line.slice(0, LINE_LENGTH_MAX)}`)}`);
  });
  await redis.psubscribe('agent:messages:*');
  return { heard, close: () => redis.disconnect() };
}
