"""What users pass to predict and embed: files, waves of NumPy, PyTorch and soundfile, tables, mistakes."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from helpers import RATE, tone

from accentlib import embed, infer, predict, predict_windows
from accentlib.cli import main
from accentlib.config import InputError
from accentlib.embeddings.evaluate import evaluate_table
from accentlib.features.log_mel import file_log_mel
from accentlib.network.accent_net import AccentNet
from accentlib.network.checkpoint import save_checkpoint


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    from helpers import TINY

    from accentlib.config import Config

    return AccentNet(Config.laptop(sample_rate=RATE, **TINY), ["a", "b", "c"]).eval()


WAVE = tone(300, 0.6)
INT16 = np.round(WAVE * 32767).astype(np.int16)
STEREO = np.stack([WAVE, WAVE], axis=1)  # (samples, channels), as soundfile gives it


def as_file(subtype="FLOAT") -> io.BytesIO:
    file = io.BytesIO()
    sf.write(file, WAVE, RATE, format="WAV", subtype=subtype)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    "clip",
    [
        (torch.from_numpy(WAVE), RATE),
        (torch.from_numpy(WAVE)[None], RATE),  # torchaudio: channels first
        (torch.from_numpy(STEREO.T.copy()), RATE),
        (torch.from_numpy(WAVE).requires_grad_(), RATE),
        (WAVE[None], RATE),
        (STEREO, RATE),
        (STEREO.T, RATE),
        (WAVE.astype(np.float64), float(RATE)),
        (WAVE.tolist(), np.int64(RATE)),
        as_file(),
        as_file().getvalue(),
        bytearray(as_file().getvalue()),
    ],
    ids=[
        "tensor", "tensor (1, n)", "tensor (2, n)", "tensor with gradient", "array (1, n)", "array (n, 2)",
        "array (2, n)", "float64", "list of floats", "BytesIO", "bytes", "bytearray",
    ],
)  # fmt: skip
def test_a_clip_in_memory_has_the_embedding_of_its_file(model, tmp_path, clip):
    sf.write(tmp_path / "a.wav", WAVE, RATE, subtype="FLOAT")
    expected = embed(model, tmp_path / "a.wav")
    np.testing.assert_allclose(embed(model, clip), expected, atol=1e-5)
    np.testing.assert_allclose(embed(model, [clip, clip])[1:], expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint8"])
def test_integer_samples_are_scaled_as_in_a_file(model, tmp_path, dtype):
    subtype, scale, zero = {"int16": ("PCM_16", 2**15, 0), "int32": ("PCM_32", 2**31, 0), "uint8": ("PCM_U8", 128, 128)}[dtype]  # fmt: skip
    sf.write(tmp_path / "a.wav", WAVE, RATE, subtype=subtype)
    read, _ = sf.read(tmp_path / "a.wav")
    samples = np.round(read * scale + zero).astype(dtype)
    np.testing.assert_allclose(embed(model, (samples, RATE)), embed(model, tmp_path / "a.wav"), atol=1e-4)
    np.testing.assert_allclose(embed(model, (torch.from_numpy(samples), RATE)), embed(model, (samples, RATE)))


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (WAVE, r"an array of shape \(9600,\) needs its sample rate; pass \(array, sample rate\)"),
        (torch.from_numpy(WAVE), ".* needs its sample rate"),
        ([WAVE], "clip 0: an array of shape .* needs its sample rate"),
        ((RATE, WAVE), r"clip 0: .*pass \(wave, sample rate\)"),
        ((np.append(WAVE, np.nan), RATE), r"clip 0: .*not numbers \(NaN or infinite\)"),
        ((np.append(WAVE, np.inf).astype(np.float32), RATE), "clip 0: .*not numbers"),
        ((np.zeros((40, 100)), RATE), r"clip 0: an array of shape \(40, 100\)"),
        ((np.zeros((1, 1, 9600)), RATE), r"clip 0: an array of shape \(1, 1, 9600\)"),
        ((np.float32(1), RATE), r"clip 0: an array of shape \(\)"),
        ((INT16.astype(np.int64), RATE), "clip 0: samples of type int64"),
        ((INT16.astype(np.float32), RATE), r"clip 0: samples reach .*\[-1, 1\].*32768"),
        ((WAVE.astype(complex), RATE), "clip 0: samples of type complex128"),
        ((WAVE, 0), "clip 0: a sample rate of 0"),
        ((WAVE, np.nan), "clip 0: a sample rate of nan"),
        ((np.zeros(RATE), RATE), "clip 0: silent"),
        ((np.zeros(0), RATE), "clip 0: .*no samples"),
        ((WAVE[:100], RATE), "clip 0: too short"),
        (b"RIFF, it says", "clip 0: not readable as audio"),
        (b"", "clip 0: empty"),
        (as_file().getvalue()[:-2000], "clip 0: truncated"),
        (io.StringIO("a"), "clip 0: .*binary"),
        ([3.5], "clip 0: a float is not a clip"),
        (None, "a NoneType is not a clip"),
        ({"array": WAVE, "sampling_rate": RATE}, "a dict is not a clip"),
        (pd.DataFrame({"file": ["a.wav"]}), "the table has no column 'path'"),
        (pd.DataFrame({"path": [np.nan]}), "clip 0: a float is not a clip"),
    ],
)
def test_what_is_not_a_clip_is_refused_in_one_short_line(model, clips, message):
    with pytest.raises(InputError, match=f"^{message}") as refused:
        predict(model, clips)
    assert len(str(refused.value)) < 200 and "\n" not in str(refused.value)


@pytest.mark.parametrize("nothing", [[], (), pd.DataFrame({"path": []}), np.array([], dtype=str)])
def test_no_clips_give_an_empty_table(model, nothing):
    assert predict(model, nothing).columns.tolist() == ["path", "accent", "probability", "nearest"]
    assert len(predict(model, nothing)) == 0 and embed(model, nothing).shape == (0, 12)


def test_paths_come_in_any_sequence(model, tmp_path):
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path in paths:
        sf.write(path, WAVE, RATE)
    expected = list(map(str, paths))
    for clips in (paths, tuple(paths), pd.Series(expected), np.array(expected), (p for p in paths)):
        assert infer(model, clips).ids == expected
    with Path(paths[0]).open("rb") as file:  # an open file, from its beginning
        file.read(10)
        np.testing.assert_array_equal(embed(model, file), embed(model, paths[0]))


def test_clips_of_a_table_are_named_by_their_ids(model, tmp_path):
    for name, frequency in (("a", 300), ("b", 900)):
        sf.write(tmp_path / f"{name}.wav", tone(frequency, 0.6), RATE)
    paths = [str(tmp_path / f"{name}.wav") for name in "aabc"]  # two ids share a file; there is no c.wav
    table = pd.DataFrame({"id": list("wxyz"), "path": paths, "accent": list("abca")})
    answers = infer(model, table)
    assert answers.ids == list("wxy") and list(answers.problems) == ["z"]
    assert answers.problems["z"] == f"{paths[3]}: no such file"
    np.testing.assert_array_equal(answers.embeddings[0], answers.embeddings[1])
    rows, _, metrics = evaluate_table(model, table)
    assert list(rows["id"]) == list("wxy") and metrics["clips"] == 3

    predicted = predict(model, table[:3])
    assert predicted.columns.tolist() == ["id", "path", "accent", "probability", "nearest"]
    assert predicted["id"].tolist() == list("wxy") and predicted["path"].tolist() == paths[:3]
    same = predict(model, table[1:3].assign(id=paths[1:3]))
    assert same.columns.tolist() == ["path", "accent", "probability", "nearest"]

    stored = infer(model, table, store={"z": file_log_mel(paths[2], model.config)})  # its file is not opened
    assert stored.ids == list("wxyz") and not stored.problems
    np.testing.assert_allclose(stored.embeddings[3], stored.embeddings[2], atol=1e-6)


def test_a_clip_that_is_given_twice_has_two_rows(model, tmp_path):
    paths = [str(tmp_path / name) for name in ("a.wav", "b.wav")]
    for path, pitch in zip(paths, (200, 500), strict=True):
        sf.write(path, tone(pitch), RATE)
    answers = infer(model, [paths[0], paths[1], "none.wav", paths[0]])
    assert answers.ids == [*paths, paths[0]] and list(answers.problems) == ["none.wav"]
    first, other, again = answers.embeddings
    assert np.abs(first - again).max() < 0.1 * np.abs(first - other).max()


def test_every_probability_may_have_a_column(model):
    table = predict(model, [(WAVE, RATE)], every=True)
    assert list(table.columns[-3:]) == ["p:a", "p:b", "p:c"]
    np.testing.assert_allclose(
        table.iloc[0, -3:].astype(float), infer(model, (WAVE, RATE)).probabilities[0], atol=1e-4
    )


def test_windows_say_when_in_the_recording_pauses_and_all(model, tmp_path, capsys):
    """Three tones of 4 s, 5 s of silence after the first: the windows are the tones."""
    tones = [tone(pitch, 4.0, seed=pitch) for pitch in (150, 400, 900)]
    wave = np.concatenate([tones[0], np.zeros(5 * RATE), *tones[1:]])
    sf.write(tmp_path / "long.wav", wave, RATE)
    cutting = AccentNet(model.config.replace(trim_silence=30.0), model.labels).eval()
    table = predict_windows(cutting, tmp_path / "long.wav")
    assert (table["start"].to_numpy()[1:] >= table["end"].to_numpy()[:-1]).all()
    np.testing.assert_allclose(table["end"], [4, 13, 17], atol=0.3)
    whole = predict_windows(model, tmp_path / "long.wav", seconds=17.0)
    assert whole[["start", "end"]].to_numpy().tolist() == [[0, 17]]
    part = predict_windows(cutting, f"{tmp_path / 'long.wav'}#t=9,17")
    np.testing.assert_allclose(part["start"], [9, 13], atol=0.4)
    save_checkpoint(tmp_path / "m.pt", cutting)
    argv = [
        "predict",
        "--windows",
        "--checkpoint",
        str(tmp_path / "m.pt"),
        str(tmp_path / "long.wav"),
        "none.wav",
    ]
    assert main(argv) == 1
    printed = capsys.readouterr()
    assert pd.read_csv(io.StringIO(printed.out)).shape == (3, 9) and "none.wav: no such file" in printed.err
