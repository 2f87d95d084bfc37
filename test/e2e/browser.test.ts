/**
 * The official React hooks in a real browser (TEST_CHROMIUM may name one), against two servers and two workers behind a load balancer of
 * another origin than the page's: browser/page.jsx is the application. Skipped, and said so, without a browser.
 */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@langchain/langgraph-sdk';
import type { Browser, Page } from 'playwright-core';
import { findBrowser } from '../support/browser.ts';
import type { LaunchBrowser } from '../support/browser.ts';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { UnavailableError } from '../support/download.ts';
import { startPageServer } from '../support/page-server.ts';
import type { PageServer } from '../support/page-server.ts';
import { createTempFolder, removeTempFolder } from '../support/reaper.ts';
import { startRoundRobin } from '../support/round-robin.ts';
import type { RoundRobin, Seen } from '../support/round-robin.ts';
import { waitUntil } from '../support/wait-until.ts';

const GRAPHS = fileURLToPath(new URL('./graphs/langgraph.json', import.meta.url));
const PAGE = fileURLToPath(new URL('./browser/page.jsx', import.meta.url));
const TIMEOUT_MS = 30_000;

let launch: LaunchBrowser | undefined;
try {
  launch = await findBrowser();
} catch (error) {
  if (!(error instanceof UnavailableError)) throw error;
  process.stderr.write(`test/e2e/browser.test.ts is skipped: ${error.message}\n`);
}

