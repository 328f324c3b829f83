"""Recordings: WAV, OGG and FLAC files -> 16 kHz mono, log-mel features in steps of a third of a second, a spectrogram.

What a file claims is compared with bounds before anything of its size is made, and no more than the first SECONDS are
read. S samples, F frames of 10 ms, K mel bands, T steps.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fusion.files import shorten
from fusion.types import Audio, FusionError, Steps

if TYPE_CHECKING:
    import soundfile

RATE = 16_000  # Hz
SECONDS = 30.0  # read of a recording, from its start
SHORTEST = 0.1  # seconds
SILENT = 1e-4  # of full scale (-80 dB): below it nothing can be heard
FORMATS = {"WAV": "WAV", "WAVEX": "WAV", "RF64": "WAV", "OGG": "OGG", "FLAC": "FLAC"}  # of libsndfile
CHANNELS, LOWEST_RATE, HIGHEST_RATE = 16, 2_000, 384_000
WINDOW, HOP = 400, 160  # samples: 25 ms and 10 ms
MELS = 40
FLOOR = 1e-10  # of a power: -100 dB
PART = 8  # frames of one part of a step: 80 ms
PARTS = 4  # parts of one step: 320 ms, so that 30 s make 94 steps
STEP = PART * PARTS * HOP / RATE  # seconds
MOST_STEPS = -(-(int(SECONDS * RATE) // HOP + 1) // (PART * PARTS))
WIDTH = PARTS * MELS
COLUMNS = 600  # of a spectrogram picture


@dataclass(frozen=True, eq=False)
class Sound:
    """The start of a recording as it is read: one channel at 16 kHz."""

    samples: np.ndarray  # (S,) float32 in [-1, 1]
    seconds: float  # of the whole recording, as the file says
    notes: tuple[str, ...] = ()  # what was done to it


class Spectrogram(NamedTuple):
    """Power by frequency and time, ready to be drawn."""

    db: np.ndarray  # (K, F) float32, dB of full scale, -100 at the lowest
    seconds: np.ndarray  # (F,) the middle of each column
    hertz: np.ndarray  # (K,) the centre of each band


def open_sound(audio: Audio) -> Sound:
    """Decode, mix to one channel, resample to 16 kHz; at most the first 30 s.

    Raises FusionError with one sentence on what is no WAV, OGG or FLAC file, is damaged, too short or silent.
    """
    import soundfile  # loads libsndfile, which not every caller needs

    name = f'"{shorten(audio.path.name)}"' if audio.path is not None else "The recording"
    notes: list[str] = []
    try:
        with soundfile.SoundFile(io.BytesIO(audio.data) if audio.data is not None else str(audio.path)) as file:
            _check(name, file)
            seconds = file.frames / file.samplerate
            wanted = min(file.frames, int(SECONDS * file.samplerate))
            values, rate = _read(file, wanted), file.samplerate
            channels = file.channels
    except FusionError:  # a ValueError too
        raise
    except (soundfile.SoundFileError, OSError, ValueError, TypeError, MemoryError) as error:
        if audio.path is not None and not audio.path.is_file():
            raise FusionError(f"There is no file {name}; check its path.") from None
        why = type(error).__name__
        raise FusionError(f"{name} is no WAV, OGG or FLAC file, or a damaged one ({why}); save it as WAV.") from None
    if not np.isfinite(values).all():
        raise FusionError(f"{name} holds numbers that are NaN or infinite; save it again as 16-bit WAV.")
    if len(values) < SHORTEST * rate:
        raise FusionError(
            f"{name} has {len(values):,} sample{'s' * (len(values) != 1)} at {rate:,} Hz, less than {SHORTEST} s; "
            "nothing can be heard in it. Give a longer recording."
        )
    if len(values) < wanted * 0.99:
        notes.append(f"It breaks off after {len(values) / rate:.1f} s of the {seconds:.1f} s that it announces.")
    if seconds > SECONDS:
        notes.append(f"Its first {SECONDS:.0f} s are read, of {_clock(seconds)}.")
    if channels > 1:
        notes.append(f"Its {channels} channels are mixed to one.")
        values = values.mean(axis=1, keepdims=True)
    samples = np.clip(resampled(values[:, 0], rate), -1, 1).astype(np.float32)
    if rate != RATE:
        notes.append(f"It is resampled from {rate:,} to {RATE:,} Hz.")
    if float(np.abs(samples).max(initial=0)) < SILENT:
        raise FusionError(f"{name} is silent; give a recording in which something is heard, or leave it out.")
    return Sound(samples, seconds, tuple(notes))


def _check(name: str, file: soundfile.SoundFile) -> None:
    """Bounds on what the header claims. Raises FusionError."""
    if file.format not in FORMATS:
        raise FusionError(
            f"{name} is a file of the kind {file.format}; save it as {', '.join(sorted(set(FORMATS.values())))}."
        )
    if not 1 <= file.channels <= CHANNELS or not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        raise FusionError(
            f"{name} announces {file.channels:,} channels at {file.samplerate:,} Hz; up to {CHANNELS} channels at "
            f"{LOWEST_RATE:,} to {HIGHEST_RATE:,} Hz can be read. Save it as WAV, mono, 16,000 Hz."
        )


def _read(file: soundfile.SoundFile, wanted: int) -> np.ndarray:
    """The first frames, as many as can be decoded. -> (frames, channels) float32"""
    import soundfile

    got: list[np.ndarray] = []
    left = wanted
    while left > 0:
        try:
            block = file.read(min(left, file.samplerate), dtype="float32", always_2d=True)
        except soundfile.SoundFileError:  # a block in the middle is damaged: what came before it is good
            if not got:
                raise
            break
        if not len(block):
            break
        got.append(block)
        left -= len(block)
    return np.concatenate(got) if got else np.zeros((0, file.channels), dtype=np.float32)


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d} h" if hours else f"{minutes}:{whole % 60:02d} min"


def resampled(values: np.ndarray, rate: int) -> np.ndarray:
    """(S,) at some rate -> (S',) at 16 kHz, band-limited."""
    if rate == RATE:
        return values
    from scipy.signal import resample_poly  # slow to import

    common = gcd(rate, RATE)
    up, down = RATE // common, rate // common
    if max(up, down) > 1000:  # an odd rate: the nearest ratio of small numbers keeps the filter short
        down = round(100 * rate / RATE)
        up = 100
    return resample_poly(values.astype(np.float64), up, down)


@functools.lru_cache(maxsize=4)
def mel_filters(bands: int = MELS, bins: int = WINDOW // 2 + 1) -> np.ndarray:
    """Triangles of height 1 on Slaney's mel scale from 0 to 8 kHz. -> (K, bins) float64

    Below 1 kHz a mel is 200/3 Hz, above it the scale is logarithmic with 27 mels from 1 to 6.4 kHz.
    """
    edges = hertz_of(np.linspace(0.0, mel_of(RATE / 2), bands + 2))
    at = np.arange(bins) * (RATE / 2) / (bins - 1)
    rising = (at[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - at[None]) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(rising, falling))


def mel_widths(bands: int = MELS) -> np.ndarray:
    """Hertz from the lower to the upper end of each triangle. -> (K,)"""
    edges = hertz_of(np.linspace(0.0, mel_of(RATE / 2), bands + 2))
    return edges[2:] - edges[:-2]


def mel_of(hertz: float) -> float:
    """Slaney's mel of a frequency."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)


def hertz_of(mel: np.ndarray) -> np.ndarray:
    """Frequencies of Slaney's mels."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def mel_power(samples: np.ndarray, bands: int = MELS, window: int = WINDOW) -> np.ndarray:
    """Power in mel bands, a frame every 10 ms, each in the middle of its Hann window. (S,) -> (S // 160 + 1, K) float64

    A full-scale sine at the centre of a band gives (window / 4)^2 times 1 to 1.5 there.
    """
    padded = np.pad(samples.astype(np.float64), window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    power = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2
    return power @ mel_filters(bands, window // 2 + 1).T


def log_mel(samples: np.ndarray, bands: int = MELS, window: int = WINDOW) -> np.ndarray:
    """`mel_power` in dB of a full-scale sine. -> (F, K) float32, at least -100"""
    full = (window / 4) ** 2  # power of a full-scale sine in the one bin that it falls on
    return (10 * np.log10(np.maximum(mel_power(samples, bands, window) / full, FLOOR))).astype(np.float32)


def stacked(decibel: np.ndarray) -> np.ndarray:
    """Frames of dB (F, K) -> steps (T, 4K) of 320 ms: the means of four parts of 80 ms, on a scale where -50 dB is 0.

    The last part is the mean of the frames that there are, and the last step is filled up by silence (-100 dB).
    """
    F, K = decibel.shape
    parts = -(-F // PART)
    sums = np.add.reduceat(decibel, np.arange(0, F, PART), axis=0)  # (parts, K)
    count = np.minimum(PART, F - np.arange(0, F, PART))[:, None]
    means = np.maximum((sums / count + 50) / 25, -2)  # silence is -2, full scale 2
    T = -(-parts // PARTS)
    filled = np.full((T * PARTS, K), -2.0, dtype=np.float32)
    filled[:parts] = means
    return filled.reshape(T, PARTS * K)


def unstacked(steps: np.ndarray) -> Spectrogram:
    """The spectrogram that steps of `stacked` hold: 40 bands, a column of 80 ms each. (T, 4K) -> K by 4T"""
    db = np.asarray(steps, np.float32).reshape(-1, MELS) * 25 - 50
    edges = hertz_of(np.linspace(0.0, mel_of(RATE / 2), MELS + 2))
    return Spectrogram(db.T, (np.arange(len(db)) + 0.5) * PART * HOP / RATE, edges[1:-1])


def step_names(count: int) -> Steps:
    """Names of T steps: "0.00-0.32 s"."""
    labels = tuple(f"{at * STEP:.2f}–{(at + 1) * STEP:.2f} s" for at in range(count))
    return Steps(labels, tuple(range(count)), labels)


def spectrogram(audio: Audio | Sound, bands: int = 64) -> Spectrogram:
    """The picture of a recording as data, with at most 600 columns. Raises FusionError as `open_sound`."""
    sound = audio if isinstance(audio, Sound) else open_sound(audio)
    power = 10 ** (log_mel(sound.samples, bands, 2 * WINDOW) / 10)  # longer windows tell low bands apart
    group = -(-len(power) // COLUMNS)
    starts = np.arange(0, len(power), group)
    count = np.minimum(group, len(power) - starts)[:, None]
    db = 10 * np.log10(np.maximum(np.add.reduceat(power, starts, axis=0) / count, FLOOR))
    edges = hertz_of(np.linspace(0.0, mel_of(RATE / 2), bands + 2))
    middle = (starts + (count[:, 0] - 1) / 2) * HOP / RATE
    return Spectrogram(db.T.astype(np.float32), middle, edges[1:-1])
