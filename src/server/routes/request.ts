/** Reading requests. A part that does not fit its schema throws a ZodError, which names the field. */
import type { Request } from 'express';
import type { z } from 'zod';
import { AppError } from '../../errors.ts';

export class BodyUnsupportedError extends AppError {
  readonly code = 'body_unsupported';
}

/**
 * A body that is missing counts as empty; one that is there in a format that nobody parses does not.
 * @throws {BodyUnsupportedError}
 */
export function bodyOf<T extends z.ZodType>(schema: T, request: Request): z.output<T> {
  const { body } = request as { body: unknown };
  if (body === undefined && hasBody(request))
    throw new BodyUnsupportedError(
      `Unsupported content-type ${JSON.stringify(request.headers['content-type'])}: expected application/json`,
    );
  return schema.parse(body ?? {});
}

const hasBody = ({ headers }: Request): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

export const queryOf = <T extends z.ZodType>(schema: T, request: Request): z.output<T> =>
  schema.parse(request.query);

export const pathOf = <T extends z.ZodType>(schema: T, request: Request): z.output<T> =>
  schema.parse(request.params);
