"""Writes the goldens of test/golden/data: a checkpoint, a batch, and what the original makes of it.

Usage: .venv/bin/python goldens.py [case ...]. The cases are fixed; the same versions on the same
processor write the same bytes.
"""

import sys
from pathlib import Path

from safetensors.torch import save_file

from cases import Case
from original import checkpoint_names, load_model, make_inputs, run, save_model

DATA = Path(__file__).resolve().parents[2] / "test" / "golden" / "data"

CASES = [
    # 3x5 merged tokens in windows of 2x2, a window block before and after a full one.
    Case("windows-tied", 1, [[3, (3, 5), 7], [6]], tied=True, depth_V=3),
    # 7 query heads on one key head, two pictures of different size in one row, nested sections.
    Case(
        "pictures-untied",
        2,
        [[2, (2, 3), 1, (4, 2), 5], [3, (1, 1), 2]],
        heads=7,
        kv_heads=1,
        head_dim=6,
        mrope_section=[1, 1, 1],
        rope_theta=1_000_000.0,
        window=3,
        full_blocks=[0],
        head_dim_V=8,
        heads_V=3,
    ),
    # The layout of published checkpoints: flat config, several files; padding on the right.
    Case(
        "flat-sharded",
        3,
        [[1, (4, 4), 4], [9]],
        padding="right",
        flat_config=True,
        sharded=True,
        kv_heads=4,
        head_dim_V=8,
        rms_eps=1e-5,
    ),
]


def write(case: Case) -> None:
    """Writes the folder of one case."""
    folder = DATA / case.name
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    save_model(case, folder)
    names = checkpoint_names(folder)
    inputs = make_inputs(case)
    expected = run(case, load_model(folder), inputs)
    gradients = {n.removeprefix("gradient.") for n in expected if n.startswith("gradient.")}
    if gradients != names:
        raise SystemExit(f"{case.name}: gradients and checkpoint differ: {gradients ^ names}")
    save_file(inputs, folder / "inputs.safetensors")
    save_file(expected, folder / "expected.safetensors")
    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(
        f"{case.name}: {size:,} bytes, loss {expected['loss'].item():.4f}, AdamW to "
        f"{expected['adamw_losses'][-1].item():.4f}; {case.summary()}"
    )


if __name__ == "__main__":
    for case in CASES:
        if len(sys.argv) == 1 or case.name in sys.argv[1:]:
            write(case)
