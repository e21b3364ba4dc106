"""Draws small tables that go wrong in every way we know and writes what pandas reads of them.

Usage: python pandas_tables.py FOLDER [--seed N] [--texts N] [--sheets N] [--files N]
Needs pandas 3.1.1, openpyxl 3.1.5 and XlsxWriter 3.3.1. FOLDER gets `texts.json` (TSV files with their
columns), `sheets.json` (columns of Excel files: cells as openpyxl has them, cells as pandas has them) and
`N.xlsx` with `files.json`. Written for the tests: `python pandas_tables.py test/golden/data/tables`;
more of them are compared by `npx tsx tools/reference/pandas_tables.ts FOLDER`.
"""

import argparse
import base64
import io
import json
import math
import random
import re
import struct
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.io.excel._openpyxl import OpenpyxlReader

warnings.simplefilter("ignore")

NUMBERS = """7 07 -3 +4 0 -0 1e3 1E5 1e 1e+ e5 .5 5. . 1.50 inf -inf Inf INFINITY +infinity -Infinity 1e400 -1e400
1e-400 1e-320 1e308 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809
18446744073709551615 18446744073709551616 99999999999999999999 1_000 0x10 1,000 0.1 0.30000000000000004
12345678901234567.89 1e22 1e23 8.5e-5 0000000000000000000000001 00000000000000000000000.5 1e-5 1e+5
1e99999999999 1e-99999999999 2.675 1e1_0 -1_0 5_ --5 1e5. 1.e5 .e5 nan5""".split()
NUMBERS += [" 7", "7 ", " 7 ", "\u20097", " inf", "1e 5", "1 2", "٣", "- 5"]
BOOLEANS = ["True", "False", "true", "FALSE", "TRUE", "tRue", "T", "true ", "yes"]
MISSING = """NA N/A n/a #N/A #NA NaN nan -NaN -nan NULL null <NA> None none NAN Null 1.#IND -1.#IND 1.#QNAN
-1.#QNAN""".split() + ["", "#N/A N/A", " NA", "NA "]
TEXTS = ["a", "A", "Yes", "x y", "é", "日本", "😀", '"', 'a"b', '"a', '""', "a\tb", "a\nb", "a\r\nb", "a\rb"]
TEXTS += ["['x', 'y']", "  lead", "trail  ", "\u00a0", "\ufeff", "\x0b", "\x1c", "0a", "#", "\\n", "'q'"]
LONG = ["L" * 300, "é" * 64, "é" * 65, "x" * 70 + '"\t', '["a", "b"]' * 30]
BIG = """9223372036854775807 9223372036854775808 -1 5 18446744073709551616 -9223372036854775808""".split()
NAMES = ["index", "question", "A", "B", "A", "", "NA", "x.1", "A.1", " sp", '"q"', "image", "é"]
ESCAPES = ["_x000D_", "_x005F_x", "x005F_", "<b>&amp;</b>", " ]]> ", "\u2028", "=1+1", "http://a.b"]


def tag(value):
    """A cell as a text that says its type, doubles by their bits."""
    if isinstance(value, (bool, np.bool_)):
        return f"b:{int(value)}"
    if isinstance(value, (int, np.integer)):
        return f"i:{value}"
    if isinstance(value, (float, np.floating)):
        return "n" if math.isnan(value) else "f:" + struct.pack(">d", value).hex()
    return "n" if value is None else f"s:{value}"


def tags(frame):
    return [[tag(v) for v in frame.iloc[:, c].tolist()] for c in range(frame.shape[1])]


