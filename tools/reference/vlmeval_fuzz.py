"""Holds our scoring against VLMEvalKit's on random predictions, tables, prompts and thoughts.

Usage: .vlmeval/.venv/bin/python vlmeval_fuzz.py [--seed N] [--items N] [--tables N] [--only TEXT]
[--keep FOLDER]. Each kind at each era is one check; it ends with `N passed, N failed`.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import vlmeval_cases as cases
import vlmeval_tables as tables
from vlmeval_original import RANDOM

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ERAS = ["head", "paper"]
SHOWN = 5  # differences printed a check

Case = dict[str, Any]
Answer = dict[str, Any]
Checks = Iterator[tuple[str, list[Case]]]


def source(era: str) -> Path:
    return HERE / ".vlmeval" / ".venv" / era


def plan(options: argparse.Namespace) -> Checks:
    """Returns the cases that are asked for, by the name of their check."""
    concepts = cases.concepts_of(source("head"))

    def several(name: str, number: int, draw: Callable[[random.Random], Case]) -> Checks:
        if options.only in name:
            rngs = (random.Random(f"{options.seed} {name} {at}") for at in range(number))
            yield name, [draw(rng) for rng in rngs]

    for benchmark, path in cases.PATHS:
        way = f"{benchmark} {path}"
        item = lambda rng: cases.item(rng, benchmark, path)  # noqa: E731, B023
        table = lambda rng: tables.table(rng, benchmark, path, concepts)  # noqa: E731, B023
        yield from several(f"{way} items", options.items, item)
        yield from several(f"{way} tables", options.tables, table)
        if path != "judge" or benchmark == "MathVista_MINI":
            one = lambda rng: tables.file(rng, benchmark, path, concepts)  # noqa: E731, B023
            yield from several(f"{benchmark} files", options.files, one)
    for benchmark in dict(cases.PATHS):
        prompt = lambda rng: cases.prompt(rng, benchmark)  # noqa: E731, B023
        yield from several(f"{benchmark} prompts", options.prompts, prompt)
    yield from several("thinking", options.prompts, cases.thinking)


def run(command: list[str], scratch: Path) -> list[Answer]:
    """Runs one side on cases.jsonl and returns its answers."""
    out = scratch / "answers.jsonl"
    done = subprocess.run([*command, str(out)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return [json.loads(line) for line in out.open(encoding="utf-8")]


def theirs(era: str, file: Path) -> list[Answer]:
    script = str(HERE / "vlmeval_original.py")
    return run([sys.executable, script, str(source(era)), str(file)], file.parent)


def ours(era: str, file: Path) -> list[Answer]:
    script = str(HERE / "vlmeval_scores.ts")
    return run(["npx", "tsx", script, era, str(file)], file.parent)


def sorted_figures(answer: Answer) -> list[str]:
    """Returns the figures in an order of their own; numbers as floats, every digit of them."""
    is_number = lambda value: isinstance(value, (int, float))  # noqa: E731
    return sorted(f"{n}: {float(v) if is_number(v) else v!r}" for n, v in answer["figures"])


def same(case: Case, theirs: Answer, ours: Answer) -> bool:
    """Whether both say the same; where the original fails there is nothing to be the same as."""
    if "crash" in theirs:
        return True
    if "crash" in ours:
        return False
    kind = case["kind"]
    if kind == "prompt":
        return theirs["text"] == ours["text"]
    if kind == "thinking":
        return theirs["answer"] == ours["answer"] and theirs["thinking"] == (ours["thinking"] or "")
    if kind in {"table", "file"}:
        # The order of groups is that of a set in the original, another one in every run.
        if theirs.get("partial"):
            return set(sorted_figures(theirs)) < set(sorted_figures(ours))
        return sorted_figures(theirs) == sorted_figures(ours)
    if theirs["asked"] != ours["asked"] or theirs["missing"] != ours["missing"]:
        return False
    if theirs["result"] == RANDOM:
        options = [k for k, v in case["row"].items() if len(k) == 1 and v is not None]
        return ours["settled"] == "random" and ours["result"] in {*options, "Z"}
    if theirs["score"] != ours["score"] or (theirs["result"] or None) != (ours["result"] or None):
        return False
    return theirs.get("prefetched", False) == (ours["settled"] == "prefetch")


def shown(case: Case, theirs: Answer, ours: Answer) -> str:
    """Returns a difference as it is printed."""
    left, right = dict(theirs), dict(ours)
    if "figures" in left and "figures" in right:
        right.pop("headlines", None)
        one, other = sorted_figures(left), sorted_figures(right)
        left["figures"] = [figure for figure in one if figure not in other]
        right["figures"] = [figure for figure in other if figure not in one]
        if len(one) != len(other):
            left["figures"].append(f"{len(one)} figures"), right["figures"].append(len(other))
    elif left.get("asked") == right.get("asked"):
        left.pop("asked", None), right.pop("asked", None)
    brief = {k: v for k, v in case.items() if k not in {"rows", "kind"}}
    lines = [("case", brief), ("theirs", left), ("ours", right)]
    return "\n".join(f"    {k}: {json.dumps(v, ensure_ascii=False)[:1500]}" for k, v in lines)


def check(name: str, made: list[Case], scratch: Path) -> Iterator[bool]:
    """Compares one kind of case at both eras."""
    for at, case in enumerate(made):
        if case["kind"] == "file":
            case["name"] = f"model_{at}.{case['suffix']}"
    file = scratch / "cases.jsonl"
    file.write_text("".join(json.dumps(case) + "\n" for case in made), encoding="utf-8")
    for era in ERAS:
        start = time.monotonic()
        left, right = theirs(era, file), ours(era, file)
        if not len(made) == len(left) == len(right):
            raise SystemExit(f"{name}: {len(made)} cases, {len(left)} and {len(right)} answers")
        bad = [(c, a, b) for c, a, b in zip(made, left, right) if not same(c, a, b)]
        failures = [b for a, b in zip(left, right) if "crash" in a]
        refused = sum("crash" in b for b in failures)
        seconds = f"{time.monotonic() - start:.0f} s"
        told = f", the original fails on {len(failures)} (ours refuses {refused})" if failures else ""
        print(f"{name}, {era}: {len(made)} cases, {len(bad)} differences{told}, {seconds}", flush=True)
        for one in bad[:SHOWN]:
            print(shown(*one), flush=True)
        yield not bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--items", type=int, default=20_000, help="predictions a benchmark and path")
    parser.add_argument("--tables", type=int, default=200, help="tables a benchmark and path")
    parser.add_argument("--prompts", type=int, default=2_000, help="prompts a benchmark")
    parser.add_argument("--files", type=int, default=100, help="files of predictions a benchmark")
    parser.add_argument("--only", default="", help="checks whose name has this text")
    parser.add_argument("--keep", type=Path, help="leave cases and answers here")
    options = parser.parse_args()
    scratch = options.keep or Path(tempfile.mkdtemp())
    scratch.mkdir(parents=True, exist_ok=True)
    results: list[bool] = []
    try:
        for name, made in plan(options):
            results += check(name, made, scratch)
    finally:
        if options.keep is None:
            shutil.rmtree(scratch)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(0 if results and all(results) else 1)


if __name__ == "__main__":
    main()
