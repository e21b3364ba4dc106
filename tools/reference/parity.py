"""Live parity: runs the original and our CLI on fresh random configurations and compares them.

Usage: npm run parity -- [--seed N] [--configs N] [--only NAME] [--json FILE] [--markdown FILE]
Exits with 1 if anything differs. The last line counts one comparison a configuration and part.
"""

import argparse
import dataclasses
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

import original
from cases import KINDS, NUM_FREE, Case, parity_cases
from compare import PARTS, Finding, compare
from report import BY_PART, Result, by_part, line, markdown, table, written_by_hand

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 600


def run_ours(case: Case, cli: str, model: Path, inputs: Path, outputs: Path) -> str:
    """Runs `forward` of our CLI; returns what went wrong, or nothing."""
    command = [
        *shlex.split(cli),
        "forward",
        "--model",
        str(model),
        "--inputs",
        str(inputs),
        "--outputs",
        str(outputs),
        "--gradients",
        "--adamw-steps",
        str(original.ADAMW_STEPS),
        "--learning-rate",
        str(original.LEARNING_RATE),
        "--weight-decay",
        str(case.weight_decay),
        "--beta1",
        str(case.betas[0]),
        "--beta2",
        str(case.betas[1]),
    ]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT_SECONDS} s"
    if done.returncode != 0:
        return f"exit {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}"
    return "" if outputs.exists() else "wrote no outputs"


def check(case: Case, cli: str) -> Result:
    """Runs both sides on one configuration."""
    with tempfile.TemporaryDirectory() as scratch:
        model, inputs_file = Path(scratch, "model"), Path(scratch, "in.safetensors")
        outputs = Path(scratch, "out.safetensors")
        original.save_model(case, model)
        inputs = original.make_inputs(case)
        save_file(inputs, inputs_file)
        names = original.checkpoint_names(model)
        theirs = original.run(case, original.load_model(model), inputs)
        if {f"gradient.{n}" for n in names} != {n for n in theirs if n.startswith("gradient.")}:
            raise SystemExit("the reference's gradients are not named as its checkpoint's tensors")
        start = time.monotonic()
        fault = run_ours(case, cli, model, inputs_file, outputs)
        seconds = time.monotonic() - start
        if fault:
            print(fault)
            infinite = float("inf")
            failed = [Finding(case.name, p.name, "all", infinite, p.tolerance) for p in PARTS]
            return Result(case, failed, seconds)
        mask = inputs["attention_mask"] == 1
        return Result(case, compare(case.name, load_file(outputs), theirs, mask), seconds)


def main() -> int:
    """Parses the command line, runs, reports."""
    parser = argparse.ArgumentParser(prog="parity", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="default: the clock")
    count = len(KINDS) + NUM_FREE
    parser.add_argument("--configs", type=int, default=count, help=f"default {count}")
    parser.add_argument("--only", help="run only the configurations whose name contains this")
    parser.add_argument("--cli", default=f"node {ROOT}/dist/cli/main.js", help="our CLI")
    parser.add_argument("--json", type=Path, help="file to write the findings to")
    parser.add_argument("--markdown", type=Path, help="file to write the report to")
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    ort = json.loads((ROOT / "node_modules/onnxruntime-node/package.json").read_text())["version"]
    versions = (
        f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, "
        f"onnxruntime-node {ort}, Node {node.stdout.strip()[1:]}"
    )
    print(f"parity: seed {seed}, {versions}", flush=True)

    results: list[Result] = []
    for case in parity_cases(seed, options.configs):
        if options.only and options.only not in case.name:
            continue
        results.append(check(case, options.cli))
        print(line(results[-1]), flush=True)
    findings = [finding for result in results for finding in result.findings]
    print(table(BY_PART, by_part(results)))
    if options.json:
        rows = [dataclasses.asdict(finding) | {"passed": finding.passed} for finding in findings]
        record = {"seed": seed, "versions": versions, "findings": rows}
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    if options.markdown:
        missing = sorted({part.ours for part in PARTS if not (ROOT / part.ours).exists()})
        if missing:
            raise SystemExit(f"parity: compare.py names files that are not there: {missing}")
        command = f"npm run parity -- --seed {seed} --markdown docs/PARITY.md"
        if options.configs != count:
            command += f" --configs {options.configs}"
        options.markdown.write_text(markdown(results, versions, command) + written_by_hand(options.markdown))
    failed = sum(not finding.passed for finding in findings)
    if not findings:
        print("parity: nothing was compared", file=sys.stderr)
    print(f"{len(findings) - failed} passed, {failed} failed")
    return 1 if failed or not findings else 0


if __name__ == "__main__":
    sys.exit(main())
