"""What the verbs do. This module is imported when one runs, and torch when a verb needs it."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import accentlib

from ..config import Config, InputError, counted
from ..corpora.sources import FOREIGN_SUFFIXES, files_in
from ..corpora.table import corpus_note
from ..features.audio import AUDIO_SUFFIXES
from ..features.store import clip_ids, prepare
from ..files import is_file, replacing, write_table
from ..published.lists import extract_list, label_corpus, read_pairs
from .corpus_verbs import CorpusVerbs, Problems
from .flags import GROUPS
from .settings import log

SHIPPED = {  # what is printed about the models of the package
    "real_speech": "names the most similar of nine first languages; it is often wrong, and no test of origin",
    "accents_mini": "trained on synthetic voices with exaggerated accents; it names one of six for any audio",
    "accents_mini_phones": "as accents_mini; it learned phones as well",
}
LICENCE = "trained on the Speech Accent Archive (S. Weinberger, George Mason University); CC BY-NC-SA 2.0"
HELD = "; it holds recordings: pass it on only if the speakers agreed"


class Call(CorpusVerbs):
    """One call of the command line: the arguments as attributes, and a method for each verb."""

    def trainer(self, config: Config, out_dir: Path):
        """A :class:`accentlib.Trainer` for the corpus or for the label files."""
        sources = self.picked("data", *GROUPS["LABEL_FILES"].split())
        if self.data:
            from ..experiments.recipe import phones_for

            table = accentlib.read_corpus(self.data, seed=config.seed)
            found = table["accent"].nunique()
            if self.num_accents not in (None, found):
                raise InputError(f"{self.data}: has {found} accents, not {self.num_accents}")
            phones = phones_for(accentlib.select(table, "train"), self.data, config, out_dir, self.phones)
            known = {"phones": phones, "phone_names": self.phone_names(config)}
            return accentlib.Trainer(table, config, out_dir, sources=sources, **known)
        if bool(self.valid_clients) != bool(self.valid_impostors):
            raise InputError("give both --valid_clients and --valid_impostors")
        if not (self.valid_labels_path or self.valid_clients):
            raise InputError("nothing to validate on; give --valid_labels_path, or pairs by --valid_clients")
        files = (self.train_labels_path, self.valid_labels_path, self.train_data_dir, self.valid_data_dir)
        table, labels = label_corpus(*files, self.label_names, num_accents=self.num_accents)
        pairs = None
        if self.valid_clients:
            pairs = read_pairs(self.valid_clients, self.valid_impostors, self.valid_data_dir)
        return accentlib.Trainer(table, config, out_dir, labels=labels, pairs=pairs, sources=sources)

    def model(self):
        """The model of --checkpoint, on --device and with the settings that the call changes."""
        if name := self.shipped():
            log(f"{name}: {SHIPPED[name]}")
        model = accentlib.load_model(self.checkpoint or "real_speech").to(accentlib.get_device(self.device))
        model.config = model.config.replace(**self.picked("sample_rate", "n_fft", "evaluation_window"))
        return model

    def shipped(self) -> str:
        """The name of the model, if it is one of the package."""
        name = self.checkpoint or "real_speech"
        return name if name in SHIPPED and not is_file(name) else ""

    def licence(self) -> str:
        """Credit and licence of the model, if it is the one trained on people."""
        return LICENCE if self.shipped() == "real_speech" else ""

    def recordings(self) -> list[str]:
        """The named audio files, and those in the named folders."""
        files, suffixes = [], (*AUDIO_SUFFIXES, *FOREIGN_SUFFIXES)  # what cannot be read is reported
        for name in self.FILE:
            path, found = Path(name), [name]
            if path.is_dir():
                found = [file for file in files_in(path) if file.suffix.lower() in suffixes]
            if not found:
                raise InputError(f"{name}: no audio files in it")
            files.extend([*map(str, found)])
        return files

    def run(self) -> Problems:
        from ..experiments.run import summary

        config, out_dir, last = self.settings()
        metrics = accentlib.run(self.data, config, out_dir, phones=self.phones, resume=last is not None)
        log(summary(metrics, out_dir))
        return metrics["problems"]

    def features(self) -> Problems:
        config, out_dir, _ = self.settings()
        if self.data:
            table = accentlib.read_corpus(self.data, seed=config.seed)
            _, store = prepare(table, config, out_dir / "features", scheduler=self.scheduler)
            log(f"features are in {store.folder}")
            return store.problems
        if self.out_dir:
            raise InputError("features -i writes beside the audio files; leave out --out_dir")
        extracted, unchanged, problems = extract_list(self.paths, config, scheduler=self.scheduler)
        log(f"{counted(extracted, 'file')} extracted, {unchanged} unchanged")
        return problems

    def train(self) -> Problems:
        """Train from random weights, or for ``finetune`` from those of a checkpoint."""
        from ..training.loop import check_free
        from ..training.processes import connect, disconnect, rank

        connect()
        config, out_dir, last = self.settings()
        if not last:
            check_free(out_dir)
        trainer = self.trainer(config, out_dir)
        if last:
            trainer.resume(last)
        elif self.verb == "finetune":
            trainer.start_from(self.checkpoint)
        trainer.train()
        first = rank() == 0
        disconnect()
        if not first:
            return {}
        best = f"EER {1 - trainer.best:.1%}" if config.criterion == "eer" else f"macro F1 {trainer.best:.1%}"
        log(f"best validation {best}: {out_dir / 'best.pt'}")
        return trainer.store.problems

    def compare(self) -> None:
        from ..experiments.compare import draw_comparison, report_comparison

        config, out_dir, _ = self.settings()
        rows = accentlib.compare(self.data, config, out_dir, **self.picked("seeds", "poolings"))
        print(report_comparison(rows, out_dir))
        draw_comparison(rows, out_dir)

    def crossvalidate(self) -> None:
        from ..experiments.crossvalidate import report_figures

        config, out_dir, _ = self.settings()
        options = self.picked("folds", "tested", "seeds", "phones", "final", "by_text")
        _, figures = accentlib.cross_validate(self.data, config, out_dir, **options)
        print(report_figures(figures))
        log(f"figures: {out_dir / 'crossvalidation.json'}; predictions: predictions.csv beside it")

    def evaluate(self) -> Problems:
        from ..experiments.run import warnings_of
        from ..published.evaluate import evaluate_labels

        self.check_source(self.data, self.labels_path)
        if self.embeddings and not self.data:
            raise InputError("--embeddings are evaluated on a corpus; give --data")
        if self.embeddings:
            metrics = accentlib.evaluate_vectors(self.embeddings, self.data, self.split)
        elif self.data:
            metrics = accentlib.evaluate(self.model(), self.data, self.split)
        else:
            metrics = evaluate_labels(self.model(), self.labels_path, self.data_dir, self.label_names)
        for line in warnings_of(metrics):
            log(line)
        print(json.dumps(metrics, indent=2))
        return metrics["problems"]

    def embed(self) -> Problems:
        self.FILE += filter(None, [self.audioPath])
        self.check_source(self.data, self.FILE)
        if self.output and self.output.suffix.lower() in (".tsv", ".txt", ".json"):
            raise InputError(
                f"{self.output}: embeddings are written as .npz or .csv; without --output, as text"
            )
        clips: Any = accentlib.read_corpus(self.data, split=False) if self.data else self.recordings()
        answers = accentlib.infer(self.model(), clips, scheduler=self.scheduler)
        if not self.output:
            np.savetxt(sys.stdout, answers.embeddings, fmt="%.6g")
            return answers.problems
        known = pd.DataFrame({"path": answers.ids})
        if self.data:
            names = ["path", "accent", "speaker", "split"]
            rows = clips.reindex(columns=names, fill_value="").set_axis(clip_ids(clips)).loc[answers.ids]
            known = rows.rename_axis("id").reset_index()
        self.output.parent.mkdir(parents=True, exist_ok=True)
        if self.output.suffix.lower() == ".csv":
            write_table(self.output, known.join(pd.DataFrame(answers.embeddings).add_prefix("e")))
            return answers.problems
        arrays: dict[str, Any] = {f"{name}s": known[name].to_numpy(str) for name in known}
        with replacing(self.output) as temporary, temporary.open("wb") as file:
            np.savez(file, embeddings=answers.embeddings, **arrays)
        return answers.problems

    def predict(self) -> Problems:
        from ..embeddings.inference import prediction_table

        self.check_source(self.data, self.FILE)
        clips: Any = accentlib.read_corpus(self.data, split=False) if self.data else self.recordings()
        model, problems = self.model(), Problems()
        if not self.windows:
            answers = accentlib.infer(model, clips)
            prediction_table(model, answers, every=self.every).to_csv(sys.stdout, index=False)
            return answers.problems
        for number, file in enumerate(clips["path"] if self.data else clips):
            try:
                table = accentlib.predict_windows(model, file)
                table.to_csv(sys.stdout, index=False, header=number == len(problems))
            except InputError as error:
                problems[file] = str(error)
        return problems

    def significance(self) -> None:
        print(json.dumps(accentlib.significance(self.FIRST, self.SECOND), indent=2))

    def export(self) -> None:
        from ..network.checkpoint import MODELS

        form = self.format or self.output.suffix.lower().lstrip(".")
        note, file = self.licence(), MODELS / "real_speech.md"
        texts = {"note": note, "card": file.read_text("utf-8") if note else ""}
        difference = accentlib.export(self.model(), self.output, form=form, **texts)
        log(f"{self.output}: its outputs differ from PyTorch's by at most {difference:.1g}")

    def score(self) -> Problems:
        pairs = read_pairs(self.clients, self.impostors, self.data_dir, audio=True)
        scored, figures, problems = accentlib.score_pairs(self.model(), pairs)
        if self.output:
            write_table(self.output, scored)
        print(json.dumps(figures, indent=2))
        return problems

    def page(self) -> Problems:
        from ..interactive.answer_page import answer_page, archive_voices, corpus_voices

        shipped, note = bool(self.licence()), corpus_note(self.data) if self.data else ""
        if not (shipped or note) and self.shipped():
            note = f"It is {SHIPPED['accents_mini']}."
        model, voices, problems = self.model(), archive_voices() if shipped else None, Problems()
        if self.data:
            table = accentlib.read_corpus(self.data, split=False)
            voices, problems = corpus_voices(model, table, recordings=self.with_recordings)
        elif self.with_recordings:
            raise InputError("--recordings puts those of a corpus into the page; give --data")
        answer_page(model, self.output, voices, shipped=shipped, note=note)
        log(f"{self.output}: open it in a browser" + HELD * self.with_recordings)
        return problems

    def map(self) -> Problems:
        table = accentlib.read_corpus(self.data, split=False)
        if self.split:
            table = pd.concat([accentlib.select(table, split) for split in self.split])
        texts = {"title": f"Accents of {self.data_name()}", "note": corpus_note(self.data)}
        problems = accentlib.accent_map(self.model(), table, self.output, megabytes=self.megabytes, **texts)
        log(f"{self.output}: open it in a browser{HELD}")
        return problems
