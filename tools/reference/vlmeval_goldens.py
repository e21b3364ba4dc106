"""Writes test/golden/data/benchmark: predictions, tables and prompts with what VLMEvalKit says of them.

Usage: .vlmeval/.venv/bin/python vlmeval_goldens.py. One file a benchmark, for the tests that run
without Python. Of many random predictions those are kept that differ in kind.
"""

import hashlib
import json
import random
import shutil
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import vlmeval_cases as cases
import vlmeval_tables as tables
import vlmeval_texts as texts
from vlmeval_fuzz import ERAS, ROOT, source, theirs

FOLDER = ROOT / "test" / "golden" / "data" / "benchmark"
SEED = "goldens"
ROWS, POOL = 36, 250  # rows of a path, predictions drawn for each
KEPT = 500  # predictions of a benchmark
LONGEST = 140  # characters of a prediction
TABLES, PROMPTS, THOUGHTS = 8, 24, 60
TABLE_CHARS = 9_000

Case = dict[str, Any]
Answer = dict[str, Any]


def rng_of(*words: object) -> random.Random:
    return random.Random(" ".join(map(str, (SEED, *words))))


def both(made: list[Case]) -> list[tuple[Answer, Answer]]:
    """Returns what the original says of the cases at head and at paper."""
    scratch = Path(tempfile.mkdtemp())
    try:
        file = scratch / "cases.jsonl"
        file.write_text("".join(json.dumps(case) + "\n" for case in made), encoding="utf-8")
        head, paper = (theirs(era, file) for era in ERAS)
        return list(zip(head, paper, strict=True))
    finally:
        shutil.rmtree(scratch)


def features(case: Case) -> frozenset[str]:
    """Returns what is odd about a prediction."""
    text = case["prediction"]
    if not isinstance(text, str):
        return frozenset({type(text).__name__})
    pools = {"refusal": texts.REFUSALS, "failed": texts.FAILURES, "tag": texts.TAGS}
    pools |= {"prefix": texts.PREFIXES, "case": texts.CASES, "beyond": texts.BEYOND}
    pools |= {"blank": texts.BLANKS, "not blank": texts.NOT_BLANKS, "wide": texts.WIDE_MARKS}
    found = {name for name, pool in pools.items() if any(one in text for one in pool if one != " ")}
    found |= {f"nd {unicodedata.name(c, '?')[:5]}" for c in text if c.isdecimal() and c > "9"}
    found |= {f"mark {c}" for c in text if c in texts.MARKS}
    found |= {text} if text in texts.MISSING else set()
    return frozenset(found)


def verdict(answer: Answer) -> list[Any]:
    """Returns an answer as the file holds it: result, score, missing, prefetched, calls, prompts."""
    asked = answer["asked"]
    prompts = "\0".join(f"{one['temperature']:g} {one['prompt']}" for one in asked)
    digest = hashlib.sha256(prompts.encode()).hexdigest()[:8] if asked else ""
    flags = int(answer["missing"]) + 2 * int(answer.get("prefetched", False))
    return [answer["result"] or None, answer["score"], flags, len(asked), digest]


def chosen(pool: list[Case], said: list[tuple[Answer, Answer]], number: int) -> list[int]:
    """Returns places of cases that differ in kind; short ones, and those the eras part over, first."""
    order = sorted(
        range(len(pool)),
        key=lambda at: (
            verdict(said[at][0])[:2] == verdict(said[at][1])[:2],
            len(json.dumps(pool[at]["prediction"])) // 20,
            at,
        ),
    )
    groups: dict[Any, list[int]] = {}
    for at in order:
        answer = said[at][0]
        outcome = (answer.get("score"), answer.get("result") is None, len(answer.get("asked", [])))
        groups.setdefault((outcome, features(pool[at])), []).append(at)
    kept: list[int] = []
    depth = 0
    while len(kept) < number and any(len(group) > depth for group in groups.values()):
        layer = [group[depth] for group in groups.values() if len(group) > depth]
        rng_of("layer", depth).shuffle(layer)
        kept += layer[: number - len(kept)]
        depth += 1
    return sorted(kept)


def items(benchmark: str, path: str, number: int) -> dict[str, Any]:
    """Returns rows, and predictions that point to them."""
    rng = rng_of(benchmark, path)
    rows = [cases.row_of(rng, benchmark, path) for _ in range(ROWS * 3)]
    rows = sorted(rows, key=lambda row: len(json.dumps(cases.encoded(row))))[:ROWS]
    pool: list[Case] = []
    places: list[int] = []
    for at, row in enumerate(rows):
        for _ in range(POOL):
            case = cases.item_of(rng, benchmark, path, row)
            if len(json.dumps([case["prediction"], case["replies"]])) <= LONGEST * (
                3 if path == "judge" else 1
            ):
                pool.append(case)
                places.append(at)
    said = both(pool)
    whole = [at for at, answers in enumerate(said) if not any("crash" in a for a in answers)]
    pool, said, places = ([those[at] for at in whole] for those in (pool, said, places))
    made: list[Any] = []
    for at in chosen(pool, said, number):
        head, paper = map(verdict, said[at])
        one = [places[at], pool[at]["prediction"], pool[at]["replies"], head]
        made.append(one if head == paper else [*one, paper])
    return {"path": path, "rows": [cases.encoded(row) for row in rows], "items": made}


def some_tables(benchmark: str, path: str, number: int) -> list[dict[str, Any]]:
    """Returns small tables with every figure."""
    concepts = cases.concepts_of(source("head"))
    made: list[Case] = []
    at = 0
    while len(made) < number + number // 2:
        case = tables.table(rng_of("table", benchmark, path, at), benchmark, path, concepts)
        at += 1
        if 3 < len(case["rows"]) and len(json.dumps(case["rows"])) < TABLE_CHARS:
            made.append(case)
    kept: list[dict[str, Any]] = []
    for case, (head, paper) in zip(made, both(made), strict=True):
        if "figures" not in head or head.get("partial"):
            continue
        columns = list(case["rows"][0])
        one = {"path": path, "columns": columns, "replies": case["replies"]}
        one["rows"] = [[row[name] for name in columns] for row in case["rows"]]
        for era, said in zip(ERAS, (head, paper)):
            one[era] = sorted(said["figures"], key=repr)
        if one["head"] == one["paper"]:
            del one["paper"]
        kept.append(one)
    return kept[:number]


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    paths: dict[str, list[str]] = {}
    for benchmark, path in cases.PATHS:
        paths.setdefault(benchmark, []).append(path)
    for benchmark, ways in paths.items():
        prompts = [cases.prompt(rng_of("prompt", benchmark, at), benchmark) for at in range(PROMPTS)]
        golden = {
            "sets": [items(benchmark, path, KEPT // len(ways)) for path in ways],
            "tables": [
                one for path in ways for one in some_tables(benchmark, path, TABLES // len(ways))
            ],
            "prompts": [
                {"row": case["row"], "builder": case["builder"], "text": head["text"]}
                for case, (head, _) in zip(prompts, both(prompts), strict=True)
            ],
        }
        write(benchmark, golden)
    thoughts = [cases.thinking(rng_of("thinking", at)) for at in range(THOUGHTS)]
    said = [head for head, _ in both(thoughts)]
    write("thinking", [{"text": c["text"], **a} for c, a in zip(thoughts, said, strict=True)])


def write(name: str, golden: Any) -> None:
    """Writes a file."""
    text = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))
    file = FOLDER / f"{name}.json"
    file.write_text(text + "\n", encoding="utf-8")
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
