// Owns charts of made-up numbers as the parts of an audit draw them; audit-data.ts shows them.
import type { TopLevelSpec } from 'vega-lite';

type Row = Readonly<Record<string, string | number>>;

/** A text that would do harm in a page, a terminal, a sheet and a paper, each in its way. */
export const HOSTILE = `"><script>alert(1)</script></script><!--<img src=x onerror='alert(2)'>\u202e\u001b[31m&\`=cmd()\\input{x}%$#_^~{}`;

const PERCENT = { format: '.0%', tickCount: 5 } as const;

/** Accuracies by arm with intervals: points and rules on a band a name. */
export function forest(rows: readonly Row[]): TopLevelSpec {
  return {
    data: { values: [...rows] },
    encoding: {
      y: { field: 'arm', type: 'nominal', sort: null, title: null },
    },
    layer: [
      {
        mark: 'rule',
        encoding: {
          x: { field: 'low', type: 'quantitative', title: 'accuracy', axis: PERCENT },
          x2: { field: 'high' },
        },
      },
      {
        mark: { type: 'point', filled: true },
        encoding: { x: { field: 'accuracy', type: 'quantitative' } },
      },
    ],
  };
}

/** Several lines over numbers, each with a band. */
export function lines(
  rows: readonly Row[],
  titles: { readonly x: string; readonly y: string },
  percent = false,
): TopLevelSpec {
  return {
    data: { values: [...rows] },
    encoding: {
      x: { field: 'x', type: 'quantitative', title: titles.x },
      color: { field: 'series', type: 'nominal', title: 'what' },
    },
    layer: [
      {
        mark: 'area',
        encoding: { y: { field: 'low', type: 'quantitative' }, y2: { field: 'high' } },
      },
      {
        mark: 'line',
        encoding: {
          y: {
            field: 'value',
            type: 'quantitative',
            title: titles.y,
            ...(percent ? { axis: PERCENT } : {}),
          },
        },
      },
    ],
  };
}

/** Bars side by side, a group a place. */
export function groupedBars(rows: readonly Row[]): TopLevelSpec {
  return {
    data: { values: [...rows] },
    mark: 'bar',
    encoding: {
      x: { field: 'place', type: 'nominal', sort: null, title: null, axis: { labelAngle: 0 } },
      xOffset: { field: 'kind', sort: null },
      y: { field: 'accuracy', type: 'quantitative', title: 'accuracy', axis: PERCENT },
      color: { field: 'kind', type: 'nominal', sort: null, title: 'labels' },
    },
  };
}

/** Plain bars over ranks, a chart a kind. */
export function facetedBars(rows: readonly Row[]): TopLevelSpec {
  return {
    data: { values: [...rows] },
    facet: { field: 'kind', type: 'nominal', title: null },
    spec: {
      mark: 'bar',
      encoding: {
        x: { field: 'rank', type: 'ordinal', title: 'rank', axis: { labelAngle: 0 } },
        y: { field: 'count', type: 'quantitative', title: 'examples' },
      },
    },
  };
}

/** Numbers as colours of cells. */
export function cells(rows: readonly Row[]): TopLevelSpec {
  return {
    data: { values: [...rows] },
    mark: 'rect',
    encoding: {
      x: { field: 'latent', type: 'ordinal', title: 'latent', axis: { labelAngle: 0 } },
      y: { field: 'layer', type: 'ordinal', title: 'layer' },
      color: { field: 'attention', type: 'quantitative', title: 'attention' },
    },
  };
}

/** Two charts side by side over the same numbers. */
export function pair(rows: readonly Row[]): TopLevelSpec {
  const x = { field: 'forced', type: 'quantitative', title: 'latents forced' } as const;
  return {
    data: { values: [...rows] },
    hconcat: [
      {
        mark: 'line',
        encoding: {
          x,
          y: { field: 'error', type: 'quantitative', title: 'error of the free ones' },
        },
      },
      {
        mark: 'line',
        encoding: {
          x,
          y: { field: 'accuracy', type: 'quantitative', title: 'accuracy', axis: PERCENT },
        },
      },
    ],
  };
}
