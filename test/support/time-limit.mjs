/** The limit of the test's kind, from jest.config.mjs. */
import.meta.jest.setTimeout(globalThis.TEST_LIMIT_MS);
