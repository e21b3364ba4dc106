"""Times the original's decoding for bench/decode.ts, or the machine's ceiling; last line JSON.

python decode_speed.py FOLDER WORK   one process, one checkpoint, one thread count
python decode_speed.py ceiling WORK  bandwidth of reading memory, and speed of a matrix product, for
                                     every thread count of WORK
"""

import json
import sys
import time

import torch

SIDE = 2048
READ_BYTES = 1 << 29
CALLS = 5


def peak_bytes():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def respond(model, prompt, new_tokens):
    """A greedy response, written by hand: nothing but the decoder, the head and the largest logit."""
    from transformers import DynamicCache

    decoder, head = model.model.language_model, model.lm_head
    cache = DynamicCache(config=decoder.config)
    ids, laps, fed = [], [], prompt
    before = time.perf_counter()
    while len(ids) < new_tokens:
        out = decoder(input_ids=fed, past_key_values=cache, use_cache=True)
        fed = head(out.last_hidden_state[:, -1:]).argmax(-1)
        ids.append(int(fed))
        now = time.perf_counter()
        laps.append(1000 * (now - before))
        before = now
    return {"firstMs": laps[0], "stepMs": laps[1:], "ids": ids}


def generate(model, prompt, new_tokens):
    """The same response by generate(): milliseconds."""
    before = time.perf_counter()
    out = model.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        do_sample=False,
    )
    assert out.shape[1] == prompt.shape[1] + new_tokens
    return 1000 * (time.perf_counter() - before)


def measure(folder, work):
    import transformers
    from transformers import Qwen2_5_VLForConditionalGeneration

    transformers.utils.logging.disable_progress_bar()
    before = time.perf_counter()
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    load_ms = 1000 * (time.perf_counter() - before)
    prompt = torch.tensor([work["promptIds"]])
    with torch.inference_mode():
        respond(model, prompt[:, : work["warmPrompt"]], work["warmTokens"])
        responses = [respond(model, prompt, work["newTokens"]) for _ in range(work["repeats"])]
        peak = peak_bytes()
        generated = generate(model, prompt, work["newTokens"])
    about = {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "attention": model.config._attn_implementation,
        "generateMs": generated,
    }
    return {"loadMs": load_ms, "peakBytes": peak, "responses": responses, "about": about}


def fastest(call):
    times = []
    for _ in range(CALLS + 1):
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return min(times[1:])


def ceiling(threads):
    torch.set_num_threads(threads)
    flat = torch.ones(READ_BYTES // 4)
    matrix, vector = flat.view(-1, SIDE), torch.ones(SIDE)
    seconds = min(fastest(lambda: flat.sum()), fastest(lambda: torch.mv(matrix, vector)))
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    return {
        "threads": threads,
        "readGBs": READ_BYTES / seconds / 1e9,
        "gflops": 2 * SIDE**3 / fastest(lambda: torch.mm(a, b)) / 1e9,
    }


if __name__ == "__main__":
    target, work = sys.argv[1], json.loads(sys.argv[2])
    with torch.inference_mode():
        if target == "ceiling":
            result = [ceiling(threads) for threads in work["threads"]]
        else:
            torch.set_num_threads(work["threads"])
            result = measure(target, work)
    print(json.dumps(result))
