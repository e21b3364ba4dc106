"""Times the Rust tokenizers for bench/tokenize.ts, or fetches the vocabulary; last line JSON.

python tokenize_speed.py WORK
"""

import json
import sys
import time
from pathlib import Path

from decode_speed import peak_bytes

MODULUS = 1_000_003


def checksum(rows):
    count, total = 0, 0
    for ids in rows:
        for token in ids:
            count += 1
            total = (total * 31 + token) % MODULUS
    return [count, total]


def main(work):
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(Path(work["vocabulary"], "tokenizer.json")))
    warm, rows = (json.loads(Path(work[name]).read_text()) for name in ("warm", "rows"))

    def encode(texts):
        before = time.perf_counter()
        if work.get("batch"):
            ids = [found.ids for found in tokenizer.encode_batch(texts, add_special_tokens=False)]
        else:
            ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        return ids, 1000 * (time.perf_counter() - before)

    encode(warm)
    ids, ms = encode(rows)
    times = {"new": [ms], "again": [encode(rows)[1] for _ in range(work["again"])]}
    check = checksum(ids)
    about = {"tokenizers": tokenizers.__version__}
    return {
        "ms": times,
        "check": {"new": check, "again": check},
        "peakBytes": peak_bytes(),
        "about": about,
    }


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    if asked.get("fetch"):
        import tokens

        tokens.fetch()
        print(json.dumps(str(tokens.FOLDER)))
    else:
        print(json.dumps(main(asked)))
