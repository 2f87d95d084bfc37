/** The public library API. */
