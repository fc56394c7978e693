"""Two halves of each recording, where everybody reads one text: the second half is a text of its own."""

from collections import Counter
from pathlib import Path

import pandas as pd
import soundfile as sf

from ..config import InputError
from ..features.audio import read_audio
from ..features.store import clip_ids
from ..files import replacing


def middle(phones: pd.DataFrame) -> tuple[tuple[str, ...], float]:
    """The words that a clip's phones belong to, and where the second half of them begins, s."""
    words = phones.get("word", pd.Series("", phones.index))
    first = (words != words.shift()) & ~words.isin(["", "sil"])
    return tuple(words[first]), float(phones["start"][first].iloc[first.sum() // 2]) if first.any() else 0.0


def halve(table: pd.DataFrame, folder: str | Path, phones: pd.DataFrame | None = None
          ) -> tuple[pd.DataFrame, pd.DataFrame | None, list[str]]:  # fmt: skip
    """Write both halves of each recording into ``folder``, as FLAC: a corpus of two texts, 1 and 2.

    Where the words of ``phones`` are known, recordings are cut at the same word; those that do not hold the
    same words as most are left out. Else they are cut in the middle, so that the texts overlap a little.
    Returns the corpus, its phones, and a line for each recording that was left out."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    spoken = {} if phones is None else dict(iter(phones.assign(id=clip_ids(phones)).groupby("id")))
    cuts = {clip: middle(rows) for clip, rows in spoken.items()}
    text = Counter(words for words, _ in cuts.values() if words).most_common(1)
    rows, moved, problems = [], [], []
    for number, (clip, row) in enumerate(zip(clip_ids(table), table.to_dict("records"), strict=True)):
        words, cut = cuts.get(clip, ((), 0.0))
        try:
            if text and words != text[0][0]:
                raise InputError(f"{row['path']}: does not hold the words of most others")
            wave, rate = read_audio(row["path"])
        except InputError as error:
            problems.append(str(error))
            continue
        cut = cut if text else len(wave) / rate / 2
        place = round(cut * rate)
        for half, part, begin in (("1", wave[:place], 0.0), ("2", wave[place:], cut)):
            path = str((folder / f"{number}-{half}.flac").absolute())
            if not Path(path).is_file():
                with replacing(Path(path)) as temporary:
                    sf.write(temporary, part, rate, format="FLAC")
            rows.append(row | {"id": path, "path": path, "text": half})
            if clip in spoken:
                times = spoken[clip][["start", "end"]].clip(begin, begin + len(part) / rate) - begin
                own = spoken[clip].assign(id=path, path=path, **times)
                moved.append(own[own["end"] > own["start"]])
    return pd.DataFrame(rows), pd.concat(moved, ignore_index=True) if moved else None, problems
