"""Times the original's processors, from file to pixel_values, for bench/preprocess.ts; last line JSON.

python speed.py WORK, whose `kind` is slow (on Pillow) or fast (on torchvision)
"""

import json
import sys
import time
from pathlib import Path

import torch
import transformers
from decode_speed import peak_bytes
from PIL import Image, ImageOps
from transformers import Qwen2VLImageProcessor, Qwen2VLImageProcessorPil

WARM_UP = 2


def main(work: dict) -> dict:
    """Decodes, orients, converts, resizes, normalizes and cuts each file again and again."""
    size = {"shortest_edge": 56 * 56, "longest_edge": 12_845_056}
    kinds = {"slow": Qwen2VLImageProcessorPil, "fast": Qwen2VLImageProcessor}
    processor = kinds[work["kind"]](size=size)
    times, check = {}, {}
    for name in work["cases"]:
        calls = []
        until = time.perf_counter() + work["seconds"]
        while len(calls) < work["leastCalls"] + WARM_UP or time.perf_counter() < until:
            before = time.perf_counter()
            with Image.open(Path(work["folder"], name)) as opened:
                picture = ImageOps.exif_transpose(opened).convert("RGB")
            rows = len(processor(images=picture, return_tensors="pt")["pixel_values"])
            calls.append(1000 * (time.perf_counter() - before))
            check[name] = [rows]
        times[name] = calls[WARM_UP:]
    about = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {"ms": times, "check": check, "peakBytes": peak_bytes(), "about": about}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    print(json.dumps(main(asked)))