(launch === undefined ? describe.skip : describe)('useStream in a browser', () => {
  let cluster: Cluster;
  let balancer: RoundRobin;
  let pages: PageServer;
  let browser: Browser;
  let client: Client;
  let folder: string;
  beforeAll(async () => {
    if (launch === undefined) throw new Error('unreachable: the tests are skipped');
    [cluster, pages, browser] = await Promise.all([
      startCluster({ servers: 2, workers: 2, env: { ...PATIENT, LANGGRAPH_CONFIG_PATH: GRAPHS } }),
      startPageServer(PAGE),
      launch(),
    ]);
    balancer = await startRoundRobin(cluster.servers.map(({ url }) => url));
    folder = createTempFolder('held');
    client = new Client({ apiUrl: balancer.url, apiKey: null });
  }, 120_000);
  afterAll(async () => {
    await browser.close();
    await Promise.all([pages.close(), balancer.close()]);
    await cluster.stop();
    removeTempFolder(folder);
  }, 120_000);

  let page: Page;
  let trouble: string[];
  const open = async (hook: string): Promise<void> => {
    trouble = [];
    page = await browser.newPage({ viewport: { width: 760, height: 720 } });
    page.setDefaultTimeout(TIMEOUT_MS);
    page.on('pageerror', (error) => trouble.push(String(error)));
    await page.goto(`${pages.url}/?hook=${hook}&api=${encodeURIComponent(balancer.url)}`);
  };
  afterEach(async () => {
    await page.close();
  });

  const type = (text: string): Promise<void> => page.fill('#text', text);
  const send = async (text: string): Promise<void> => {
    await type(text);
    await page.click('#send');
  };
  const texts = (): Promise<string[]> => page.locator('.message .text').allTextContents();
  const shows = (expected: (texts: string[]) => boolean, what: string): Promise<unknown> =>
    waitUntil(
      async () => {
        const idle = (await page.getAttribute('main', 'data-loading')) === 'false';
        const now = await texts();
        if (idle && expected(now)) return true;
        throw new Error(`${idle ? 'idle' : 'running'}: ${JSON.stringify([now, trouble])}`);
      },
      { timeoutMs: TIMEOUT_MS, what },
    );
  const showsAll = (...all: string[]): Promise<unknown> =>
    shows((now) => JSON.stringify(now) === JSON.stringify(all), JSON.stringify(all));
  /** The answer has begun and is not whole. */
  const isInMidStream = (): Promise<unknown> =>
    waitUntil(
      async () => {
        const last = (await texts()).at(-1) ?? '';
        return last.startsWith('Answer') && !last.endsWith('>.');
      },
      { timeoutMs: TIMEOUT_MS, what: 'half an answer' },
    );
  /** A message that is answered up to its middle, until it is released (graphs/chat.ts). */
  const held = (): { text: string; release(): void } => {
    const file = join(folder, randomUUID());
    const release = (): void => {
      writeFileSync(file, '');
    };
    return { text: `held ${file}`, release };
  };
  const isStream = ({ path }: Seen): boolean => /\/stream(\/events)?(\?|$)/.test(path);
  const threadId = (): string => new URL(page.url()).searchParams.get('thread') ?? '';
  const runStatuses = async (): Promise<string[]> =>
    (await client.runs.list(threadId())).map(({ status }) => status);

  describe.each([{ hook: 'v1' }, { hook: 'sse' }, { hook: 'websocket' }])('$hook', ({ hook }) => {
    test('send, token by token; a reload and a broken connection in mid-stream; again after a reload', async () => {
      await open(hook);
      await send('hello');
      const first = ['hello', 'Answer 1 to <hello>.'];
      await showsAll(...first);
      // onCreated and onFinish or onCompleted were called.
      const [run] = await client.runs.list(threadId());
      expect(await page.getAttribute('main', 'data-created')).toBe(run?.run_id);
      // A callback of its own, after what is shown.
      await waitUntil(
        async () => (await page.textContent('#status'))?.includes('idle, finished 1'),
        { timeoutMs: TIMEOUT_MS, what: 'the page to be told that the run has finished' },
      );

      const story = held();
      await send(story.text);
      await isInMidStream();
      await page.reload();
      await isInMidStream();
      expect((await runStatuses()).sort()).toEqual(['running', 'success']);
      story.release();
      const second = [story.text, `Answer 2 to <${story.text}>.`];
      await showsAll(...first, ...second);

      const another = held();
      await send(another.text);
      await isInMidStream();
      const { length } = balancer.seen;
      balancer.cut();
      await waitUntil(() => balancer.seen.slice(length).some(isStream), {
        timeoutMs: TIMEOUT_MS,
        what: 'the page to come back',
      });
      another.release();
      const third = [another.text, `Answer 3 to <${another.text}>.`];
      await showsAll(...first, ...second, ...third);

      await page.reload();
      await showsAll(...first, ...second, ...third);
      expect(await runStatuses()).toEqual(['success', 'success', 'success']);
      expect(await page.locator('#error').count()).toBe(0);
      expect(trouble).toEqual([]);
    });

    test('an interrupt is shown, also after a reload, and answered', async () => {
      await open(hook);
      await send('order tea');
      expect(await page.locator('#interrupt').textContent()).toContain('Shall I order tea?');
      await shows((now) => now.length === 1, 'the order alone');
      await page.reload();
      expect(await page.locator('#interrupt').textContent()).toContain('Shall I order tea?');
      await page.click('#approve');
      await showsAll('order tea', 'approved', 'Answer 2 to <approved>.');
      expect(await page.locator('#interrupt').count()).toBe(0);
      expect((await client.threads.get(threadId())).status).toBe('idle');
      expect(trouble).toEqual([]);
    });

    test('an edit goes on from the checkpoint before the message', async () => {
      await open(hook);
      await send('one');
      await showsAll('one', 'Answer 1 to <one>.');
      await send('two');
      await showsAll('one', 'Answer 1 to <one>.', 'two', 'Answer 2 to <two>.');
      await type('three');
      await page.locator('.edit').nth(1).click();
      await showsAll('one', 'Answer 1 to <one>.', 'three', 'Answer 2 to <three>.');
      await type('zero');
      await page.locator('.edit').nth(0).click();
      // The hook of v2 removes nothing for a state whose step is lower than one it has seen: until a reload, the
      // messages of the other branch stay below.
      await shows((now) => now[0] === 'zero' && now[1] === 'Answer 1 to <zero>.', 'the new branch');
      if (hook === 'v1') await showsAll('zero', 'Answer 1 to <zero>.');
      await page.reload();
      await showsAll('zero', 'Answer 1 to <zero>.');
      if (hook === 'v1') {
        // Agent Chat UI's way back to what was said before.
        await page.locator('.branch:enabled').first().click();
        await shows((now) => now[0] === 'one' && now.length === 4, 'the other branch');
      }
      // To be looked at by a human.
      const screenshot = process.env['TEST_SCREENSHOT'];
      if (screenshot !== undefined) await page.screenshot({ path: `${screenshot}-${hook}.png` });
      expect(trouble).toEqual([]);
    });
  });
});
