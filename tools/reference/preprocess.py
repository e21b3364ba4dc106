"""Holds our preprocessing against Hugging Face's: pictures through both, pixel by pixel.

Usage: npm run build; tools/reference/.venv/bin/python tools/reference/preprocess.py [--seed N]
The judge is the processor on Pillow (`Qwen2VLImageProcessorPil`); the one on torchvision, which
resamples otherwise, is measured beside it. The last line counts pictures.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision
import transformers
from PIL import Image, ImageOps
from safetensors.numpy import load_file
from transformers import Qwen2VLImageProcessor, Qwen2VLImageProcessorPil

from pictures import draw_all
from report import table

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-5
TIMEOUT_SECONDS = 300
# Decoders that differ: measured and told, not judged.
# Measured by subsampling: grey equal, 4:4:4 within 1 level, 4:2:2 and 4:2:0 up to 41 levels.
APART = {"AVIF": "libheif and libavif widen half-resolution color differently"}
# Name, min_pixels, max_pixels, every n-th picture.
SETTINGS = [
    ("published limits", 56 * 56, 12_845_056, 1),
    ("grown", 120_000, 12_845_056, 4),
    ("shrunk", 56 * 56, 20_000, 4),
]
HEADER = ["kind", "pictures", "worst error", "limit", "torchvision differs by"]


def run_ours(cli: str, files: list[Path], limits: tuple[int, int], output: Path) -> list[dict]:
    """Runs one `gapvl explain` over all files; returns what it says about them."""
    options = ["--json", "--min-pixels", str(limits[0]), "--max-pixels", str(limits[1])]
    command = [*shlex.split(cli), "explain", *options, "--pixels", str(output), *map(str, files)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"explain: {(done.stderr or done.stdout).strip()[-2000:]}")
    return json.loads(done.stdout)["pictures"]


def load(path: Path) -> Image.Image:
    """Returns a picture as transformers' `load_image` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Returns the largest difference; infinite for another shape or values that are not finite."""
    if ours.shape != theirs.shape or not np.isfinite(ours).all():
        return float("inf")
    return float(np.abs(ours.astype(np.float64) - theirs).max())


def main() -> int:
    """Draws, runs both sides, compares, reports."""
    parser = argparse.ArgumentParser(prog="preprocess", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="default: the clock")
    parser.add_argument("--cli", default=f"node {ROOT}/dist/cli/main.js", help="our CLI")
    parser.add_argument("--json", type=Path, help="file to write the findings to")
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    torch.set_num_threads(1)
    versions = (
        f"transformers {transformers.__version__}, Pillow {PIL.__version__}, "
        f"torchvision {torchvision.__version__.split('+')[0]}"
    )
    print(f"preprocess: seed {seed}, {versions}", flush=True)

    errors: defaultdict[str, list[float]] = defaultdict(list)
    fast_errors: defaultdict[str, list[float]] = defaultdict(list)
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        drawn = draw_all(Path(scratch), seed)
        for name, least, most, every in SETTINGS:
            chosen = drawn[::every]
            output = Path(scratch, "pixels.safetensors")
            told = run_ours(options.cli, [path for _, path in chosen], (least, most), output)
            ours = load_file(output)
            size = {"shortest_edge": least, "longest_edge": most}
            slow, fast = Qwen2VLImageProcessorPil(size=size), Qwen2VLImageProcessor(size=size)
            at = 0
            for i, (kind, path) in enumerate(chosen):
                picture = load(path)
                theirs = slow(images=picture, return_tensors="np")
                grid = theirs["image_grid_thw"][0]
                # Our rows of this picture; a wrong grid shows in the number of the rows.
                count = int(ours["image_grid_thw"][i].prod())
                values = ours["pixel_values"][at : at + count]
                at += count
                error = difference(values, theirs["pixel_values"])
                if not (ours["image_grid_thw"][i] == grid).all() or told[i]["grid"] != list(grid):
                    error = float("inf")
                errors[kind].append(error)
                if name == SETTINGS[0][0]:
                    quick = fast(images=picture, return_tensors="pt")["pixel_values"].numpy()
                    fast_errors[kind].append(difference(quick, theirs["pixel_values"]))
                if kind not in APART and not error <= TOLERANCE:
                    failures.append(f"{name}, {kind}, {path.name}, {picture.size}: {error:.2e}")
            output.unlink()

    rows = [
        [
            kind,
            str(len(found)),
            "0" if max(found) == 0 else f"{max(found):.1e}",
            "not judged" if kind in APART else f"{TOLERANCE:.0e}",
            f"{max(fast_errors[kind]):.1e}",
        ]
        for kind, found in errors.items()
    ]
    print(table(HEADER, rows))
    for kind, cause in APART.items():
        print(f"{kind} is not judged: {cause}.")
    for failure in failures:
        print(f"FAIL  {failure}")
    if options.json:
        record = {"seed": seed, "versions": versions, "errors": errors, "torchvision": fast_errors}
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    total = sum(len(found) for kind, found in errors.items() if kind not in APART)
    print(f"{total - len(failures)} passed, {len(failures)} failed")
    return 1 if failures or not total else 0


if __name__ == "__main__":
    sys.exit(main())
