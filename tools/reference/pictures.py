"""Draws pictures of every kind that the product reads. Used by preprocess.py.

A drawing is smooth shapes with noise on them, so that resampling and chroma both have work to do.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Rng = np.random.Generator
ORIENTATION = 0x0112


def levels(rng: Rng, height: int, width: int, channels: int) -> np.ndarray:
    """Returns [height, width, channels] 8-bit levels."""
    small = rng.integers(0, 256, (height // 9 + 2, width // 9 + 2, channels), dtype=np.uint8)
    planes = [
        np.asarray(Image.fromarray(small[..., c]).resize((width, height), Image.Resampling.BICUBIC))
        for c in range(channels)
    ]
    noise = rng.integers(-24, 25, (height, width, channels))
    return np.clip(np.stack(planes, -1).astype(np.int64) + noise, 0, 255).astype(np.uint8)


def image(rng: Rng, height: int, width: int, mode: str = "RGB") -> Image.Image:
    """Returns a drawing in a mode whose bands are bytes."""
    data = levels(rng, height, width, len(Image.new(mode, (1, 1)).getbands()))
    return Image.frombytes(mode, (width, height), data.tobytes())


def chunk(name: bytes, data: bytes) -> bytes:
    """Returns one chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png16(path: Path, rng: Rng, height: int, width: int, channels: int) -> None:
    """Writes a PNG of 16 bits a channel, which Pillow cannot write for most modes."""
    wide = levels(rng, height, width, channels).astype(np.uint32) * 257
    wide = np.clip(wide + rng.integers(-200, 201, wide.shape), 0, 65535).astype(">u2")
    lines = b"".join(b"\0" + line.tobytes() for line in wide)
    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 1)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def gif_part(path: Path, rng: Rng, height: int, width: int) -> None:
    """Writes a GIF whose first frame is transparent in places and smaller than its canvas."""
    image(rng, height, width).quantize(64).save(path, transparency=5)
    data = bytearray(path.read_bytes())
    struct.pack_into("<HH", data, 6, width + 9, height + 6)
    at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    while data[at] == 0x21:
        at += 2
        while data[at]:
            at += data[at] + 1
        at += 1
    struct.pack_into("<HH", data, at + 1, 4, 2)
    path.write_bytes(data)


Draw = Callable[[Path, Rng, int, int], None]


def saved(mode: str = "RGB", **options: object) -> Draw:
    """Returns a kind that Pillow saves from a mode."""
    return lambda path, rng, h, w: image(rng, h, w, mode).save(path, **options)


def converted(mode: str, **options: object) -> Draw:
    """Returns a kind that is converted before it is saved."""
    return lambda path, rng, h, w: image(rng, h, w).convert(mode).save(path, **options)


def palette(colors: int, **options: object) -> Draw:
    """Returns a kind with a palette."""
    return lambda path, rng, h, w: image(rng, h, w).quantize(colors).save(path, **options)


def animated(colors: int = 0, **options: object) -> Draw:
    """Returns a kind with three frames."""

    def draw(path: Path, rng: Rng, h: int, w: int) -> None:
        frames = [image(rng, h, w) for _ in range(3)]
        if colors:
            frames = [frame.quantize(colors) for frame in frames]
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)

    return draw


def oriented(path: Path, rng: Rng, height: int, width: int) -> None:
    """Writes a picture with one of the EXIF orientations 2 to 8."""
    exif = Image.Exif()
    exif[ORIENTATION] = int(rng.integers(2, 9))
    options = {"lossless": True} if path.suffix == ".webp" else {}
    image(rng, height, width).save(path, exif=exif, **options)


def grey16(path: Path, rng: Rng, height: int, width: int) -> None:
    """Writes 16-bit grey, part of it below 256."""
    wide = levels(rng, height, width, 1)[..., 0].astype(np.uint16) * np.uint16(5)
    Image.fromarray(wide).save(path)


