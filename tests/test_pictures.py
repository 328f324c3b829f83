"""Pictures from outside: shown as their maker meant them, or refused in one sentence, never a crash."""

from __future__ import annotations

import io
import os
import random
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import ImageDraw

from fusion.encoders.pictures import FORMATS, SIDE, open_bytes, open_picture, thumbnail
from fusion.types import FusionError, Image


def scene(width: int = 90, height: int = 60) -> PIL.Image.Image:
    """Red on the left, blue below on the right, green above."""
    picture = PIL.Image.new("RGB", (width, height), (0, 160, 0))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, width // 3, height), fill=(220, 0, 0))
    draw.rectangle((width // 2, height // 2, width, height), fill=(0, 0, 220))
    return picture


def packed(picture: PIL.Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def near(picture: PIL.Image.Image, x: float, y: float, colour: tuple[int, int, int], slack: int = 45) -> bool:
    """Whether the pixel at a share of width and height has about that colour."""
    found = picture.getpixel((int(x * (picture.width - 1)), int(y * (picture.height - 1))))
    return all(abs(a - b) <= slack for a, b in zip(found, colour, strict=True))  # type: ignore[arg-type]


def is_scene(picture: PIL.Image.Image) -> bool:
    return (
        near(picture, 0.1, 0.5, (220, 0, 0))
        and near(picture, 0.8, 0.9, (0, 0, 220))
        and near(picture, 0.8, 0.1, (0, 160, 0))
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_opens_upright_in_rgb(kind: str) -> None:
    made = open_bytes(packed(scene(), kind), f"scene.{kind.lower()}")
    assert made.mode == "RGB"
    assert made.size == (90, 60)
    assert is_scene(made)


def test_the_content_counts_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "holiday.png"
    path.write_bytes(packed(scene(), "JPEG", quality=95))
    assert is_scene(open_picture(Image(path=path)))
    assert is_scene(Image(data=path.read_bytes()).open())


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_camera_held_any_way_gives_an_upright_picture(turn: int) -> None:
    """Store the scene as a camera held that way would, and its tag."""
    undo = {
        2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
        3: PIL.Image.Transpose.ROTATE_180,
        4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
        5: PIL.Image.Transpose.TRANSPOSE,
        6: PIL.Image.Transpose.ROTATE_90,
        7: PIL.Image.Transpose.TRANSVERSE,
        8: PIL.Image.Transpose.ROTATE_270,
    }
    stored = scene() if turn == 1 else scene().transpose(undo[turn])
    exif = PIL.Image.Exif()
    exif[0x0112] = turn
    made = open_bytes(packed(stored, "JPEG", exif=exif, quality=95))
    assert made.size == (90, 60)
    assert is_scene(made)


def test_cmyk_keeps_its_colours() -> None:
    made = open_bytes(packed(scene().convert("CMYK"), "JPEG", quality=95))
    assert made.mode == "RGB"
    assert is_scene(made)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_mode_of_png_opens(mode: str) -> None:
    made = open_bytes(packed(scene().convert("L").convert("I;16") if mode == "I;16" else scene().convert(mode), "PNG"))
    assert (made.mode, made.size) == ("RGB", (90, 60))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_cut_off(kind: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    made = np.asarray(open_bytes(packed(PIL.Image.fromarray(ramp), kind)))
    assert made.shape == (4, 256, 3)
    assert np.abs(made[0, :, 0].astype(int) - np.arange(256)).max() <= 1
    dark = np.asarray(open_bytes(packed(PIL.Image.fromarray(ramp[:, :64]), kind)))
    assert np.array_equal(dark, made[:, :64])  # a dark picture stays dark


def test_numbers_without_a_range_are_stretched() -> None:
    for values in (np.array([[-5.0, 0.0, np.nan, 5.0]], np.float32), np.array([[-70000, 0, 0, 70000]], np.int32)):
        made = np.asarray(open_bytes(packed(PIL.Image.fromarray(values), "TIFF")))[0, :, 0].tolist()
        assert (made[0], made[3]) == (0, 255)
        assert abs(made[1] - 128) <= 1
    unit = np.array([[0.0, 0.5, 1.0]], np.float32)
    made = np.asarray(open_bytes(packed(PIL.Image.fromarray(unit), "TIFF")))[0, :, 0].tolist()
    assert made == [0, 128, 255]
    flat = np.full((2, 2), 7.5, np.float32)
    assert np.asarray(open_bytes(packed(PIL.Image.fromarray(flat), "TIFF"))).max() == 0


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_transparency_lies_on_white(kind: str) -> None:
    picture = scene().convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 30, 60))
    made = open_bytes(packed(picture, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert near(made, 0.1, 0.5, (255, 255, 255))
    assert near(made, 0.8, 0.9, (0, 0, 220))


def test_a_palette_with_transparent_entries_lies_on_white() -> None:
    picture = PIL.Image.new("P", (4, 2), 0)
    picture.putpalette([0, 0, 0, 200, 10, 10])
    picture.putpixel((3, 1), 1)
    for transparency in (0, bytes([0, 255])):
        made = open_bytes(packed(picture, "PNG", transparency=transparency))
        assert made.getpixel((0, 0)) == (255, 255, 255)
        assert made.getpixel((3, 1)) == (200, 10, 10)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    others = [PIL.Image.new("RGB", (90, 60), "black"), PIL.Image.new("RGB", (90, 60), "white")]
    assert is_scene(open_bytes(packed(scene(), kind, save_all=True, append_images=others)))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_odd_shapes_open_and_shrink(size: tuple[int, int]) -> None:
    made = open_bytes(packed(PIL.Image.new("RGB", size, "red"), "PNG"))
    assert made.size == size
    small = PIL.Image.open(io.BytesIO(thumbnail(made)))
    assert max(small.size) <= 768
    assert min(small.size) == 1


def test_a_large_photograph_comes_small_but_never_below_the_side() -> None:
    data = packed(scene(3600, 2400), "JPEG")
    started = time.process_time()
    made = open_bytes(data)
    assert time.process_time() - started < 2.0
    assert min(made.size) >= SIDE
    assert made.size == (1800, 1200)
    assert is_scene(made)
    assert open_bytes(data, side=None).size == (3600, 2400)


def test_a_thumbnail_is_a_small_webp_and_never_larger_than_its_picture() -> None:
    data = thumbnail(scene(2000, 1000))
    made = PIL.Image.open(io.BytesIO(data))
    assert (made.format, made.size) == ("WEBP", (768, 384))
    assert len(data) < 30_000
    assert PIL.Image.open(io.BytesIO(thumbnail(scene()))).size == (90, 60)


REFUSED = {
    "drawing.svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>', "an SVG drawing"),
    "bare.svg": (b"<svg onload='x()'></svg>", "an SVG drawing"),
    "paper.pdf": (b"%PDF-1.7\n...", "a PDF document"),
    "paper.png": (b"%PDF-1.7\n...", "a PDF document"),
    "figure.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript document"),
    "page.html": (b"<!DOCTYPE html><html></html>", "a web page"),
    "book.docx": (b"PK\x03\x04rest", "a ZIP archive or an office document"),
    "phone.heic": (b"\x00\x00\x00\x18ftypheic\x00\x00", "a HEIC picture"),
    "new.avif": (b"\x00\x00\x00\x1cftypavif\x00\x00", "an AVIF picture"),
    "film.mp4": (b"\x00\x00\x00\x18ftypmp42\x00\x00", "a video"),
    "layers.psd": (b"8BPS\x00\x01", "a Photoshop file"),
    "notes.txt": ("Grüße, no picture at all".encode(), "a text"),
    "noise.png": (bytes(range(128, 256)) * 8, "no picture, or a damaged one"),
    "page.ico": (b"\x00\x00\x01\x00\x01\x00\x10\x10", "a Windows icon"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_refused_by_name(name: str) -> None:
    data, kind = REFUSED[name]
    with pytest.raises(FusionError) as caught:
        open_bytes(data, name)
    assert str(caught.value) == f'"{name}" is {kind}; use a JPEG, PNG, WebP, GIF, BMP or TIFF picture.'


def test_formats_that_pillow_knows_but_nobody_asked_for_stay_shut() -> None:
    for kind in ("PPM", "ICO", "TGA", "PCX", "EPS"):
        with pytest.raises(FusionError, match="use a JPEG"):
            open_bytes(packed(scene(), kind), f"x.{kind.lower()}")


def test_empty_and_absent_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r'"x\.png" is empty'):
        open_bytes(b"", "x.png")
    for path in (tmp_path / "gone.png", tmp_path, tmp_path / ("n" * 300), Path("/dev/zero"), Path("nul\x00.png")):
        with pytest.raises(FusionError):
            open_picture(Image(path=path))
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(FusionError, match="no picture"):
        open_picture(Image(path=tmp_path / "pipe.png"))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_file_is_said(kind: str) -> None:
    noise = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8))
    whole = packed(noise, kind)
    for share in (0.5, 0.9):
        with pytest.raises(FusionError, match=r"damaged|no picture") as caught:
            open_bytes(whole[: int(len(whole) * share)], "half")
        assert "\n" not in str(caught.value)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that claims to be huge; its pixels would be zeros."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    pixels = zlib.compress(b"\x00" * 1_000_000)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "size", [(10_000, 5_001), (10_000, 9_000), (12_000, 12_000), (100_000, 100_000), (2**31 - 1, 9)]
)
def test_more_than_fifty_megapixels_are_refused_before_decoding(size: tuple[int, int]) -> None:
    started = time.process_time()
    with pytest.raises(FusionError, match="the limit is 50 megapixels"):
        open_bytes(bomb(*size), "bomb.png")
    assert time.process_time() - started < 0.5


def test_fifty_megapixels_open() -> None:
    made = open_bytes(packed(PIL.Image.new("1", (10_000, 5_000)), "PNG"))
    assert made.size == (10_000, 5_000)


def test_texts_that_inflate_inside_a_picture_are_refused() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    whole = packed(scene(), "PNG")
    bombs = b"".join(chunk(b"zTXt", b"k\x00\x00" + zlib.compress(b"a" * 30_000_000)) for _ in range(3))
    with pytest.raises(FusionError, match="damaged"):
        open_bytes(whole[:33] + bombs + whole[33:])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", FORMATS)
def test_any_flipped_byte_gives_a_picture_or_a_sentence(kind: str) -> None:
    whole = packed(scene(24, 18), kind)
    draw = random.Random(1)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 6)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            mode = open_bytes(bytes(data), "flipped").mode
        except FusionError as error:
            mode = "RGB" if str(error).startswith('"flipped"') else f"unnamed: {error}"
        assert mode == "RGB"
