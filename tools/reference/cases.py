"""What is compared: small Qwen2.5-VL configurations and batches, drawn at random by kind.

Used by parity.py and goldens.py. A batch is a list of rows; a row is a list of stretches, each a
number of text tokens or a picture given as (height, width) in merged tokens.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

Row = list[int | tuple[int, int]]
Fix = Callable[["Case", random.Random], "Case"]

# The last ids of every vocabulary; 0 is padding, the rest between them are words.
NUM_SPECIAL = 4  # image, video, vision start, vision end


@dataclass(frozen=True)
class Case:
    """One configuration with one batch. Sizes of the vision tower end in `_V`."""

    name: str
    seed: int
    rows: list[Row]
    padding: str = "left"  # or "right"
    tied: bool = False
    flat_config: bool = False  # config.json as published checkpoints have it
    sharded: bool = False
    vocab: int = 96
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 8
    ff: int = 48
    layers: int = 2
    mrope_section: list[int] = field(default_factory=lambda: [2, 1, 1])
    rope_theta: float = 10_000.0
    rms_eps: float = 1e-6
    heads_V: int = 2
    head_dim_V: int = 16
    ff_V: int = 40
    depth_V: int = 2
    patch: int = 4
    merge: int = 2
    temporal: int = 2
    window: int = 2  # side of a window in merged tokens
    window_slack: int = 0  # pixels that window_size has beyond `window` merged tokens
    full_blocks: list[int] = field(default_factory=lambda: [1])
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01

    @property
    def hidden(self) -> int:
        """The decoder's width."""
        return self.heads * self.head_dim

    @property
    def image_id(self) -> int:
        """The first of the special ids."""
        return self.vocab - NUM_SPECIAL

    def summary(self) -> str:
        """One line for the tables."""
        rows = " / ".join(
            "+".join(str(s) if isinstance(s, int) else f"[{s[0]}x{s[1]}]" for s in row)
            for row in self.rows
        )
        head = "tied" if self.tied else "untied"
        config = "flat config" if self.flat_config else "nested config"
        return (
            f"rows {rows}, pad {self.padding}; decoder {self.layers} layers, "
            f"{self.heads}/{self.kv_heads} heads of {self.head_dim}, "
            f"sections {self.mrope_section}, {head}; vision {self.depth_V} blocks, "
            f"full {self.full_blocks}, {self.heads_V} heads of {self.head_dim_V}, "
            f"patch {self.patch}, merge {self.merge}, window {self.window}; "
            f"{config}{', sharded' if self.sharded else ''}; "
            f"AdamW betas {self.betas[0]} {self.betas[1]}, decay {self.weight_decay}"
        )


def random_case(name: str, seed: int) -> Case:
    """Draws every size of a configuration and a batch of one to three rows."""
    draw = random.Random(seed)
    ratio, kv_heads = draw.choice([(1, 3), (1, 4), (2, 1), (2, 2), (3, 1), (4, 1), (7, 1)])
    half = draw.choice([3, 4, 5, 6, 8])
    first, second = sorted(draw.sample(range(1, half), 2))
    depth_V = draw.randint(1, 4)
    patch = draw.choice([2, 4, 5, 8])
    rows = [random_row(draw) for _ in range(draw.randint(1, 3))]
    return Case(
        name=name,
        seed=seed,
        rows=rows,
        padding=draw.choice(["left", "left", "right"]),
        tied=draw.random() < 0.5,
        flat_config=draw.random() < 0.5,
        sharded=draw.random() < 0.3,
        vocab=draw.randint(60, 140),
        heads=ratio * kv_heads,
        kv_heads=kv_heads,
        head_dim=2 * half,
        ff=draw.randint(20, 90),
        layers=draw.randint(1, 4),
        mrope_section=[first, second - first, half - second],
        rope_theta=draw.choice([10.0, 10_000.0, 1_000_000.0]),
        rms_eps=draw.choice([1e-6, 1e-3, 0.05]),  # large ones show where another is used
        heads_V=draw.randint(1, 4),
        head_dim_V=draw.choice([4, 8, 12, 16]),
        ff_V=draw.randint(20, 70),
        depth_V=depth_V,
        patch=patch,
        merge=draw.choice([2, 2, 2, 3]),
        temporal=draw.choice([2, 2, 1]),
        window=draw.randint(1, 4),
        window_slack=draw.choice([0, 0, patch - 1]),
        full_blocks=sorted(draw.sample(range(depth_V), draw.randint(0, depth_V))),
        betas=draw.choice([(0.9, 0.999), (0.8, 0.95)]),
        weight_decay=draw.choice([0.01, 10.0]),  # the small one alone hardly moves a loss
    )