class Drawer:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def chance(self, share):
        return self.rng.random() < share

    def number(self):
        rng, kind = self.rng, self.rng.random()
        if kind < 0.3:
            return str(rng.randint(-(10 ** rng.randint(1, 22)), 10 ** rng.randint(1, 22)))
        if kind < 0.6:
            return repr(rng.uniform(-1, 1) * 10 ** rng.randint(-320, 308))
        if kind < 0.8:
            return f"{rng.randint(0, 10**rng.randint(1, 25))}.{rng.randint(0, 10**rng.randint(1, 25))}"
        return f"{rng.randint(0, 10**rng.randint(1, 18))}e{rng.randint(-330, 320)}"

    def column(self):
        """A function that draws the cells of one column."""
        rng = self.rng
        small = lambda: str(rng.randint(-99, 999))
        kinds = [
            [small],
            [small, lambda: rng.choice(MISSING)],
            [small, lambda: rng.choice(NUMBERS)],
            [small, lambda: rng.choice(NUMBERS), lambda: rng.choice(MISSING)],
            [self.number],
            [lambda: rng.choice(BOOLEANS[:6])],
            [lambda: rng.choice(BOOLEANS + MISSING[:3])],
            [lambda: rng.choice(TEXTS)],
            [lambda: rng.choice(TEXTS + LONG + NUMBERS + MISSING + BOOLEANS)],
            [lambda: rng.choice(MISSING)],
            [lambda: rng.choice(BIG + ["1_0", "7 "])],
            [lambda: rng.choice(BIG + ["NA", ""])],
        ]
        parts = rng.choice(kinds)
        return lambda: rng.choice(parts)()

    def quoted(self, text):
        must = any(c in text for c in "\t\n\r") or text.startswith('"')
        if self.chance(0.97) if must else self.chance(0.2):
            return '"' + text.replace('"', '""') + '"'
        return text

    def text(self):
        """The bytes of a TSV."""
        rng = self.rng
        num_columns = rng.randint(1, 4)
        end = rng.choice(["\n", "\n", "\n", "\r\n", "\r"])
        columns = [self.column() for _ in range(num_columns)]
        lines = ["\t".join(self.quoted(rng.choice(NAMES)) for _ in range(num_columns))]
        for _ in range(rng.randint(0, 8)):
            cells = [self.quoted(column()) for column in columns]
            if self.chance(0.06):
                cells = cells[: rng.randint(1, num_columns)]
            if self.chance(0.02):
                cells.append("x")
            if self.chance(0.03):
                cells[0] += '"z"q'
            lines.append("\t".join(cells))
            if self.chance(0.08):
                lines.append(rng.choice(["", "  "]))
        text = end.join(lines) + (end if self.chance(0.7) else "")
        text = ("\ufeff" if self.chance(0.1) else "") + (end if self.chance(0.05) else "") + text
        if self.chance(0.03):
            text = text[: rng.randint(0, len(text))]
        if self.chance(0.03):
            text = "".join(rng.choice('a1 \t\n\r"') for _ in range(rng.randint(1, 40)))
        return text.encode() + (b"\xff\xfe\n" if self.chance(0.01) and "image" not in text else b"")

    def cells(self, num_rows):
        """Cells of one column of an Excel file."""
        rng = self.rng
        kinds = {
            "int": lambda: rng.randint(-99, 99),
            "big": lambda: rng.choice([2**53 + 1, -(2**53), 10**15]),
            "float": lambda: rng.choice([rng.uniform(-1, 1) * 10 ** rng.randint(-20, 20), 7.0, 0.1, 1e300]),
            "bool": lambda: rng.random() < 0.5,
            "none": lambda: rng.choice([None, float("nan"), ""]),
            "number": lambda: rng.choice(NUMBERS),
            "boolean": lambda: rng.choice(BOOLEANS),
            "missing": lambda: rng.choice(MISSING),
            "text": lambda: rng.choice([t for t in TEXTS if t.isprintable()] + ["a\nb", "a\rb"] + ESCAPES),
        }
        chosen = rng.sample(sorted(kinds), rng.choice([1, 1, 2, 2, 3]))
        return [kinds[rng.choice(chosen)]() for _ in range(num_rows)]


def expect_text(content):
    """What pandas reads of a TSV; None where it goes round in circles, `error` where it refuses."""
    # A space after a lone carriage return makes pandas read lines again, for ever at times.
    if re.search(rb"\r\t? +(?!\n)", content):
        return None
    try:
        frame = pd.read_csv(io.BytesIO(content), sep="\t", dtype={"image": str})
    except Exception:
        return {"error": True}
    index = frame.index
    # More fields than names: pandas takes the first ones as labels, a benchmark never means that.
    is_plain = isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1
    if not is_plain or "image.1" in frame.columns:
        return {"error": True}
    return {"columns": [str(c) for c in frame.columns], "cells": tags(frame)}


def write_excel(frame, path, drawer):
    if drawer.chance(0.3):
        frame.to_excel(path, index=False, engine="openpyxl")
        return
    options = {"strings_to_formulas": False} if drawer.chance(0.7) else {}
    with pd.ExcelWriter(path, engine="xlsxwriter", engine_kwargs={"options": options}) as writer:
        frame.to_excel(writer, index=False)


def sheet_cells(path):
    """Rows as pandas gets them from openpyxl, before it types them."""
    reader = OpenpyxlReader(path)
    return reader.get_sheet_data(reader.get_sheet_by_index(0))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--sheets", type=int, default=30)
    parser.add_argument("--files", type=int, default=8)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    drawer = Drawer(args.seed)

    texts = []
    while len(texts) < args.texts:
        content = drawer.text()
        expected = expect_text(content)
        if expected is not None:
            texts.append({"content": base64.b64encode(content).decode(), **expected})
    (args.folder / "texts.json").write_text(json.dumps(texts))

    sheets, files = [], []
    while len(sheets) < args.sheets or len(files) < args.files:
        num_columns, num_rows = drawer.rng.randint(4, 9), drawer.rng.randint(1, 7)
        columns = {f"c{c}": pd.Series(drawer.cells(num_rows), dtype=object) for c in range(num_columns)}
        frame = pd.DataFrame(columns).rename(columns={"c0": "index", "c1": " é "})
        path = args.folder / f"{len(files)}.xlsx"
        write_excel(frame, path, drawer)
        rows, read = sheet_cells(path), pd.read_excel(path)
        if len(files) < args.files:
            files.append({"file": path.name, "columns": list(read.columns), "cells": tags(read)})
        else:
            path.unlink()
        raw = [[tag(row[c]) for row in rows[1:]] for c in range(len(rows[0]))]
        sheets.append([{"raw": a, "typed": b} for a, b in zip(raw, tags(read))])
    (args.folder / "sheets.json").write_text(json.dumps(sheets[: args.sheets]))
    (args.folder / "files.json").write_text(json.dumps(files))


main()
