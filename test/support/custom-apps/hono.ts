/** A Hono app as a project brings it (langgraph.json, `http.app`). */
import { Hono } from 'hono';

export const app = new Hono();
app.use('*', async (c, next) => {
  c.header('x-seen-by', 'hono');
  await next();
});
app.use('/threads', async (c, next) => {
  if (c.req.method !== 'POST') {
    await next();
    return;
  }
  const body = await c.req.json<{ metadata?: { forbidden?: boolean } }>();
  if (body.metadata?.forbidden === true) return c.text('not this one', 403);
  return next();
});
app.use('/info', async (c, next) => {
  c.header('set-cookie', 'a=1');
  c.header('set-cookie', 'b=2', { append: true });
  await next();
});
app.get('/hello/:name', (c) => c.json({ hello: c.req.param('name'), query: c.req.query('q') }));
app.post('/echo', async (c) => c.text(await c.req.text(), 201));
app.get('/runs/afakeroute', (c) => c.text('mine'));
app.get('/cookies', (c) => {
  c.header('set-cookie', 'a=1');
  c.header('set-cookie', 'b=2', { append: true });
  return c.body(null, 204);
});
