"""Times the original's training step for bench/step.ts; last line JSON.

python step_speed.py MODEL BATCH WORK   one process, one model, one batch, one thread count

The vision tower is frozen and runs once; a step is the forward pass of decoder and head, the backward
pass, clipping and AdamW, whose fused form is the fastest there is. Variants: eager, compile (warm-up
not counted), labelled (eager, with logits at labelled positions only).
"""

import json
import sys
import time

import torch
import transformers
from safetensors.torch import load_file
from transformers import Qwen2_5_VLForConditionalGeneration


def peak_bytes():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def prepare(model, batch):
    """Returns what a step reads: ids, picture rows and where they go, positions, labels."""
    ids = batch["input_ids"]
    is_picture = ids == model.config.image_token_id
    with torch.no_grad():
        found = model.model.visual(batch["pixel_values"], grid_thw=batch["image_grid_thw"])
        positions, _ = model.model.get_rope_index(
            ids,
            mm_token_type_ids=is_picture.int(),
            image_grid_thw=batch["image_grid_thw"],
            attention_mask=torch.ones_like(ids),
        )
    return ids, found.pooler_output.clone(), is_picture[..., None], positions, batch["labels"]


def loss_of(model, ids, rows, is_picture, positions, labels):
    """The model's own forward pass and loss, pictures in place of their tokens."""
    embeds = model.get_input_embeddings()(ids)
    embeds = embeds.masked_scatter(is_picture.expand_as(embeds), rows)
    return model(inputs_embeds=embeds, position_ids=positions, labels=labels, use_cache=False).loss


def labelled_loss_of(model, ids, rows, is_picture, positions, labels):
    """The same loss without logits that nothing is compared with."""
    embeds = model.get_input_embeddings()(ids)
    embeds = embeds.masked_scatter(is_picture.expand_as(embeds), rows)
    text = model.model.language_model
    states = text(inputs_embeds=embeds, position_ids=positions, use_cache=False).last_hidden_state
    targets = labels[:, 1:]
    kept = targets != -100
    logits = model.lm_head(states[:, :-1][kept])
    return torch.nn.functional.cross_entropy(logits, targets[kept])


def measure(folder, batch_path, work, settings):
    start = time.perf_counter()
    transformers.utils.logging.disable_progress_bar()
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).train()
    inputs = prepare(model, load_file(batch_path))
    model.model.visual.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained,
        lr=settings["learningRate"],
        betas=(settings["beta1"], settings["beta2"]),
        eps=settings["epsilon"],
        weight_decay=settings["weightDecay"],
        fused=True,
    )
    call = labelled_loss_of if work["variant"] == "labelled" else loss_of
    if work["variant"] == "compile":
        call = torch.compile(call, dynamic=False)

    losses, laps, cpu_laps, start_ms = [], [], [], 0.0
    for index in range(work["warmSteps"] + work["repeats"]):
        wall, cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        loss = call(model, *inputs)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, settings["clipNorm"])
        optimizer.step()
        losses.append(loss.item())
        lap, cpu_lap = time.perf_counter() - wall, time.process_time() - cpu
        if index == 0:
            start_ms = 1000 * (time.perf_counter() - start)
        if index >= work["warmSteps"]:
            laps.append(1000 * lap)
            cpu_laps.append(1000 * cpu_lap)
    about = {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "attention": model.config._attn_implementation,
        "trained": sum(p.numel() for p in trained),
    }
    return {
        "stepMs": laps,
        "cpuMs": cpu_laps,
        "losses": losses,
        "startMs": start_ms,
        "peakBytes": peak_bytes(),
        "about": about,
    }


if __name__ == "__main__":
    asked = json.loads(sys.argv[3])
    torch.set_num_threads(asked["threads"])
    print(json.dumps(measure(sys.argv[1], sys.argv[2], asked, json.loads(sys.argv[4]))))