def random_row(draw: random.Random) -> Row:
    """Draws text, a picture, text."""
    return [draw.randint(1, 5), (draw.randint(1, 6), draw.randint(1, 6)), draw.randint(3, 9)]


NUM_FREE = 2  # configurations by default beyond the kinds


def parity_cases(seed: int, count: int) -> Iterator[Case]:
    """Yields `count` cases: the kinds that must be covered first, then whatever is drawn."""
    for index in range(count):
        case_seed = seed * 1000 + index
        draw = random.Random(f"kind {case_seed}")
        if index >= len(KINDS):
            yield random_case(f"free {index - len(KINDS) + 1}", case_seed)
            continue
        name, fix = KINDS[index]
        yield fix(random_case(name, case_seed), draw)


def unfilled(case: Case, draw: random.Random) -> Case:
    """A picture of several windows whose last row and column of windows are not full."""
    window = draw.choice([2, 3])
    sides = [window * draw.randint(1, 2) + draw.randint(1, window - 1) for _ in range(2)]
    depth_V = draw.randint(2, 3)
    return replace(
        case,
        window=window,
        rows=[[3, (sides[0], sides[1]), 6], *case.rows[:1]],
        depth_V=depth_V,
        full_blocks=[draw.randrange(depth_V)],
    )


def filled(case: Case, draw: random.Random) -> Case:
    """Windows that fit exactly, and a picture smaller than one window; padding on the right."""
    window = draw.choice([2, 3])
    rows: list[Row] = [[2, (2 * window, window), 5], [4, (1, 1), 3]]
    return replace(case, rows=rows, padding="right", window=window, full_blocks=[])


def two_pictures(case: Case, draw: random.Random) -> Case:
    """Two pictures of different size in one row, one in the next."""
    height, width = draw.randint(2, 4), draw.randint(2, 4)
    row: Row = [2, (height, width), draw.randint(0, 2), (height + 1, draw.randint(1, 5)), 5]
    return replace(case, rows=[row, random_row(draw)])


def text_row(case: Case, draw: random.Random) -> Case:
    """A row without a picture between two rows with one."""
    return replace(case, rows=[random_row(draw), [draw.randint(4, 30)], random_row(draw)])


def left_padded(case: Case, draw: random.Random) -> Case:
    """Three rows of very different length, padded on the left."""
    rows: list[Row] = [[1, (1, 2), 3], [5, (4, 5), 9], [2, (2, 3), 4]]
    return replace(case, rows=rows, padding="left")


def grouped(ratio: int, kv_heads: int, tied: bool) -> Fix:
    """Returns a function that fixes the number of query heads a key head serves, and the tying."""

    def fix(case: Case, draw: random.Random) -> Case:
        return replace(case, heads=ratio * kv_heads, kv_heads=kv_heads, tied=tied)

    return fix


KINDS: list[tuple[str, Fix]] = [
    ("unfilled windows", unfilled),
    ("unfilled windows, again", unfilled),
    ("exact and single windows", filled),
    ("GQA ratio 1, untied", grouped(1, 3, tied=False)),
    ("GQA ratio 2, tied", grouped(2, 2, tied=True)),
    ("GQA ratio 7, untied", grouped(7, 1, tied=False)),
    ("GQA ratio 7, tied", grouped(7, 2, tied=True)),
    ("two pictures in a row", two_pictures),
    ("text-only row", text_row),
    ("left padding", left_padded),
]
