// Owns progress on stderr: a redrawn bar on a terminal, plain lines in a log; commands make one a stage.
import type { Clock } from './clock.ts';

/** What a long stage tells about itself while it runs. */
export interface Progress {
  /** Reports `done` of `total` units; a total of 0 means it is not known. Cheap to call often. */
  update: (done: number, total: number, note?: string) => void;
  /** Ends the stage with one last line; a second call does nothing. */
  finish: (note?: string) => void;
}

/** `bar` redraws one line, `lines` writes a line now and then, `silent` writes nothing. */
export type ProgressMode = 'bar' | 'lines' | 'silent';

/** Where progress goes and how it looks. */
export interface ProgressOptions {
  readonly mode: ProgressMode;
  readonly clock: Clock;
  readonly write: (text: string) => void;
  /** Width of the terminal in characters; 80 unless told. */
  readonly columns?: number;
}

// ours: a bar redrawn ten times a second looks alive and costs nothing.
const REDRAW_MS = 100;
// ours: a log gets a line every ten seconds, few enough to read afterwards.
const LINE_MS = 10_000;
// ours: the rate forgets with a time constant of 15 s, so the time left follows a change soon.
const RATE_MEMORY_MS = 15_000;
const BAR_CELLS = 24;
const ERASE_LINE = '\r\u001b[2K';

/** Milliseconds as `0:07`, `12:05` or `1:02:09`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const tail = String(s).padStart(2, '0');
  return h > 0 ? `${h}:${String(m).padStart(2, '0')}:${tail}` : `${m}:${tail}`;
}

/** Units per second with about three digits: `0.42/s`, `27.5/s`, `1,250/s`. */
export function formatRate(perSecond: number): string {
  if (perSecond >= 100) return `${Math.round(perSecond).toLocaleString('en-US')}/s`;
  return `${perSecond.toFixed(perSecond >= 10 ? 1 : 2)}/s`;
}

function bar(fraction: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_CELLS);
  return '━'.repeat(filled) + '╌'.repeat(BAR_CELLS - filled);
}

/** Units per second, remembered with exponential forgetting; starts where a resumed stage starts. */
class RateMeter {
  private last: { readonly ms: number; readonly done: number } | undefined;
  private units = 0;
  private weightMs = 0;

  record(ms: number, done: number): void {
    if (this.last !== undefined) {
      const elapsed = ms - this.last.ms;
      if (elapsed <= 0) return;
      const kept = Math.exp(-elapsed / RATE_MEMORY_MS);
      this.units = this.units * kept + (done - this.last.done);
      this.weightMs = this.weightMs * kept + elapsed;
    }
    this.last = { ms, done };
  }

  perSecond(): number | undefined {
    return this.weightMs > 0 && this.units > 0 ? (1000 * this.units) / this.weightMs : undefined;
  }
}

function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}

class TerminalProgress implements Progress {
  private readonly label: string;
  private readonly options: ProgressOptions;
  private readonly meter = new RateMeter();
  private readonly startMs: number;
  private shownMs = -Infinity;
  private done = 0;
  private total = 0;
  private note = '';
  private finished = false;

  constructor(label: string, options: ProgressOptions) {
    this.label = printable(label);
    this.options = options;
    this.startMs = options.clock.now();
  }

  update(done: number, total: number, note?: string): void {
    if (this.finished) return;
    const now = this.options.clock.now();
    this.meter.record(now, done);
    this.done = done;
    this.total = total;
    if (note !== undefined) this.note = printable(note);
    const pauseMs = this.options.mode === 'bar' ? REDRAW_MS : LINE_MS;
    if (now - this.shownMs < pauseMs) return;
    this.shownMs = now;
    this.show(this.line(this.options.mode === 'bar'));
  }

  finish(note?: string): void {
    if (this.finished) return;
    this.finished = true;
    const took = `in ${formatDuration(this.options.clock.now() - this.startMs)}`;
    const last = note === undefined ? this.note : printable(note);
    const parts = [this.label, this.count(), took, last].filter((part) => part !== '');
    this.options.write(`${this.options.mode === 'bar' ? ERASE_LINE : ''}${parts.join('  ')}\n`);
  }

  private count(): string {
    const format = (value: number): string => value.toLocaleString('en-US');
    if (this.total > 0) return `${format(this.done)}/${format(this.total)}`;
    return this.done > 0 ? format(this.done) : '';
  }

  private line(withBar: boolean): string {
    const rate = this.meter.perSecond();
    const parts = [this.label];
    if (withBar && this.total > 0) parts.push(bar(this.done / this.total));
    parts.push(this.count());
    if (rate !== undefined) parts.push(formatRate(rate));
    if (rate !== undefined && this.total > 0) {
      parts.push(`${formatDuration((1000 * Math.max(0, this.total - this.done)) / rate)} left`);
    }
    parts.push(this.note);
    return parts.filter((part) => part !== '').join('  ');
  }

  private show(line: string): void {
    if (this.options.mode !== 'bar') {
      this.options.write(`${line}\n`);
      return;
    }
    // One character less than the terminal, so that no terminal wraps the line.
    const room = Math.max(10, (this.options.columns ?? 80) - 1);
    this.options.write(ERASE_LINE + Array.from(line).slice(0, room).join(''));
  }
}

/** Starts the progress of one stage; `label` names it in a word or two. */
export function createProgress(label: string, options: ProgressOptions): Progress {
  if (options.mode === 'silent') {
    return { update: () => undefined, finish: () => undefined };
  }
  return new TerminalProgress(label, options);
}
