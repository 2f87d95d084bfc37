/** What the project's auth module throws, as errors of ours: nothing of it reaches a client but what it meant to say. */
import { AppError } from '../errors.ts';

/** The caller is refused, with the answer that the project's HTTPException asked for. */
export class AuthRefusedError extends AppError {
  readonly code = 'auth_refused';
  /** 400 to 599. */
  readonly status: number;
  readonly headers: Headers;

  constructor(status: number, message: string, headers = new Headers(), options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.headers = headers;
  }
}

/** The auth module has failed, or answered what is no answer: nobody gets in, and the reason stays in the log. */
export class AuthFailedError extends AppError {
  readonly code = 'auth_failed';
}

/** The auth module cannot be used: nothing is served. */
export class AuthInvalidError extends AppError {
  readonly code = 'config_invalid';
}

/** Headers that belong to how an answer is sent. */
const OF_THE_TRANSPORT = ['connection', 'content-length', 'content-type', 'transfer-encoding'];

/** Known by shape: the project throws the HTTPException of its own copy of the SDK. */
interface HttpException extends Error {
  status: number;
  headers: ConstructorParameters<typeof Headers>[0];
}
const isHttpException = (error: unknown): error is HttpException =>
  error instanceof Error &&
  'status' in error &&
  Number.isInteger(error.status) &&
  'headers' in error &&
  typeof error.headers === 'object';

/** @param what was asked, for the log */
export function refusalOf(cause: unknown, what: string): AuthRefusedError | AuthFailedError {
  if (cause instanceof AuthRefusedError || cause instanceof AuthFailedError) return cause;
  if (isHttpException(cause) && cause.status >= 400 && cause.status <= 599)
    try {
      const headers = new Headers(cause.headers);
      for (const name of OF_THE_TRANSPORT) headers.delete(name);
      return new AuthRefusedError(cause.status, cause.message, headers, { cause });
    } catch {
      // Headers that are none: a failure like any other.
    }
  return new AuthFailedError(`${what}: the auth module of the project failed`, { cause });
}

export const forbidden = (): AuthRefusedError => new AuthRefusedError(403, 'Forbidden');
