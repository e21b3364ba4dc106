"""The judge: Hugging Face's Qwen2.5-VL, built from a case, run, and its results by name.

Used by goldens.py and parity.py. Everything is float32 on the CPU with eager attention.
"""

import json
import logging
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers
from safetensors import safe_open
from torch import Tensor
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from cases import Case

logging.getLogger("transformers").setLevel(logging.ERROR)
transformers.utils.logging.disable_progress_bar()
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)

Model = Qwen2_5_VLForConditionalGeneration
Tensors = dict[str, Tensor]

LEARNING_RATE = 1e-3
EPSILON = 1e-8
ADAMW_STEPS = 10
NUM_SHARDS = 3
VECTOR_STD = 0.2


def save_model(case: Case, folder: Path) -> None:
    """Writes a checkpoint with random weights, norms and biases included so that nothing hides."""
    model = Model(Qwen2_5_VLConfig(**nested_config(case)))
    generator = torch.Generator().manual_seed(case.seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
            else:
                # Norms start at one and biases at zero; both get the same spread.
                parameter.add_(noise * VECTOR_STD)
    size = sum(parameter.numel() * 4 for parameter in model.parameters())
    shard = f"{size // NUM_SHARDS // 1000 + 1}KB" if case.sharded else "5GB"
    model.save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if case.flat_config:
        (folder / "config.json").write_text(json.dumps(flat_config(case), indent=2) + "\n")


def load_model(folder: Path) -> Model:
    """Loads a checkpoint as Hugging Face reads it."""
    model = Model.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def text_config(case: Case) -> dict:
    """Returns the decoder's settings under the names that both layouts of config.json share."""
    return dict(
        vocab_size=case.vocab,
        hidden_size=case.hidden,
        intermediate_size=case.ff,
        num_hidden_layers=case.layers,
        num_attention_heads=case.heads,
        num_key_value_heads=case.kv_heads,
        rms_norm_eps=case.rms_eps,
        max_position_embeddings=4096,
        hidden_act="silu",
        use_sliding_window=False,
        bos_token_id=None,
        eos_token_id=None,
    )


def vision_config(case: Case) -> dict:
    """Returns the vision tower's settings."""
    return dict(
        depth=case.depth_V,
        hidden_size=case.heads_V * case.head_dim_V,
        intermediate_size=case.ff_V,
        num_heads=case.heads_V,
        out_hidden_size=case.hidden,
        patch_size=case.patch,
        spatial_merge_size=case.merge,
        temporal_patch_size=case.temporal,
        window_size=case.window * case.merge * case.patch + case.window_slack,
        fullatt_block_indexes=case.full_blocks,
        hidden_act="silu",
        tokens_per_second=2,
    )


def special_ids(case: Case) -> dict:
    """Returns the ids of the tokens around pictures."""
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return {name: case.image_id + index for index, name in enumerate(names)}


def nested_config(case: Case) -> dict:
    """Returns the settings as today's transformers writes them: the decoder in `text_config`."""
    rope = dict(rope_type="default", rope_theta=case.rope_theta, mrope_section=case.mrope_section)
    return dict(
        text_config=text_config(case) | dict(rope_parameters=rope),
        vision_config=vision_config(case),
        tie_word_embeddings=case.tied,
        **special_ids(case),
    )


def flat_config(case: Case) -> dict:
    """Returns the settings as the published checkpoints have them: the decoder at the root."""
    return (
        text_config(case)
        | special_ids(case)
        | dict(
            architectures=["Qwen2_5_VLForConditionalGeneration"],
            model_type="qwen2_5_vl",
            rope_theta=case.rope_theta,
            tie_word_embeddings=case.tied,
            torch_dtype="float32",
            rope_scaling=dict(type="mrope", mrope_section=case.mrope_section),
            vision_config=vision_config(case) | dict(in_chans=3, spatial_patch_size=case.patch),
        )
    )


def make_inputs(case: Case) -> Tensors:
    """Draws token ids, pixels and labels for the rows of a case."""
    generator = torch.Generator().manual_seed(case.seed + 1)
    image, start, end = case.image_id, case.image_id + 2, case.image_id + 3
    rows: list[list[int]] = []
    grids: list[list[int]] = []
    for row in case.rows:
        ids: list[int] = []
        for stretch in row:
            if isinstance(stretch, int):
                ids += torch.randint(1, image, (stretch,), generator=generator).tolist()
            else:
                ids += [start, *[image] * (stretch[0] * stretch[1]), end]
                grids.append([1, stretch[0] * case.merge, stretch[1] * case.merge])
        rows.append(ids)
    length = max(map(len, rows))
    before = [length - len(ids) if case.padding == "left" else 0 for ids in rows]
    input_ids = torch.zeros(len(rows), length, dtype=torch.int64)
    attention_mask = torch.zeros_like(input_ids)
    for index, ids in enumerate(rows):
        span = slice(before[index], before[index] + len(ids))
        input_ids[index, span] = torch.tensor(ids)
        attention_mask[index, span] = 1
    image_grid_thw = torch.tensor(grids)
    pixels = 3 * case.temporal * case.patch**2
    labelled = torch.rand(input_ids.shape, generator=generator) < 0.7
    labelled &= (attention_mask == 1) & (input_ids != image)
    labelled[:, -1] |= attention_mask[:, -1] == 1
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "pixel_values": torch.randn(int(image_grid_thw.prod(1).sum()), pixels, generator=generator),
        "image_grid_thw": image_grid_thw,
        "labels": torch.where(labelled, input_ids, -100),
    }


def saved_name(name: str) -> str:
    """Returns the name under which a parameter of the model in memory stands in the checkpoint."""
    return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")


def checkpoint_names(folder: Path) -> set[str]:
    """Returns the names of all tensors in a checkpoint's files."""
    names: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            names |= set(tensors.keys())
    return names


def run(case: Case, model: Model, inputs: Tensors) -> Tensors:
    """Returns positions, activations, loss, gradients and the losses of ten AdamW steps by name.

    The weights are changed by the steps.
    """
    # Without these types transformers 5 takes plain 0..T-1 positions, silently.
    types = (inputs["input_ids"] == model.config.image_token_id).int()
    feeds = dict(inputs, mm_token_type_ids=types, use_cache=False)
    positions, _ = model.model.get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=types,
        image_grid_thw=inputs["image_grid_thw"],
        attention_mask=inputs["attention_mask"],
    )
    with torch.no_grad():
        embeds = model.model.visual(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"])
    model.zero_grad(set_to_none=True)
    outputs = model(**feeds, output_hidden_states=True)
    outputs.loss.backward()
    expected = {"position_ids": positions, "image_embeds": embeds.pooler_output}
    expected |= {f"hidden_states.{i}": state for i, state in enumerate(outputs.hidden_states)}
    expected |= {"logits": outputs.logits, "loss": outputs.loss.reshape(1)}
    for name, parameter in model.named_parameters():
        expected[f"gradient.{saved_name(name)}"] = parameter.grad
    expected["adamw_losses"] = adamw_losses(case, model, feeds)
    return {name: tensor.detach().clone().contiguous() for name, tensor in expected.items()}


def adamw_losses(case: Case, model: Model, feeds: dict) -> Tensor:
    """Trains on one batch and returns the loss before each step."""
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=LEARNING_RATE,
        betas=case.betas,
        eps=EPSILON,
        weight_decay=case.weight_decay,
    )
    losses = []
    for _ in range(ADAMW_STEPS):
        optimizer.zero_grad()
        loss = model(**feeds).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)
