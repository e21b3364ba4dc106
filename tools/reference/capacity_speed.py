"""Times sampled answers by the original's generate() for bench/capacity.ts; last line JSON.

python capacity_speed.py WORK
"""

import json
import sys
import time

import torch
import transformers
from decode_speed import peak_bytes
from safetensors.torch import load_file
from transformers import Qwen2_5_VLForConditionalGeneration


def main(work):
    transformers.utils.logging.disable_progress_bar()
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(work["model"], dtype=torch.float32)
    model = model.eval()
    tensors = load_file(work["prompts"])
    image = model.config.image_token_id
    patches = tensors["image_grid_thw"].prod(1).cumsum(0)

    def sample(count, seed):
        torch.manual_seed(seed)
        input_ids = tensors["input_ids"][:count]
        out = model.generate(
            input_ids=input_ids,
            attention_mask=tensors["attention_mask"][:count],
            # Without these types transformers 5 takes plain 0..T-1 positions, silently.
            mm_token_type_ids=(input_ids == image).int(),
            pixel_values=tensors["pixel_values"][: patches[count - 1]],
            image_grid_thw=tensors["image_grid_thw"][:count],
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=work["samples"],
            max_new_tokens=work["newTokens"],
            eos_token_id=None,
            pad_token_id=0,
        )
        assert out.shape == (count * work["samples"], input_ids.shape[1] + work["newTokens"])

    times = {}
    for name in work["cases"]:
        count = int(name)
        sample(count, 0)
        times[name] = []
        for call in range(work["calls"][name]):
            before = time.perf_counter()
            sample(count, call + 1)
            times[name].append(1000 * (time.perf_counter() - before) / count)
    about = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "attention": model.config._attn_implementation,
    }
    return {"ms": times, "peakBytes": peak_bytes(), "about": about}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    with torch.inference_mode():
        print(json.dumps(main(asked)))
