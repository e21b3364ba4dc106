"""Times the original's vision tower for bench/vision.ts: one process, one thread count; last line JSON.

python vision_speed.py WORK
"""

import json
import sys
import time
from pathlib import Path

import torch
import transformers
from decode_speed import peak_bytes
from safetensors.torch import load_file
from transformers import Qwen2_5_VLForConditionalGeneration

CHECKED = 16


def main(work):
    transformers.utils.logging.disable_progress_bar()
    folder = Path(work["folder"])
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder / "model", dtype=torch.float32)
    tower = model.model.visual.eval()

    def encode(name):
        tensors = load_file(folder / f"{name}.safetensors")
        before = time.perf_counter()
        rows = tower(tensors["pixel_values"], grid_thw=tensors["image_grid_thw"]).pooler_output
        return rows, 1000 * (time.perf_counter() - before)

    encode(work["warm"])
    times, check = {}, {}
    for name in work["cases"]:
        times[name] = []
        for _ in range(work["calls"][name]):
            rows, ms = encode(name)
            times[name].append(ms)
            flat = rows.flatten()
            check[name] = torch.cat([flat[:CHECKED], flat[-CHECKED:]]).tolist()
    about = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "attention": model.config._attn_implementation,
    }
    return {"ms": times, "check": check, "peakBytes": peak_bytes(), "about": about}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    with torch.inference_mode():
        print(json.dumps(main(asked)))
