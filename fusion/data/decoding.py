"""Bytes of a text file from outside -> characters: UTF-8, or UTF-16 with its mark; nothing else is guessed at."""

from __future__ import annotations

import codecs

from fusion.types import FusionError

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HEAD = 4096  # characters that tell text from what is none
_AROUND = 65536  # bytes that a hint is drawn from
_OTHER_FILES = (
    (b"PK\x03\x04", "an Excel workbook or another ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF document"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"SQLite format 3\x00", "an SQLite database"),
)


def decode(data: bytes, name: str) -> tuple[str, list[str]]:
    """The text, with line ends as line feeds, and a note where it wasn't UTF-8.

    Raises FusionError on other encodings, naming the line and what it seems to be.
    """
    for mark, kind in _OTHER_FILES:
        if data.startswith(mark):
            raise FusionError(f'"{name}" is {kind}; save it as text in UTF-8 (in Excel: "CSV UTF-8").')
    if data.startswith(UTF16) and not data.startswith(codecs.BOM_UTF32_LE):
        try:
            return _lines(data.decode("utf-16")), [f'"{name}" was read as UTF-16.']
        except UnicodeDecodeError as error:
            raise FusionError(
                f'"{name}" begins as UTF-16 but is damaged at byte {error.start}; save it as UTF-8.'
            ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        seems, byte = _seems(data, error.start), data[error.start]
        raise FusionError(
            f'Line {line} of "{name}" is not UTF-8 (byte 0x{byte:02X}); it seems to be {seems}. '
            'Save the file as UTF-8 (in Excel: "CSV UTF-8") and open it again.'
        ) from error
    if text[:_HEAD].count("\x00") * 5 > len(text[:_HEAD]):
        raise FusionError(
            f'Line 1 of "{name}" is not UTF-8: it seems to be {_seems(data, 0)}. '
            "Save the file as UTF-8 and open it again."
        )
    return _lines(text), []


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _seems(data: bytes, at: int) -> str:
    """What the encoding around a byte seems to be, in words; a hint for a person, never used to read the file."""
    piece = data[data.rfind(b"\n", 0, at) + 1 :][:_AROUND]
    zeros = piece.count(0) / len(piece)
    if zeros > 0.2:
        return "UTF-16 without its mark" if zeros < 0.6 else "UTF-32"
    high = [byte > 0x7F for byte in piece]
    lone = sum(
        here and not before and not after
        for before, here, after in zip([False, *high], high, [*high[1:], False], strict=False)
    )
    if lone * 3 > sum(high):  # accents stand between plain letters, Chinese comes in pairs
        return "Windows-1252"
    try:
        codecs.getincrementaldecoder("gb18030")().decode(piece)  # may be cut in the middle of a character
    except UnicodeDecodeError:
        return "of another code page"
    return "GB18030 (GBK)"
