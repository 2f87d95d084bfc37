/** Both who encodes an event's data (graphs/) and who stores the event (events/) may find it unfit. */
import { AppError } from '../errors.ts';

/** The event cannot be stored: not serialisable, too large, or a name that no stream can carry. */
export class EventInvalidError extends AppError {
  readonly code = 'event_invalid';
}
