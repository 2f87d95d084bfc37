/** What authorization is asked about: a resource and what is to be done with it, as the SDK's Auth names them. */

export const AUTH_EVENTS = [
  'assistants:create',
  'assistants:read',
  'assistants:update',
  'assistants:delete',
  'assistants:search',
  'threads:create',
  'threads:read',
  'threads:update',
  'threads:delete',
  'threads:search',
  'threads:create_run',
  'crons:create',
  'crons:update',
  'crons:delete',
  'crons:search',
  'store:put',
  'store:get',
  'store:search',
  'store:delete',
  'store:list_namespaces',
] as const;
export type AuthEvent = (typeof AUTH_EVENTS)[number];

/** @returns resource and action */
export function partsOf(event: AuthEvent): { resource: string; action: string } {
  const [resource = '', action = ''] = event.split(':');
  return { resource, action };
}

/** The handler that decides: the most particular one, and only that. */
export function handlerFor<T>(
  handlers: Readonly<Record<string, T | undefined>>,
  event: AuthEvent,
): T | undefined {
  const { resource, action } = partsOf(event);
  for (const name of [event, resource, `*:${action}`, '*'])
    if (Object.hasOwn(handlers, name) && handlers[name] !== undefined) return handlers[name];
  return undefined;
}
