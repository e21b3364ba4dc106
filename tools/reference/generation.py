"""Greedy decoding against the original's `generate` on fresh random configurations, token by token.

Usage: npm run greedy [--seed N] [--configs N] [--tokens N] [--only NAME]
Each row is decoded by the original alone, and by us in one batch with the others. A row that differs
where the two best scores are closer than TIE (relative) is a tie: counted apart, and compared up to
there. The last line counts rows; exits with 1 if any failed.

Heads have 8 or 16 dimensions here: ONNX Runtime's cached attention takes multiples of 8 only.
"""

import argparse
import random
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import original
from cases import Case, parity_cases

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 600
# 1.05 is that of the published checkpoints; 1.3 keeps random weights from writing the same few ids.
PENALTIES = (1.0, 1.05, 1.3)
EMBEDDING_SCALE = 0.2
TIE = 1e-5  # of the difference of the two best scores, relative to the best


@dataclass(frozen=True)
class Row:
    """One row without padding, with its own pictures."""

    input_ids: Tensor  # [1, T]
    pixel_values: Tensor | None
    image_grid_thw: Tensor | None


def with_cached_heads(case: Case) -> Case:
    """Changes the size of the heads to one that cached attention takes."""
    draw = random.Random(f"heads {case.seed}")
    half = draw.choice([4, 8])
    first, second = sorted(draw.sample(range(1, half), 2))
    sections = [first, second - first, half - second]
    return replace(case, head_dim=2 * half, mrope_section=sections)


def quieten_embeddings(folder: Path) -> None:
    """Scales the embeddings of a checkpoint down, so that rows do not end in a loop at once.

    Drawn as they are, they outweigh what the layers add, and a tied head finds the last token again.
    """
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        for name, tensor in tensors.items():
            if name.endswith("embed_tokens.weight"):
                tensors[name] = tensor * EMBEDDING_SCALE
        save_file(tensors, file, metadata={"format": "pt"})


def rows_of(case: Case, inputs: dict[str, Tensor]) -> list[Row]:
    """Takes a padded batch apart."""
    rows = []
    picture, patch = 0, 0
    for index, stretches in enumerate(case.rows):
        ids = inputs["input_ids"][index][inputs["attention_mask"][index] == 1]
        grids = inputs["image_grid_thw"][picture:][: sum(not isinstance(s, int) for s in stretches)]
        size = int(grids.prod(1).sum())
        pixels = inputs["pixel_values"][patch : patch + size]
        picture, patch = picture + len(grids), patch + size
        has = len(grids) > 0
        rows.append(Row(ids[None], pixels if has else None, grids if has else None))
    if picture != len(inputs["image_grid_thw"]) or patch != len(inputs["pixel_values"]):
        raise SystemExit("generation: the rows do not use up the pictures of the batch")
    return rows


def generate_theirs(
    model: original.Model, row: Row, tokens: int, penalty: float
) -> tuple[list[int], list[Tensor]]:
    """Returns the ids that the original writes, and the scores each was chosen by."""
    image = model.config.image_token_id
    feeds = dict(input_ids=row.input_ids, attention_mask=torch.ones_like(row.input_ids))
    if row.pixel_values is not None:
        # Without these types transformers 5 takes plain 0..T-1 positions, silently.
        feeds["mm_token_type_ids"] = (row.input_ids == image).int()
        feeds |= dict(pixel_values=row.pixel_values, image_grid_thw=row.image_grid_thw)
    with torch.no_grad():
        out = model.generate(
            **feeds,
            do_sample=False,
            use_cache=True,
            max_new_tokens=tokens,
            repetition_penalty=penalty,
            # We never write a picture token: without a picture it means nothing.
            suppress_tokens=[image],
            eos_token_id=None,
            pad_token_id=0,
            output_scores=True,
            return_dict_in_generate=True,
        )
    length = row.input_ids.shape[1]
    return out.sequences[0, length:].tolist(), [score[0] for score in out.scores]


