// Owns operations that read rows by index, and their gradient rules.

import { ShapeError } from '../../errors.ts';
import { dimAt, mulDims, showShape } from '../dims.ts';
import type { Dim, Shape } from '../dims.ts';
import type { Value } from '../graph.ts';
import { expand, reshape } from './broadcast.ts';

function requireIndex(what: string, index: Value): void {
  if (index.dtype !== 'i64')
    throw new ShapeError({ what: `${what}: index must be i64`, got: index.dtype });
}

/**
 * Rows of a table: table [V, D], index [...] with values in 0..V-1, result [..., D]. Rows may
 * repeat; their gradients add up, in order of the index, so the sum is reproducible.
 */
export function gatherRows(table: Value, index: Value): Value {
  requireIndex('gatherRows', index);
  if (table.rank !== 2)
    throw new ShapeError({ what: 'gatherRows needs a [V, D] table', got: showShape(table.shape) });
  const width = dimAt(table.shape, 1);
  return table.graph.add({
    name: 'Gather',
    inputs: [table, index],
    dtype: table.dtype,
    shape: [...index.shape, width],
    // Of a table in a storage type only the rows that are read get widened.
    readsStorage: true,
    emit: (e, [from = '', at = '']) => {
      const rows = e.node('Gather', [from, at], { attributes: { axis: { int: 0 } } });
      return e.storageTypes.has(from) ? e.cast(rows, table.dtype) : rows;
    },
    gradient: (g) => {
      const flat = mulDims(...index.shape);
      return [scatterAddRows(reshape(g, [flat, width]), reshape(index, [flat]), table.shape), null];
    },
  });
}

/** The transpose of `gatherRows`: rows [N, D] added into zeros [V, D] at index [N]. */
export function scatterAddRows(rows: Value, index: Value, shape: Shape): Value {
  requireIndex('scatterAddRows', index);
  const spread = expand(reshape(index, [...index.shape, 1]), rows.shape);
  return rows.graph.add({
    name: 'scatterAddRows',
    inputs: [rows, spread],
    dtype: rows.dtype,
    shape,
    emit: (e, [data = '', where = '']) => {
      // ScatterElements walks its index serially (ScatterND adds in parallel, hence not reproducibly).
      const zeros = e.node('Expand', [e.floatScalar(rows.graph.float, 0), e.shape(shape)]);
      return e.node('ScatterElements', [zeros, where, data], {
        attributes: { axis: { int: 0 }, reduction: { text: 'add' } },
      });
    },
    gradient: (g) => [gatherRows(g, index), null],
  });
}

/**
 * Moves rows to new places: rows [N, D], to [...] with values in 0..N (N means: a zero row),
 * result [..., D]. Every row is read at most once, and `back` [N] says where each went (flat
 * place in the result, or its size for nowhere), so that the gradient is the same operation the
 * other way round instead of a scatter. Example: N = 2, to = [1, 2, 0] gives [row1, 0, row0];
 * back = [2, 0].
 */
export function moveRows(rows: Value, to: Value, back: Value): Value {
  requireIndex('moveRows', to);
  requireIndex('moveRows', back);
  const width = dimAt(rows.shape, -1);
  const flat = mulDims(...to.shape);
  return rows.graph.add({
    name: 'moveRows',
    inputs: [rows, to, back],
    dtype: rows.dtype,
    shape: [...to.shape, width],
    emit: (e, [data = '', index = '']) => {
      const zero = e.node('Expand', [e.floatScalar(rows.graph.float, 0), e.shape([1, width])]);
      const padded = e.node('Concat', [data, zero], { attributes: { axis: { int: 0 } } });
      return e.node('Gather', [padded, index], { attributes: { axis: { int: 0 } } });
    },
    gradient: (g) => [moveRows(reshape(g, [flat, width]), back, reshape(to, [flat])), null, null],
  });
}

/** One element of the last axis per row: x [..., V], index [...], result [...]. */
export function pickLast(x: Value, index: Value): Value {
  requireIndex('pickLast', index);
  const column: Dim[] = [...index.shape, 1];
  const picked = x.graph.add({
    name: 'GatherElements',
    inputs: [x, reshape(index, column)],
    dtype: x.dtype,
    shape: column,
    emit: (e, names) =>
      e.node('GatherElements', names, { attributes: { axis: { int: x.rank - 1 } } }),
    gradient: (g) => [placeLast(g, reshape(index, column), x.shape), null],
  });
  return reshape(picked, index.shape);
}

/** The transpose of `pickLast`: one value a row put into zeros. */
function placeLast(x: Value, index: Value, shape: Shape): Value {
  return x.graph.add({
    name: 'placeLast',
    inputs: [x, index],
    dtype: x.dtype,
    shape,
    emit: (e, [data = '', where = '']) => {
      const zeros = e.node('Expand', [e.floatScalar(x.graph.float, 0), e.shape(shape)]);
      return e.node('ScatterElements', [zeros, where, data], {
        attributes: { axis: { int: shape.length - 1 } },
      });
    },
    gradient: (g) => [
      reshape(pickLast(g, reshape(index, index.shape.slice(0, -1))), x.shape),
      null,
    ],
  });
}
