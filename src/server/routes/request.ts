/** Reading requests. A part that does not fit its schema throws a ZodError, which names the field. */
import type { Request } from 'express';
import type { z } from 'zod';

/** A body that is missing counts as empty. */
export const bodyOf = <T extends z.ZodType>(schema: T, request: Request): z.output<T> =>
  schema.parse((request.body as unknown) ?? {});

export const queryOf = <T extends z.ZodType>(schema: T, request: Request): z.output<T> =>
  schema.parse(request.query);

export const pathOf = <T extends z.ZodType>(schema: T, request: Request): z.output<T> =>
  schema.parse(request.params);