def keyed(mode: str) -> Draw:
    """Returns a kind with the color of its first pixel declared transparent."""

    def draw(path: Path, rng: Rng, h: int, w: int) -> None:
        picture = image(rng, h, w, mode)
        picture.save(path, transparency=picture.getpixel((0, 0)))

    return draw


def wide(channels: int) -> Draw:
    """Returns a kind of PNG with 16 bits a channel."""
    return lambda path, rng, h, w: png16(path, rng, h, w, channels)


# Kind, ending, how it is drawn. Kinds of lossy formats stand apart: their decoders could differ.
KINDS: list[tuple[str, str, Draw]] = [
    ("PNG, RGB", "png", saved()),
    ("PNG, RGBA", "png", saved("RGBA")),
    ("PNG, grey", "png", saved("L")),
    ("PNG, grey with alpha", "png", saved("LA")),
    ("PNG, 1 bit", "png", converted("1")),
    ("PNG, palette", "png", palette(200)),
    ("PNG, palette of 4 bits", "png", palette(16, bits=4)),
    ("PNG, palette, transparent color", "png", palette(64, transparency=5)),
    ("PNG, palette with alpha", "png", palette(64, transparency=bytes(range(64)))),
    ("PNG, transparent color", "png", keyed("RGB")),
    ("PNG, transparent grey", "png", keyed("L")),
    ("PNG, EXIF orientation", "png", oriented),
    ("PNG, animated", "png", animated()),
    ("PNG, 16-bit grey", "png", grey16),
    ("PNG, 16-bit grey with alpha", "png", wide(2)),
    ("PNG, 16-bit RGB", "png", wide(3)),
    ("PNG, 16-bit RGBA", "png", wide(4)),
    ("GIF", "gif", palette(64)),
    ("GIF, transparent", "gif", palette(64, transparency=5)),
    ("GIF, animated, transparent", "gif", animated(32, transparency=3, disposal=2)),
    ("GIF, frame within canvas", "gif", gif_part),
    ("TIFF, RGB", "tif", saved(compression="tiff_lzw")),
    ("TIFF, CMYK", "tif", saved("CMYK")),
    ("TIFF, 16-bit grey", "tif", grey16),
    ("TIFF, EXIF orientation", "tif", oriented),
    ("WebP, lossless", "webp", saved(lossless=True)),
    ("WebP, lossless, animated", "webp", animated(lossless=True)),
    ("WebP, EXIF orientation", "webp", oriented),
    ("WebP, lossy", "webp", saved(quality=70)),
    ("WebP, lossy with alpha", "webp", saved("RGBA", quality=70)),
    ("JPEG, 4:4:4", "jpg", saved(quality=92, subsampling=0)),
    ("JPEG, 4:2:2", "jpg", saved(quality=75, subsampling=1)),
    ("JPEG, 4:2:0", "jpg", saved(quality=75, subsampling=2)),
    ("JPEG, 4:2:0, progressive", "jpg", saved(quality=60, subsampling=2, progressive=True)),
    ("JPEG, 4:4:4, progressive", "jpg", saved(quality=95, subsampling=0, progressive=True)),
    ("JPEG, grey", "jpg", saved("L", quality=80)),
    ("JPEG, CMYK", "jpg", saved("CMYK", quality=80)),
    ("JPEG, EXIF orientation", "jpg", oriented),
    ("AVIF", "avif", saved(quality=70)),
]
# Width, height: on a multiple of 28, beside it, at halves, narrow, small, large.
SIZES = [(224, 168), (97, 61), (42, 70), (610, 40), (23, 17), (333, 500), (64, 64)]


def draw_all(folder: Path, seed: int) -> list[tuple[str, Path]]:
    """Draws every kind in every size, the sizes shaken by the seed; returns kinds and files."""
    found = []
    for k, (kind, ending, draw) in enumerate(KINDS):
        for s, (width, height) in enumerate(SIZES):
            rng = np.random.default_rng([seed, k, s])
            dx, dy = rng.integers(0, 8, 2) if s else (0, 0)
            path = folder / f"{k:02}-{s}.{ending}"
            draw(path, rng, height + int(dy), width + int(dx))
            found.append((kind, path))
    return found
