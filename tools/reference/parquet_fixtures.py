"""Writes the small Parquet files of the unit tests as `datasets` and pandas write them.

Usage: python parquet_fixtures.py FOLDER (test/unit/benchmark/data). Needs pyarrow 25 and Pillow.
"""

import io
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

FOLDER = Path(sys.argv[1])
ROWS = 6


def picture(i, kind="PNG"):
    out = io.BytesIO()
    Image.new("RGB", (4 + i, 3), (40 * i, 10, 200 - 30 * i)).save(out, kind)
    return out.getvalue()


text = {
    "index": pa.array([10, 11, 12, 13, 14, 15], pa.int32()),
    "question": [f"Was ist das? {i}" for i in range(ROWS)],
    "answer": ["A", "B", "", None, "C", "日本"],
    "A": pa.array([1, 2, None, 4, 5, 6], pa.int64()),
    "B": pa.array([0.5, 1.0, 2.0, float("nan"), None, -0.0], pa.float64()),
    "choices": pa.array([["a", "b"], [], None, ["x"], ["it's"], ['"']], pa.list_(pa.string())),
    "is_hard": [True, False, None, True, True, False],
}
struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
images = [{"bytes": picture(i, "PNG" if i % 2 else "JPEG"), "path": f"{i}.png"} for i in range(ROWS)]
images[4] = {"bytes": None, "path": "4.png"}
images[5] = None
pq.write_table(pa.table({**text, "image": pa.array(images, struct)}), FOLDER / "struct.parquet",
               compression="zstd", row_group_size=4)
lists = [[image] if i != 1 else images[:3] for i, image in enumerate(images[:4])]
few = {name: column[:4] for name, column in text.items() if name in ("question", "answer")}
pq.write_table(pa.table({**few, "image": pa.array(lists, pa.list_(struct))}), FOLDER / "lists.parquet",
               compression="gzip", data_page_version="2.0")
pq.write_table(pa.table({**few, "image": pa.array([picture(i) for i in range(4)], pa.binary())}),
               FOLDER / "bytes.parquet", compression="snappy")
