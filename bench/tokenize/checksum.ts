// Owns two numbers that tell whether all ids of all rows are equal; both sides of bench/tokenize.ts make them.

const MODULUS = 1_000_003;

/** How many ids there are, and a sum in which every place counts. */
export function checksum(rows: readonly (readonly number[])[]): number[] {
  let count = 0;
  let sum = 0;
  for (const ids of rows) {
    for (const id of ids) {
      count++;
      sum = (sum * 31 + id) % MODULUS;
    }
  }
  return [count, sum];
}
