"""Round trip of `gapvl tokens add` through the original, on tiny random models as published.

Each model is saved by transformers, gets the tokens of latent spans from our CLI, is loaded by
transformers and compared, saved again, and read by our CLI. Usage: .venv/bin/python
tokens_roundtrip.py [--cli COMMAND]. Exits with 1 if anything differs; the last line counts checks.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import original
from cases import Case

ROOT = Path(__file__).resolve().parents[2]
LATENT_TOKENS = ["<|latent_start|>", "<|latent_pad|>", "<|latent_end|>"]
TURNS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PICTURES = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
NUM_TOKENS = 256 + len(TURNS) + len(PICTURES)
LOGITS_TOLERANCE = 1e-4
ROWS = [[5, (2, 3), 7], [4]]


@dataclass(frozen=True)
class TokensCase(Case):
    """A configuration whose tables have rows that no token stands for."""

    spare: int = 0
    published_tokenizer: bool = False  # files as transformers 4 wrote them

    @property
    def image_id(self) -> int:
        """The first of the special ids; spare rows stand behind them."""
        return self.vocab - self.spare - len(PICTURES)


def tokens_case(name: str, seed: int, spare: int, **settings: bool) -> TokensCase:
    """Returns a case whose vocabulary fits its tokenizer."""
    return TokensCase(name, seed, ROWS, vocab=NUM_TOKENS + spare, spare=spare, **settings)


CASES = [
    tokens_case("tied, spare rows", 1, 5, tied=True),
    tokens_case("tied, no spare row, flat", 2, 0, tied=True, flat_config=True),
    tokens_case("untied, two spare rows, shards", 3, 2, sharded=True, published_tokenizer=True),
    tokens_case("untied, spare rows, flat, shards", 4, 9, flat_config=True, sharded=True),
    tokens_case("untied, no spare row", 5, 0, published_tokenizer=True),
    tokens_case("tied, three spare rows, shards", 6, 3, tied=True, sharded=True),
]


def save_tokenizer(case: TokensCase, folder: Path) -> None:
    """Writes a byte-level tokenizer with the special tokens of Qwen2.5-VL."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = TURNS + PICTURES
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=TURNS[2], pad_token=TURNS[0]
    )
    fast.save_pretrained(folder)
    if not case.published_tokenizer:
        return
    file = folder / "tokenizer_config.json"
    flags = dict(lstrip=False, normalized=False, rstrip=False, single_word=False, special=True)
    config = json.loads(file.read_text())
    config["added_tokens_decoder"] = {
        str(256 + index): dict(content=token, **flags) for index, token in enumerate(special)
    }
    config.pop("extra_special_tokens", None)
    config["additional_special_tokens"] = TURNS[1:] + PICTURES
    file.write_text(json.dumps(config, indent=2))


def to_bf16(folder: Path) -> None:
    """Stores the weights as published checkpoints do."""
    for file in folder.glob("*.safetensors"):
        tensors = {name: value.bfloat16() for name, value in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})


