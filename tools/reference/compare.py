"""Compares what our CLI computed with the original, tensor by tensor. Used by parity.py."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

TINY = 1e-12  # keeps a tensor of zeros from dividing by zero
EQUAL, ACTIVATION, GRADIENT, LOSSES = 0.0, 1e-4, 1e-3, 1e-3


@dataclass(frozen=True)
class Part:
    """A part of the reference, the file of ours that does the same, and the tensors that tell."""

    name: str
    theirs: str
    ours: str
    pattern: str
    tolerance: float


BLOCK, LAYER = r"gradient\.visual\.blocks\.\d+\.", r"gradient\.model\.layers\.\d+\."
PARTS = [
    Part("M-RoPE positions", "get_rope_index", "src/processor/positions.ts", "position_ids", EQUAL),
    Part(
        "vision tower",
        "Qwen2_5_VisionTransformerPretrainedModel",
        "src/model/vision.ts",
        "image_embeds",
        ACTIVATION,
    ),
    Part(
        "pictures among tokens",
        "Qwen2_5_VLModel.forward",
        "src/model/qwen.ts",
        r"hidden_states\.0",
        ACTIVATION,
    ),
    Part(
        "decoder layers, final norm",
        "Qwen2_5_VLTextModel",
        "src/model/decoder.ts",
        r"hidden_states\.\d+",
        ACTIVATION,
    ),
    Part("logits", "lm_head", "src/model/decoder.ts", "logits", ACTIVATION),
    Part("loss", "ForCausalLMLoss", "src/model/qwen.ts", "loss", ACTIVATION),
    Part(
        "gradient: patch embedding",
        "Qwen2_5_VisionPatchEmbed",
        "src/model/vision.ts",
        r"gradient\.visual\.patch_embed\..*",
        GRADIENT,
    ),
    Part(
        "gradient: vision attention",
        "Qwen2_5_VLVisionAttention",
        "src/model/vision.ts",
        BLOCK + r"attn\..*",
        GRADIENT,
    ),
    Part(
        "gradient: vision MLP", "Qwen2_5_VLMLP", "src/model/vision.ts", BLOCK + r"mlp\..*", GRADIENT
    ),
    Part(
        "gradient: vision norms",
        "Qwen2_5_VLRMSNorm",
        "src/model/vision.ts",
        BLOCK + r"norm\d\.weight",
        GRADIENT,
    ),
    Part(
        "gradient: merger",
        "Qwen2_5_VLPatchMerger",
        "src/model/vision.ts",
        r"gradient\.visual\.merger\..*",
        GRADIENT,
    ),
    Part(
        "gradient: token embedding (tied: and head)",
        "embed_tokens",
        "src/model/qwen.ts",
        r"gradient\.model\.embed_tokens\.weight",
        GRADIENT,
    ),
    Part(
        "gradient: decoder attention",
        "Qwen2_5_VLAttention",
        "src/model/decoder.ts",
        LAYER + r"self_attn\..*",
        GRADIENT,
    ),
    Part("gradient: decoder MLP", "Qwen2MLP", "src/model/decoder.ts", LAYER + r"mlp\..*", GRADIENT),
    Part(
        "gradient: decoder norms",
        "Qwen2_5_VLRMSNorm",
        "src/model/decoder.ts",
        r"gradient\.model\..*norm\.weight",
        GRADIENT,
    ),
    Part(
        "gradient: untied head",
        "lm_head",
        "src/model/decoder.ts",
        r"gradient\.lm_head\.weight",
        GRADIENT,
    ),
    Part("ten AdamW steps", "torch.optim.AdamW", "src/train/optimizer.ts", "adamw_losses", LOSSES),
]


@dataclass(frozen=True)
class Finding:
    """The worst tensor of one part in one configuration."""

    case: str
    part: str
    tensor: str
    error: float  # relative; infinite if the tensor is missing, misshapen or not finite
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.error <= self.tolerance


def part_of(name: str) -> Part | None:
    """Returns the first part whose pattern is the whole name."""
    return next((part for part in PARTS if re.fullmatch(part.pattern, name)), None)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Returns max|ours - theirs| / max(max|theirs|, TINY) in float64."""
    ours, theirs = ours.double(), theirs.double()
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp(min=TINY)).item()


def measure(name: str, ours: Tensor | None, theirs: Tensor, mask: Tensor) -> tuple[float, str]:
    """Returns the error of one tensor and why it cannot be compared, if so.

    `mask` [B, T] tells the attended positions; nothing is said about the others.
    """
    if ours is None:
        return float("inf"), "missing"
    if ours.numel() == theirs.numel() == 1:
        ours, theirs = ours.reshape(1), theirs.reshape(1)
    if ours.shape != theirs.shape:
        return float("inf"), f"shape {list(ours.shape)}, not {list(theirs.shape)}"
    if not ours.dtype.is_floating_point and ours.dtype != theirs.dtype:
        return float("inf"), f"dtype {ours.dtype}, not {theirs.dtype}"
    if not torch.isfinite(ours.double()).all():
        return float("inf"), "not finite"
    if name == "position_ids":
        wrong = int((ours != theirs)[:, mask].sum())
        return float(wrong), f"{wrong} differ" if wrong else ""
    if name == "adamw_losses":
        return max(relative_error(a, b) for a, b in zip(ours, theirs, strict=True)), ""
    if name == "logits" or name.startswith("hidden_states."):
        return relative_error(ours[mask], theirs[mask]), ""
    return relative_error(ours, theirs), ""


def compare(
    case: str, ours: dict[str, Tensor], theirs: dict[str, Tensor], mask: Tensor
) -> list[Finding]:
    """Returns the worst tensor of each part; every tensor of either side counts."""
    worst: dict[str, Finding] = {}
    for name in [*theirs, *(ours.keys() - theirs.keys())]:
        part = part_of(name)
        if part is None:
            finding = Finding(case, "unknown", name, float("inf"), 0.0, "no part has this name")
        elif name not in theirs:
            note = "not in the original"
            finding = Finding(case, part.name, name, float("inf"), part.tolerance, note)
        else:
            error, note = measure(name, ours.get(name), theirs[name], mask)
            finding = Finding(case, part.name, name, error, part.tolerance, note)
        known = worst.get(finding.part)
        if known is None or not finding.error <= known.error:
            worst[finding.part] = finding
    return list(worst.values())
