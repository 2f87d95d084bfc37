/** Namespaces of the store as clients send them. Their labels are joined by dots in URLs, so they have none. */
import { AppError } from '../errors.ts';
import { InputInvalidError } from './problem.ts';

const LABELS_MAX = 100;

export class LabelInvalidError extends AppError {
  readonly code = 'label_invalid';
}

/** @throws {InputInvalidError | LabelInvalidError} */
export function namespaceOf(labels: readonly string[] | null | undefined): readonly string[] {
  if (labels == null || labels.length === 0) throw new InputInvalidError('Namespace is required');
  return checked(labels);
}

/** A prefix or suffix: none, where `labels` is empty. @throws {LabelInvalidError} */
export const partOf = (labels: readonly string[] | null | undefined): readonly string[] =>
  checked(labels ?? []);

function checked(labels: readonly string[]): readonly string[] {
  if (labels.length > LABELS_MAX)
    throw new LabelInvalidError(
      `Invalid namespace: expected at most ${LABELS_MAX} labels, found ${labels.length}`,
    );
  for (const label of labels)
    if (label === '' || label.includes('.'))
      throw new LabelInvalidError(
        `Invalid namespace label ${JSON.stringify(label)}: expected text that is not empty and has no "."`,
      );
  return labels;
}
