"""Writes test/unit/generate/data/sampling.json: what the original's logits processors leave.

Usage: tools/reference/.venv/bin/python tools/reference/sampling_goldens.py
The processors are those that `generate` itself puts together from a generation config.
"""

import json
import random
from pathlib import Path

import torch
from transformers import GenerationConfig

import original
from cases import random_case

FILE = Path(__file__).resolve().parents[2] / "test/unit/generate/data/sampling.json"
NUM_CASES = 48
VOCAB = 40


def golden(model: original.Model, draw: random.Random, generator: torch.Generator) -> dict:
    """Returns one case: random logits, settings, and the log-probabilities after the processors."""
    seen = [draw.randrange(VOCAB) for _ in range(draw.randint(1, 12))]
    suppressed = sorted(draw.sample(range(VOCAB), draw.choice([0, 0, 3])))
    logits = torch.randn(1, VOCAB, generator=generator) * draw.choice([1.0, 4.0])
    sampling = dict(
        temperature=draw.choice([1e-6, 0.7, 1.0, 1.5]),
        topK=draw.choice([0, 1, 5, 20, 50]),
        topP=draw.choice([0.001, 0.5, 0.8, 0.95, 1.0]),
        repetitionPenalty=draw.choice([1.0, 1.05, 1.3, 0.8]),
    )
    config = GenerationConfig(
        do_sample=True,
        temperature=sampling["temperature"],
        top_k=sampling["topK"],
        top_p=sampling["topP"],
        repetition_penalty=sampling["repetitionPenalty"],
        suppress_tokens=suppressed or None,
    )
    input_ids = torch.tensor([seen])
    processors = model._get_logits_processor(
        generation_config=config,
        input_ids_seq_length=len(seen),
        encoder_input_ids=input_ids,
        logits_processor=[],
        device="cpu",
        model_kwargs={},
    )
    scores = processors(input_ids, logits.clone())
    logs = torch.log_softmax(scores.double(), dim=-1)[0].tolist()
    return dict(
        logits=logits[0].tolist(),
        seen=seen,
        suppressed=suppressed,
        sampling=sampling,
        logProbabilities=[None if x == float("-inf") else x for x in logs],
    )


def main() -> None:
    """Draws the cases and writes the file."""
    draw = random.Random(7)
    generator = torch.Generator().manual_seed(7)
    config = original.Qwen2_5_VLConfig(**original.nested_config(random_case("any", 1)))
    model = original.Model(config)
    cases = [golden(model, draw, generator) for _ in range(NUM_CASES)]
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(cases) + "\n")
    print(f"wrote {len(cases)} cases to {FILE}")


if __name__ == "__main__":
    main()
