"""The verbs that make corpora and their phones."""

from pathlib import Path

import accentlib

from ..config import InputError, counted
from ..corpora.known import KNOWN
from ..corpora.sources import read_accent_names
from ..corpora.survey import count_problems
from ..corpora.textgrids import from_textgrids, phones_from_textgrids, phones_to_textgrids
from ..features.store import clip_ids
from .settings import Settings, log

Problems = dict[str, str]  # what is wrong with each clip that could not be used


class CorpusVerbs(Settings):
    """One call of the command line, if it is about a corpus."""

    def corpus(self) -> int:
        """Make a corpus; the number of recordings that were left out, which the report names."""
        kind = self.verb.removeprefix("corpus ")
        columns = self.picked("path_column", "accent_column", "speaker_column", "split_column")
        if kind == "from-folder":
            listing = accentlib.from_folder(self.SOURCE, **columns)
        elif kind == "from-textgrid":
            listing = from_textgrids(self.SOURCE, self.tiers or ())
        elif kind == "from-table":
            times = self.picked("start_column", "end_column")
            listing = accentlib.from_table(self.SOURCE, audio_dir=self.audio_dir, **columns, **times)
        else:
            listing = accentlib.read_known(kind, self.SOURCE, **columns)
        options = self.picked("seed", "min_seconds", "min_speakers")
        if self.accent_names:
            options["accent_names"] = read_accent_names(self.accent_names)
        note = KNOWN[kind].note if kind in KNOWN else ""
        table, report = accentlib.make_corpus(listing, self.output, note=note, **options)
        use = "use it as --data" if "split" in table else "it cannot be trained on as it is"
        log(f"{self.output}: {use}; report.json is in it")
        return count_problems(report)

    def join(self) -> None:
        joined = accentlib.join_corpora(self.data, self.output, seed=self.seed)
        log(f"{self.output}: {counted(len(joined), 'clip')}")

    def find_phones(self) -> Problems:
        if not (self.data and self.output):
            raise InputError("give --data and --output; see accentlib phones --help")
        table = accentlib.read_corpus(self.data, split=False)
        options = self.picked("transcripts", "acoustic_model", "dictionary")
        if self.text and self.transcripts:
            raise InputError("give --text or --transcripts, not both")
        if self.text:
            try:
                options["text"] = Path(self.text).read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "it is not in UTF-8"
                raise InputError(f"{self.text}: no text that can be read ({why})") from None
            if not options["text"].strip():
                raise InputError(f"{self.text}: there is no text in it")
        phones, problems = accentlib.find_phones(table, self.output, **options)
        counts = phones.groupby(clip_ids(phones))["source"].first().value_counts()
        found = [f"{counted(n, 'clip')} {how}" for how, n in counts.items()]
        log(f"{', '.join(found)}: {self.output}")
        return problems

    def phones_from_textgrids(self) -> Problems:
        table = accentlib.read_corpus(self.data, split=False)
        phones, problems = phones_from_textgrids(table, self.SOURCE, self.output, self.tier)
        log(f"{counted(len(phones), 'phone')}: {self.output}")
        return problems

    def phones_to_textgrids(self) -> None:
        table, phones = accentlib.read_corpus(self.data, split=False), accentlib.read_phones(self.phones)
        written = phones_to_textgrids(table, phones, self.output, self.tier)
        log(f"{counted(written, 'TextGrid')}: {self.output}")
