/** The library's public surface: what a project imports from `millrace`. */
export { AppError, ERROR_CODES } from './errors.ts';
export type { ErrorCode } from './errors.ts';
export { readConfig } from './config.ts';
export type { Config } from './config.ts';
