/** A route of the project's own, which tells who asks. */
import { Hono } from 'hono';

export const app = new Hono<{ Variables: { auth?: { user: { identity: string } } } }>().get(
  '/whoami',
  (context) => context.json({ identity: context.get('auth')?.user.identity ?? null }),
);
