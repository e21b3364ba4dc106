"""Prints a parity run and writes it as docs/PARITY.md. Used by parity.py."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cases import Case
from compare import PARTS, Finding

BY_PART = ["part", "reference", "ours", "worst error", "tolerance", "where"]
BY_CASE = ["configuration", "positions", "forward", "gradients", "AdamW", "what"]


@dataclass(frozen=True)
class Result:
    """One configuration: the findings by part, and how long our CLI took."""

    case: Case
    findings: list[Finding]
    seconds: float


def number(error: float) -> str:
    """Returns an error as it stands in the tables."""
    return "0" if error == 0 else f"{error:.1e}"


def worst(findings: Iterable[Finding]) -> Finding:
    """Returns the finding that is nearest to its tolerance, or beyond it."""

    def rank(f: Finding) -> float:
        return f.error / f.tolerance if f.tolerance else f.error * 1e9

    return max(findings, key=rank)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Returns an aligned Markdown table."""
    cells = [header, *rows]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "| " + " | ".join("-" * w for w in widths) + " |")
    return "\n".join(lines)


def line(result: Result) -> str:
    """Returns the line that is printed when a configuration is done."""
    bad = [f for f in result.findings if not f.passed]
    text = f"{'FAIL' if bad else 'ok'}  {result.case.name}  ({result.seconds:.1f} s)  "
    if not bad:
        top = worst(result.findings)
        return f"{text}worst {top.tensor} {number(top.error)} of {number(top.tolerance)}"
    return "\n".join(
        [text + result.case.summary()]
        + [
            f"      {f.part}: {f.tensor} {number(f.error)}, tolerance {number(f.tolerance)} {f.note}"
            for f in bad
        ]
    )


def by_part(results: list[Result]) -> list[list[str]]:
    """Returns a row for each part with its worst tensor over all configurations."""
    rows = []
    for part in PARTS:
        found = [f for result in results for f in result.findings if f.part == part.name]
        if not found:
            continue
        top = worst(found)
        limit = "equal" if part.tolerance == 0 else number(part.tolerance)
        tensor = f"`{top.tensor}` in {top.case}" if top.error else "every tensor"
        files = [f"`{part.theirs}`", f"`{part.ours}`"]
        rows.append([part.name, *files, number(top.error), limit, tensor])
    return rows


def column(part: str) -> int:
    """Returns the place of a part among positions, forward, gradients and AdamW."""
    if part == PARTS[0].name:
        return 0
    return 2 if part.startswith("gradient") else 3 if part == PARTS[-1].name else 1


def by_case(results: list[Result]) -> list[list[str]]:
    """Returns a row for each configuration with its worst error of each kind."""
    rows = []
    for result in results:
        groups: list[list[Finding]] = [[], [], [], []]
        for f in result.findings:
            groups[column(f.part)].append(f)
        errors = [number(max((f.error for f in group), default=0.0)) for group in groups]
        rows.append([result.case.name, *errors, result.case.summary()])
    return rows


BY_HAND = "<!-- below: other parts, each with the command that shows it -->"


def written_by_hand(path: Path) -> str:
    """Returns what the file says behind the parts that a run rewrites."""
    text = path.read_text() if path.exists() else ""
    at = text.find(BY_HAND)
    return "" if at < 0 else "\n" + text[at:]


def markdown(results: list[Result], versions: str, command: str) -> str:
    """Returns docs/PARITY.md."""
    parts = table(BY_PART, by_part(results))
    cases = table(BY_CASE, by_case(results))
    passed = all(finding.passed for result in results for finding in result.findings)
    verdict = "All tensors are within." if passed else "**Some tensors are not within.**"
    return f"""# Parity with the original

Our model against `Qwen2_5_VLForConditionalGeneration` of Hugging Face on {len(results)} random
configurations, in float32. This file is written by the run that it reports:

    {command}

Versions: {versions}.

Every configuration is a checkpoint with random weights that Hugging Face saves, both sides load,
and both run on the same batch; `gapvl forward` computes our side. A run without `--seed` takes
fresh configurations each time.

The error of a tensor is max|ours - theirs| / max|theirs|. Positions must be equal. States, logits
and positions count where `attention_mask` is 1. The loss before each of ten AdamW steps (learning
rate 1e-3) is compared on its own. A tensor that is missing, not asked for, of another shape or not
finite fails. {verdict}

## Worst by part

{parts}

## Worst by configuration

Rows are counts of text tokens and pictures in merged tokens. A flat config is the layout of
published checkpoints, a nested one that of today's library.

{cases}
"""