def run_cli(cli: str, arguments: list[str]) -> str:
    """Runs `forward` of our CLI; returns what went wrong, or nothing."""
    try:
        done = subprocess.run(
            [*shlex.split(cli), "forward", "--threads", "1", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT_SECONDS} s"
    if done.returncode == 0:
        return ""
    return f"exit {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}"


def relative_gap(scores: Tensor) -> float:
    """Returns how far the best score is from the second, relative to the best."""
    first, second = scores.double().topk(2).values.tolist()
    return (first - second) / max(abs(first), 1e-12)


def our_scores(cli: str, model: Path, row: Row, ids: list[int], penalty: float) -> Tensor:
    """Returns our scores after a row and the ids that follow it, from a plain forward pass."""
    config = original.Qwen2_5_VLConfig.from_pretrained(model)
    whole = torch.cat([row.input_ids, torch.tensor([ids], dtype=torch.int64)], dim=1)
    tensors = dict(input_ids=whole, attention_mask=torch.ones_like(whole))
    if row.pixel_values is not None:
        tensors |= dict(
            pixel_values=row.pixel_values.contiguous(), image_grid_thw=row.image_grid_thw.contiguous()
        )
    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = Path(scratch, "in.safetensors"), Path(scratch, "out.safetensors")
        save_file(tensors, inputs)
        fault = run_cli(
            cli,
            ["--model", str(model), "--inputs", str(inputs), "--outputs", str(outputs)],
        )
        if fault:
            raise SystemExit(f"generation: no logits to tell a tie by: {fault}")
        scores = load_file(outputs)["logits"][0, -1]
    seen = whole[0].unique()
    found = scores[seen]
    scores[seen] = torch.where(found < 0, found * penalty, found / penalty)
    scores[config.image_token_id] = -float("inf")
    return scores


@dataclass
class Counts:
    """Rows by outcome, tokens compared, and the smallest gap that a choice was right by."""

    passed: int = 0
    tied: int = 0
    failed: int = 0
    tokens: int = 0
    smallest_gap: float = float("inf")


def check(case: Case, penalty: float, cli: str, tokens: int, counts: Counts) -> str:
    """Decodes one configuration on both sides; returns a line about it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, inputs_file = Path(scratch, "model"), Path(scratch, "in.safetensors")
        outputs = Path(scratch, "out.safetensors")
        original.save_model(case, folder)
        quieten_embeddings(folder)
        inputs = original.make_inputs(case)
        del inputs["labels"]
        save_file(inputs, inputs_file)
        start = time.monotonic()
        fault = run_cli(
            cli,
            ["--model", str(folder), "--inputs", str(inputs_file), "--outputs", str(outputs)]
            + ["--generate", str(tokens), "--repetition-penalty", str(penalty)],
        )
        seconds = time.monotonic() - start
        if fault:
            counts.failed += len(case.rows)
            return f"FAILED {fault}"
        ours = load_file(outputs)["generated_ids"]
        model = original.load_model(folder)
        notes = []
        for index, row in enumerate(rows_of(case, inputs)):
            theirs, scores = generate_theirs(model, row, tokens, penalty)
            mine = ours[index].tolist()
            if len(mine) != tokens or len(theirs) != tokens:
                raise SystemExit(f"generation: {len(mine)} and {len(theirs)} of {tokens} tokens")
            same = next((i for i in range(tokens) if mine[i] != theirs[i]), tokens)
            gaps = [relative_gap(score) for score in scores[:same]]
            counts.smallest_gap = min([counts.smallest_gap, *gaps])
            counts.tokens += same
            if same == tokens:
                counts.passed += 1
                notes.append(f"{len(set(theirs))} ids")
                continue
            own = our_scores(cli, folder, row, theirs[:same], penalty)
            their_gap, our_gap = relative_gap(scores[same]), relative_gap(own)
            is_tie = their_gap < TIE and our_gap < TIE
            counts.tied += is_tie
            counts.failed += not is_tie
            notes.append(
                f"{'tie' if is_tie else 'FAILED'} at token {same} (theirs {theirs[same]}, ours "
                f"{mine[same]}; gap theirs {their_gap:.1e}, ours {our_gap:.1e})"
            )
    return f"{'; '.join(notes)} ({seconds:.1f} s)"


def main() -> int:
    """Parses the command line, runs, reports."""
    parser = argparse.ArgumentParser(prog="generation", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="default: the clock")
    parser.add_argument("--configs", type=int, default=20, help="default 20")
    parser.add_argument("--tokens", type=int, default=128, help="default 128")
    parser.add_argument("--only", help="run only the configurations whose name contains this")
    parser.add_argument("--cli", default=f"node {ROOT}/dist/cli/main.js", help="our CLI")
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    print(f"generation: seed {seed}, {options.tokens} tokens a row", flush=True)
    counts = Counts()
    for index, case in enumerate(parity_cases(seed, options.configs)):
        if options.only and options.only not in case.name:
            continue
        penalty = PENALTIES[index % len(PENALTIES)]
        case = with_cached_heads(case)
        note = check(case, penalty, options.cli, options.tokens, counts)
        config = "flat" if case.flat_config else "nested"
        head = "tied" if case.tied else "untied"
        heads = f"{case.heads}/{case.kv_heads} heads of {case.head_dim}"
        print(f"{case.name}, {heads}, {head}, {config}, penalty {penalty}: {note}", flush=True)
    print(f"{counts.tokens} tokens equal, smallest relative gap of a choice {counts.smallest_gap:.1e}")
    if counts.tied:
        print(f"{counts.tied} tied rows, neither passed nor failed")
    print(f"{counts.passed} passed, {counts.failed} failed")
    return 1 if counts.failed or not counts.passed else 0


if __name__ == "__main__":
    sys.exit(main())
