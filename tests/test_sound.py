"""Recordings: what can be heard is read exactly and in bounds, what can't is refused in a sentence."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from fusion.encoders import audio_encoder, image_encoder
from fusion.encoders.cache import FeatureCache
from fusion.encoders.sound import (
    MOST_STEPS,
    RATE,
    hertz_of,
    log_mel,
    mel_filters,
    mel_of,
    open_sound,
    resampled,
    spectrogram,
    stacked,
    unstacked,
)
from fusion.types import Audio, FusionError, Sample


def tone(hertz: float = 440.0, seconds: float = 1.0, rate: int = RATE, loud: float = 0.5) -> np.ndarray:
    return loud * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def encoded(values: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> Audio:
    stream = io.BytesIO()
    soundfile.write(stream, values, rate, format=kind, subtype=subtype)
    return Audio(data=stream.getvalue())


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_the_three_formats_hold_the_same_sound(kind: str, tmp_path: Path) -> None:
    audio = encoded(tone(), kind=kind)
    sound = open_sound(audio)
    assert sound.samples.dtype == np.float32
    assert sound.seconds == 1
    assert sound.notes == ()
    assert np.abs(sound.samples - tone())[800:-800].max() < (0.02 if kind == "OGG" else 1e-4)
    path = tmp_path / f"tone.{kind.lower()}"
    path.write_bytes(audio.data)
    assert np.array_equal(open_sound(Audio(path)).samples, sound.samples)


def test_stereo_at_96_kilohertz_becomes_one_channel_at_16(tmp_path: Path) -> None:
    left = tone(1000, rate=96_000) + tone(20_000, rate=96_000, loud=0.4)
    sound = open_sound(encoded(np.stack([left, left], axis=1), 96_000))
    assert len(sound.samples) == RATE
    assert np.abs(sound.samples - tone(1000))[800:-800].max() < 0.01  # and 20 kHz folds nowhere
    assert sound.notes == ("Its 2 channels are mixed to one.", "It is resampled from 96,000 to 16,000 Hz.")


def test_an_odd_rate_keeps_its_pitch() -> None:
    values = resampled(tone(1000, rate=44_101), 44_101)
    peak = np.abs(np.fft.rfft(values[:8000])).argmax() * RATE / 8000
    assert abs(peak - 1000) < 5


def test_three_hours_are_read_for_half_a_minute(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_U8") as file:
        block = tone(300, 60, 8000)
        for _ in range(180):
            file.write(block)
    start = time.process_time()
    sound = open_sound(Audio(path))
    assert time.process_time() - start < 3
    assert len(sound.samples) == 30 * RATE
    assert sound.notes[0] == "Its first 30 s are read, of 3:00:00 h."
    assert audio_encoder("mel").encode([sound]).steps.shape == (1, MOST_STEPS, 160)
    assert MOST_STEPS < 100


@pytest.mark.parametrize(
    ("audio", "says"),
    [
        (encoded(tone()[:1]), "has 1 sample at 16,000 Hz, less than 0.1 s; nothing can be heard"),
        (encoded(np.zeros(0)), "has 0 samples"),
        (encoded(np.zeros(RATE)), "The recording is silent"),
        (encoded(np.full(RATE, np.nan), subtype="FLOAT"), "NaN or infinite"),
        (Audio(data=b""), "no WAV, OGG or FLAC file"),
        (Audio(data=b"RIFF\xff\xff\xff\xffWAVEfmt "), "no WAV, OGG or FLAC file"),
        (Audio(data=b"OggS" + bytes(200)), "no WAV, OGG or FLAC file"),
        (encoded(tone(), kind="AIFF"), "of the kind AIFF; save it as FLAC, OGG, WAV"),
        (encoded(tone(rate=1000), 1000), "at 1,000 Hz; up to 16 channels at 2,000 to 384,000 Hz"),
        (encoded(np.zeros((8000, 60)) + 0.1, 8000), "announces 60 channels"),
        (Audio(Path("nowhere") / "my voice.wav"), 'There is no file "my voice.wav"'),
    ],
)  # fmt: skip
def test_what_cannot_be_heard_is_refused_in_a_sentence(audio: Audio, says: str) -> None:
    with pytest.raises(FusionError, match=says) as error:
        open_sound(audio)
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_a_cut_recording_is_read_to_its_end_or_refused(kind: str) -> None:
    rng = np.random.default_rng(0)
    whole = encoded(0.3 * rng.standard_normal(6 * RATE).clip(-1, 1), kind=kind).data
    for share in (0.05, 0.5, 0.9):
        try:
            sound = open_sound(Audio(data=whole[: int(len(whole) * share)]))
        except FusionError:
            continue
        assert len(sound.samples) <= RATE * 6 * (share + 0.2)
        assert np.isfinite(sound.samples).all()


def test_a_header_that_claims_more_than_there_is_costs_no_memory() -> None:
    data = bytearray(encoded(tone()).data)
    at = data.index(b"data") + 4
    data[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    data[4:8] = (0xFFFFFFF0).to_bytes(4, "little")
    assert len(open_sound(Audio(data=bytes(data))).samples) <= RATE + 1


def test_mel_power_is_the_formula_written_out() -> None:
    rng = np.random.default_rng(3)
    samples = 0.1 * rng.standard_normal(1700)
    found = log_mel(samples)
    assert found.shape == (11, 40)
    edges = [float(hertz_of(np.array(m))) for m in np.linspace(0, mel_of(8000), 42)]
    padded = np.concatenate([np.zeros(200), samples, np.zeros(200)])
    for frame, band in ((0, 0), (3, 7), (5, 20), (10, 39)):
        cut = padded[frame * 160 : frame * 160 + 400]
        power = 0.0
        for bin in range(201):
            hertz = bin * 40.0
            low, middle, high = edges[band : band + 3]
            height = max(0.0, min((hertz - low) / (middle - low), (high - hertz) / (high - middle)))
            n = np.arange(400)
            window = np.sin(np.pi * n / 400) ** 2
            power += height * abs(np.sum(cut * window * np.exp(-2j * np.pi * bin * n / 400))) ** 2
        assert found[frame, band] == pytest.approx(10 * np.log10(max(power / 100**2, 1e-10)), abs=1e-3)


def test_mel_bands_lie_where_slaney_put_them() -> None:
    assert mel_of(200) == pytest.approx(3)
    assert mel_of(1000) == pytest.approx(15)
    assert mel_of(6400) == pytest.approx(42)
    assert hertz_of(np.array([mel_of(f) for f in (70.0, 999.0, 5000.0)])) == pytest.approx([70, 999, 5000])
    filters = mel_filters()
    assert filters.shape == (40, 201)
    assert filters.min() >= 0
    assert filters.max() <= 1
    assert (filters.sum(1) > 0).all()
    assert (filters.argmax(1)[1:] >= filters.argmax(1)[:-1]).all()


def test_a_full_scale_sine_is_near_0_decibels_in_its_band() -> None:
    centre = hertz_of(np.linspace(0, mel_of(8000), 42))[21]
    db = log_mel(tone(float(centre), loud=1.0))[50]
    assert db.argmax() == 20
    assert -1 < db.max() < 2.5
    assert log_mel(np.zeros(RATE)).max() == -100


def test_steps_are_means_of_their_frames() -> None:
    rng = np.random.default_rng(5)
    frames = rng.uniform(-90, 0, (45, 40)).astype(np.float32)
    steps = stacked(frames)
    assert steps.shape == (2, 160)
    assert steps[0, 40:80] == pytest.approx((frames[8:16].mean(0) + 50) / 25, abs=1e-5)
    assert steps[1, 40:80] == pytest.approx((frames[40:45].mean(0) + 50) / 25, abs=1e-5)
    assert (steps[1, 80:] == -2).all()


def test_an_encoder_pads_and_names_its_steps() -> None:
    made = audio_encoder("mel").encode([encoded(tone(seconds=1)), encoded(tone(seconds=0.3))])
    assert made.steps.shape == (2, 4, 160)
    assert made.mask.tolist() == [[True] * 4, [True, False, False, False]]
    assert (made.steps[1, 1:] == 0).all()
    assert made.names[0].labels[1] == "0.32–0.64 s"
    assert torch.allclose(made.pooled[0], made.steps[0].mean(0))


def test_the_speaker_encoder_tells_voices_apart_and_is_not_trained() -> None:
    speaker = audio_encoder("resemblyzer")
    made = speaker.encode([encoded(tone(120)), encoded(tone(130, seconds=1.5)), encoded(tone(900))])
    assert made.steps.shape[2] == 256
    assert (made.steps >= 0).all()
    unit = torch.nn.functional.normalize(made.pooled, dim=1)
    assert unit[0] @ unit[1] > unit[0] @ unit[2]
    assert not any(p.requires_grad for p in speaker.module.parameters())


def test_a_spectrogram_is_bounded_and_peaks_where_the_tone_is() -> None:
    picture = spectrogram(encoded(tone(1500, seconds=29)))
    assert picture.db.shape == (64, len(picture.seconds))
    assert len(picture.seconds) <= 600
    assert abs(picture.hertz[picture.db[:, 300].argmax()] - 1500) < 80
    assert picture.seconds[-1] == pytest.approx(29, abs=0.05)
    assert (np.diff(picture.hertz) > 0).all()


def test_steps_that_were_given_are_drawn_as_the_sound_that_they_hold() -> None:
    decibel = log_mel(open_sound(encoded(tone(1500, seconds=1.6))).samples)
    steps = stacked(decibel)
    picture = unstacked(steps)
    assert picture.db.shape == (40, 4 * len(steps))
    assert abs(picture.hertz[picture.db[:, 10].argmax()] - 1500) < 120
    assert picture.db[:, 10].max() == pytest.approx(decibel[80:88].mean(0).max(), abs=0.1)
    assert picture.seconds[-1] == pytest.approx(0.32 * len(steps), abs=0.05)


def test_a_recording_is_encoded_once_and_a_broken_one_is_named(tmp_path: Path) -> None:
    samples = [
        Sample("good", {"audio": encoded(tone())}),
        Sample("silent", {"audio": encoded(np.zeros(RATE))}),
        Sample("none", {}),
        Sample("gone", {"audio": Audio(tmp_path / "gone.wav")}),
        Sample("twin", {"audio": encoded(tone())}),
    ]
    cache, mel = FeatureCache(tmp_path / "kept"), audio_encoder("mel")
    found = cache.sounds(mel, samples)
    assert found.present.tolist() == [True, False, False, False, True]
    assert set(found.broken) == {"silent", "gone"}
    assert torch.allclose(found.steps([0])[0, :4], mel.encode([samples[0].parts["audio"]]).steps[0], atol=2e-3)
    assert found.mask[0].sum() == 4
    done = []
    cache.sounds(mel, samples[:1], lambda now, total: done.append(total))
    assert done[0] == 0


def test_names_of_another_kind_are_refused() -> None:
    with pytest.raises(FusionError, match='"mel" encodes recordings; name an image encoder'):
        image_encoder("mel")
    with pytest.raises(FusionError, match='"use" encodes texts; name an audio encoder'):
        audio_encoder("use")
