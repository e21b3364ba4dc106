"""Writes test/unit/processor/data/pillow.json: small pictures and the pixels the original sees.

Usage: .venv/bin/python picture_goldens.py. The same versions write the same bytes.
"""

import base64
import json
import tempfile
from pathlib import Path

import numpy as np
from transformers.image_transforms import convert_to_rgb

from pictures import KINDS
from preprocess import APART, ROOT, load

TARGET = ROOT / "test/unit/processor/data/pillow.json"
HEIGHT, WIDTH = 9, 13


def main() -> None:
    """Draws every judged kind once."""
    cases = []
    with tempfile.TemporaryDirectory() as scratch:
        for k, (kind, ending, draw) in enumerate(KINDS):
            if kind in APART:
                continue
            path = Path(scratch, f"{k}.{ending}")
            draw(path, np.random.default_rng([2026, k]), HEIGHT, WIDTH)
            pixels = convert_to_rgb(load(path), return_numpy=True)
            cases.append(
                {
                    "kind": kind,
                    "file": base64.b64encode(path.read_bytes()).decode(),
                    "height": pixels.shape[0],
                    "width": pixels.shape[1],
                    "data": base64.b64encode(pixels.tobytes()).decode(),
                }
            )
    TARGET.write_text(json.dumps({"cases": cases}) + "\n")
    print(f"{len(cases)} pictures, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
