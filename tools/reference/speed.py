"""Times the original's processor on Pillow, from file to pixel_values. Used by bench/preprocess.ts.

Usage: speed.py SECONDS FILE... The last line is JSON: milliseconds of every call by file, wall and
processor time.
"""

import json
import sys
import time

import torch
from PIL import Image, ImageOps
from transformers import Qwen2VLImageProcessorPil


def main(seconds: float, files: list[str]) -> None:
    """Decodes, orients, converts, resizes, normalizes and cuts each file again and again."""
    torch.set_num_threads(1)
    size = {"shortest_edge": 56 * 56, "longest_edge": 12_845_056}
    processor = Qwen2VLImageProcessorPil(size=size)
    found = {}
    for file in files:
        calls = []
        until = time.perf_counter() + seconds
        while len(calls) < 7 or time.perf_counter() < until:
            wall, cpu = time.perf_counter(), time.process_time()
            with Image.open(file) as opened:
                picture = ImageOps.exif_transpose(opened).convert("RGB")
            rows = len(processor(images=picture, return_tensors="pt")["pixel_values"])
            calls.append([1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)])
        found[file] = {"rows": rows, "calls": calls[2:]}
    print(json.dumps(found))


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
