// Owns the only clock of gapvl; commands hand it to whatever measures or dates something.

/** Time as an argument, so that tests can turn it themselves. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes backwards. */
  readonly now: () => number;
  /** The calendar time in UTC as ISO 8601 to the second, for provenance. */
  readonly date: () => string;
}

/** The clock of this machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
};