def gapvl(cli: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs our CLI."""
    command = [*shlex.split(cli), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def logits_of(model: original.Model, inputs: original.Tensors) -> torch.Tensor:
    """Returns the logits of a batch with pictures."""
    types = (inputs["input_ids"] == model.config.image_token_id).int()
    with torch.no_grad():
        return model(**inputs, mm_token_type_ids=types, use_cache=False).logits


def tables_of(model: original.Model, case: Case) -> list[torch.Tensor]:
    """Returns the embeddings and, when it is another table, the head."""
    embeddings = model.get_input_embeddings().weight
    return [embeddings] if case.tied else [embeddings, model.get_output_embeddings().weight]


def check(case: TokensCase, cli: str, scratch: Path) -> dict[str, bool]:
    """Runs the whole round trip; returns each check by what it holds."""
    model, out, again = scratch / "model", scratch / "out", scratch / "again"
    original.save_model(case, model)
    to_bf16(model)
    save_tokenizer(case, model)
    done = gapvl(cli, "tokens", "add", "--model", model, "--out", out, "--json")
    if done.returncode != 0:
        raise SystemExit(f"{case.name}: {done.stderr or done.stdout}")
    added = json.loads(done.stdout)
    ids = [token["id"] for token in added["tokens"]]
    vocabulary = max(case.vocab, NUM_TOKENS + 3)

    before, after = AutoTokenizer.from_pretrained(model), AutoTokenizer.from_pretrained(out)
    text = "what is it? <|im_start|>é<|image_pad|>"
    span = "a" + "".join(LATENT_TOKENS) + "b"
    old = original.load_model(model)
    new, info = original.Model.from_pretrained(
        out, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    new = new.eval()
    kept = [i for i in range(case.vocab) if i not in ids]
    inputs = original.make_inputs(case)
    inputs.pop("labels")
    old_logits, new_logits = logits_of(old, inputs), logits_of(new, inputs)
    files = [load_file(file) for file in out.glob("*.safetensors")]
    stored = {value.dtype for tensors in files for value in tensors.values()}

    new.save_pretrained(again, max_shard_size="40KB" if case.sharded else "5GB")
    after.save_pretrained(again)
    inputs_file, outputs_file = scratch / "in.safetensors", scratch / "out.safetensors"
    save_file(inputs, inputs_file)
    forward = gapvl(
        cli, "forward", "--model", again, "--inputs", inputs_file, "--outputs", outputs_file
    )
    ours = load_file(outputs_file)["logits"] if forward.returncode == 0 else torch.zeros(1)
    mask = inputs["attention_mask"] == 1
    repeated = gapvl(cli, "tokens", "add", "--model", again, "--out", scratch / "never")
    return {
        "ids follow the largest": ids == [NUM_TOKENS, NUM_TOKENS + 1, NUM_TOKENS + 2],
        "their tokenizer has our ids": after.convert_tokens_to_ids(LATENT_TOKENS) == ids,
        "it encodes them": after.encode(span, add_special_tokens=False)[1:4] == ids,
        "they are special": after.decode(after.encode(span), skip_special_tokens=True) == "ab",
        "old text keeps its ids": before.encode(text) == after.encode(text),
        "no tensor is missing or unexpected": not any(info.values()),
        "config and tables have one size": new.config.text_config.vocab_size == vocabulary
        and all(table.shape[0] == vocabulary for table in tables_of(new, case)),
        "old rows keep their bits": all(
            torch.equal(was[kept], now[kept])
            for was, now in zip(tables_of(old, case), tables_of(new, case), strict=True)
        ),
        "old logits are equal": torch.equal(old_logits[mask][:, kept], new_logits[mask][:, kept]),
        "dtype is kept": stored == {torch.bfloat16},
        "we read what they save": forward.returncode == 0
        and (ours[mask] - new_logits[mask]).abs().max().item() < LOGITS_TOLERANCE,
        "we know the tokens they save": repeated.returncode == 3
        and all(f"{t} {i}" in repeated.stderr for t, i in zip(LATENT_TOKENS, ids, strict=True)),
    }


def main() -> int:
    """Parses the command line, runs, reports."""
    parser = argparse.ArgumentParser(prog="tokens_roundtrip", description=__doc__.splitlines()[0])
    parser.add_argument("--cli", default=f"node {ROOT}/dist/cli/main.js", help="our CLI")
    cli = parser.parse_args().cli
    passed = failed = 0
    for case in CASES:
        with tempfile.TemporaryDirectory() as scratch:
            checks = check(case, cli, Path(scratch))
        faults = [what for what, holds in checks.items() if not holds]
        passed, failed = passed + len(checks) - len(faults), failed + len(faults)
        print(f"{case.name}: {'; '.join(faults) or 'all equal'}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
