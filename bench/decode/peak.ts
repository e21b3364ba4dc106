// Owns the peak memory of this process, mapped files included; the sides of bench/decode.ts call it.
import { readFileSync } from 'node:fs';

/** Largest resident size so far in bytes; Linux keeps it for the program alone, parents left out. */
export function peakBytes(): number {
  try {
    const found = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'));
    if (found) return Number(found[1]) * 1024;
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}
