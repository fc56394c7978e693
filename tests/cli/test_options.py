"""Every option of the published trainer: its spellings, its default, and that it changes what it should."""

import dataclasses
import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from helpers import RATE, TINY, as_flags, tone, train_argv
from programs import Program

from accentlib.cli import main
from accentlib.cli.flags import make_parser, spellings
from accentlib.config import ALIASES, Config, InputError
from accentlib.corpora.table import read_corpus
from accentlib.device import get_device
from accentlib.features.store import open_store
from accentlib.network.accent_net import AccentNet
from accentlib.network.checkpoint import load_model, read_checkpoint
from accentlib.published.lists import label_corpus
from accentlib.training.augment import augment_wave
from accentlib.training.loop import Trainer
from accentlib.training.schedule import make_optimizer, plateau_rate
from accentlib.training.windows import EpochSampler, training_loader

# Published default of each option, and another value of it.
OPTIONS = {
    "front_end": ("VGG4L", "ResNet34"),
    "channels": (1024, 64),
    "pooling_method": ("DoubleMHA", "Attention"),
    "heads": (32, 8),
    "head_drop": (0.3, 0.1),
    "embedding_size": (400, 12),
    "crop_seconds": (3.5, 2.5),
    "randomSlicing": (False, True),
    "normalization": ("cmn", "cmvn"),
    "scalingFactor": (30.0, 20.0),
    "marginFactor": (0.4, 0.2),
    "annealing": (False, True),
    "optimizer": ("Adam", "SGD"),
    "learning_rate": (1e-4, 1e-3),
    "weight_decay": (1e-3, 0.0),
    "batch_size": (64, 16),
    "gradientAccumulation": (2, 1),
    "max_epochs": (1_000_000, 3),
    "early_stopping": (25, -1),
    "print_every": (1000, 10),
    "validate_every": (10_000, 100),
    "num_workers": (2, 0),
    "seed": (1234, 1),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_has_its_published_name_default_and_spellings(option):
    default, other = OPTIONS[option]
    field = ALIASES.get(option, option)
    assert getattr(Config.paper(), field) == default
    flags = spellings(field)
    assert f"--{option}" in flags and f"--{field.replace('_', '-')}" in flags
    for flag in flags:
        argv = ["train", "--data", "x", flag, *([] if other is True else [str(other)])]
        assert getattr(make_parser().parse_args(argv), field) == other


# Every option of the published parsers, as their users type it, and the verb that takes it here.
TRAINER = """
    --train_data_dir D --valid_data_dir D --train_labels_path F --valid_clients F --valid_impostors F --out_dir D
    --front_end VGG4L --crop_seconds 3.5 --randomSlicing --normalization cmn --channels 1024 --embedding_size 400
    --heads 32 --pooling_method DoubleMHA --pooling_method Attention --pooling_method MHA
    --pooling_method Statistical --head_drop 0.3 --scalingFactor 30.0 --marginFactor 0.4 --annealing
    --optimizer Adam --learning_rate 0.0001 --weight_decay 0.001 --batch_size 64 --gradientAccumulation 2
    --max_epochs 1000000 --early_stopping 15 --print_every 1000 --requeue --validate_every 10000 --num_workers 2
    --data_mode normal --data_mode window --model_name CNN --num_spkrs 5994
"""
ACCENT_TRAINER = (
    TRAINER
    + """
    --val_labels_path F --valid_labels_path F --front_end ResNet34 --num_accents 5 --data_mode_dev window
    --features --features mfsc --padding --padding True
"""
)
PUBLISHED = {
    "train": ACCENT_TRAINER,
    "finetune": ACCENT_TRAINER,
    "features": "--audioFilesList F -i F",
    "embed": "--audioPath F --modelConfig F --modelCheckpoint F --device cpu",
}


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        (verb, f"--{o}")
        for verb, options in PUBLISHED.items()
        for o in " ".join(options.split()).split("--")[1:]
    ],
)
def test_every_option_of_the_published_parsers_is_accepted(verb, option):
    make_parser().parse_args([verb, *option.split()])


def test_a_published_command_line_trains_and_says_what_has_no_meaning(lists, tmp_path, capsys):
    argv = train_argv(
        lists, tmp_path / "m", "--pooling_method", "Statistical", "--num_accents", "3", "--padding"
    )
    argv[argv.index("--valid-labels-path")] = "--val_labels_path"
    more = {"data_mode": "normal", "data_mode_dev": "window", "model_name": "CNN", "features": "mfsc"}
    assert main([*argv, *as_flags(more)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "no meaning" in line]
    said = [line.removeprefix("accentlib: ").split(" has no meaning here: ")[0] for line in lines]
    assert sorted(said) == ["--data_mode", "--data_mode_dev", "--features", "--model_name", "--padding"]
    assert load_model(tmp_path / "m" / "best.pt").config.pooling_method == "Statistics"


def small(**changes) -> Config:
    plain = {"sample_rate": RATE, "num_workers": 0, "gradient_accumulation": 1}
    return Config.paper(**TINY | plain | changes)


def test_front_end_and_kernel_size_shape_the_encoder():
    x = torch.randn(2, 64, 80)
    for front_end, shape in {"VGG3L": (8, 320), "VGG4L": (4, 160), "ResNet34": (2, 32)}.items():
        model = AccentNet(small(front_end=front_end, channels=32), ["a", "b"]).eval()
        assert model.encode(x)[0].shape == (2, *shape)
    blocks = AccentNet(small(channels=32), ["a", "b"]).front_end.blocks
    assert [block.conv2.out_channels for block in blocks] == [4, 8, 16, 32]
    layers = AccentNet(small(front_end="ResNet34", channels=32), ["a", "b"]).front_end
    assert [len(layer) for layer in (layers.layer1, layers.layer2, layers.layer3, layers.layer4)] == [
        3,
        4,
        6,
        3,
    ]


def test_pooling_heads_and_embedding_size_shape_what_follows():
    for pooling, size in {"Statistics": 160, "Attention": 80, "MHA": 80, "DoubleMHA": 20}.items():
        model = AccentNet(small(pooling_method=pooling), ["a", "b"])
        assert model.fc1.in_features == size and model.fc1.out_features == TINY["embedding_size"]
    heads = [AccentNet(small(heads=n), ["a", "b"]).pooling.query.shape[0] for n in (2, 8)]
    assert heads == [40, 10]
    assert AccentNet(small(embedding_size=7), ["a", "b"]).embed(torch.randn(2, 40, 80)).shape == (2, 7)


def test_mask_prob_drops_heads():
    x, mask = torch.randn(400, 3, 80), torch.ones(400, 3, dtype=torch.bool)
    for prob in (0.0, 0.25, 0.5):
        pooling = AccentNet(small(head_drop=prob), ["a", "b"]).pooling.train()
        assert (pooling(x, mask)[1].heads == 0).float().mean() == prob  # of four heads: always that many


@pytest.fixture
def batches(tmp_path, corpus_dir):
    """Sizes and lengths of the training batches of a configuration."""
    table = read_corpus(corpus_dir)

    def first_batches(config):
        store = open_store(table, tmp_path, config)
        loader = training_loader(store, table, ["high", "low", "middle"], config)
        assert loader.num_workers == config.num_workers
        return list(loader)

    return first_batches


def test_window_batch_normalization_seed_and_workers_shape_the_batches(batches):
    plain = batches(small(crop_seconds=0.3, batch_size=4))
    assert all(x.shape == (4, 30, 80) for x, *_ in plain) and len(plain) == 45 // 4
    assert all(x.shape[:2] == (8, 20) for x, *_ in batches(small(crop_seconds=0.2)))
    assert not torch.equal(plain[0][2], batches(small(crop_seconds=0.3, batch_size=4, seed=5))[0][2])
    divided = batches(small(crop_seconds=0.3, batch_size=4, normalization="cmvn"))
    assert plain[0][0].std() < 0.6 and 0.8 < divided[0][0].std() < 1.2
    helped = batches(small(crop_seconds=0.3, batch_size=4, num_workers=1))
    assert torch.equal(helped[3][0], plain[3][0])


def test_random_slicing_cuts_each_batch_from_2_s_to_the_window():
    config = small(crop_seconds=2.5, random_slicing=True)
    sampler = EpochSampler([0] * 4000, config)
    lengths = [{frames for _, _, frames in batch} for batch in sampler]
    assert all(len(of_batch) == 1 for of_batch in lengths)
    lengths = [of_batch.pop() for of_batch in lengths]
    assert min(lengths) in range(200, 204) and max(lengths) in range(247, 251) and len(set(lengths)) > 40
    plain = EpochSampler([0] * 40, small(crop_seconds=2.5))
    assert {frames for batch in plain for _, _, frames in batch} == {250}
    with pytest.raises(InputError, match="random_slicing needs crop_seconds of at least 2 s"):
        small(crop_seconds=1.5, random_slicing=True)


def test_scaling_margin_and_annealing_reach_the_loss():
    cosines, targets = torch.tensor([[0.5, 0.1]]), torch.tensor([0])
    head = AccentNet(small(scale=20.0, margin=0.2), ["a", "b"]).am_softmax
    torch.testing.assert_close(head.margin_logits(cosines, targets), torch.tensor([[6.0, 2.0]]))
    head = AccentNet(small(scale=20.0, margin=0.2, annealing=True), ["a", "b"]).am_softmax
    step, alpha = 10_000, 1000 / 4
    expected = 20 * (alpha * 0.5 + 0.3) / (1 + alpha)
    assert head.margin_logits(cosines, targets, step)[0, 0].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["Adam", "SGD", "RMSprop"])
def test_optimizer_learning_rate_and_weight_decay(name):
    config = small(optimizer=name, learning_rate=0.02, weight_decay=0.5)
    optimizer = make_optimizer(AccentNet(config, ["a", "b"]), config)
    assert type(optimizer).__name__ == name
    assert optimizer.param_groups[0]["lr"] == 0.02 and optimizer.param_groups[0]["weight_decay"] == 0.5
    rates = [plateau_rate(1.0, stale, config) for stale in (0, 1, 14, 15, 16, 30)]
    assert rates == ([1.0] * 6 if name == "RMSprop" else [1, 1, 1, 0.5, 1, 0.5])


def steps_of(corpus_dir, tmp_path, **changes):
    trainer = Trainer(read_corpus(corpus_dir), small(**changes), tmp_path, progress=False)
    trainer.train()
    return trainer, [row["step"] for row in trainer.history]


def test_accumulation_epochs_and_validate_every_count_updates(corpus_dir, tmp_path):
    # 27 training clips are 3 batches of 8
    assert steps_of(corpus_dir, tmp_path / "a", validate_every=2)[1] == [2, 4, 6]
    assert steps_of(corpus_dir, tmp_path / "b", validate_every=0)[1] == [3, 6]
    assert steps_of(corpus_dir, tmp_path / "c", validate_every=2, gradient_accumulation=2)[1] == [2, 4]
    assert steps_of(corpus_dir, tmp_path / "d", validate_every=10_000, max_epochs=1)[1] == [3]


def test_early_stopping_counts_validations_and_can_be_off(corpus_dir, tmp_path):
    for early_stopping, expected in {2: 2, -1: 12}.items():
        config = small(validate_every=1, early_stopping=early_stopping, max_epochs=4)
        trainer = Trainer(read_corpus(corpus_dir), config, tmp_path / str(early_stopping), progress=False)
        trainer.best = 2.0  # nothing is better
        trainer.train()
        assert len(trainer.history) == expected


def test_print_every_prints_the_training_loss(corpus_dir, tmp_path, capsys):
    for every, expected in {2: 3, 5: 1, 0: 0}.items():
        config = small(print_every=every)
        Trainer(read_corpus(corpus_dir), config, tmp_path / str(every)).train()
        assert capsys.readouterr().err.count("training loss") == expected


def test_requeue_goes_on_from_the_newest_checkpoint_and_begins_where_there_is_none(lists, tmp_path):
    argv = train_argv(lists, tmp_path / "m", "--validate_every", "2", "--requeue")
    assert main(argv) == 0
    first = read_checkpoint(tmp_path / "m" / "last.pt")["training"]["counters"]
    assert main([*argv, "--max_epochs", "4"]) == 0
    second = read_checkpoint(tmp_path / "m" / "last.pt")["training"]["counters"]
    assert (first["step"], second["step"]) == (4, 8)
    assert main(train_argv(lists, tmp_path / "none", "--resume")) == 2


def test_the_best_score_and_the_early_stopping_count_survive_a_resume(corpus_dir, tmp_path):
    trainer, _ = steps_of(corpus_dir, tmp_path, learning_rate=1e-12, validate_every=1)
    assert trainer.best > 0 and trainer.stale == 5
    again = Trainer(read_corpus(corpus_dir), trainer.config, tmp_path, progress=False)
    again.resume(tmp_path / "last.pt")
    assert (again.best, again.stale, again.step) == (trainer.best, trainer.stale, 6)


def test_waves_are_changed_three_times_in_four_by_pitch_stretch_or_noise():
    wave, rng = tone(300, 0.5), np.random.default_rng(0)
    results = [augment_wave(wave, RATE, rng) for _ in range(200)]
    same = sum(len(x) == len(wave) and np.array_equal(x, wave) for x in results)
    stretched = [len(x) / len(wave) for x in results if len(x) != len(wave)]
    noisy = [x for x in results if len(x) == len(wave) and 0.004 < (x - wave).std() < 0.006]
    assert 30 <= same <= 70 and 30 <= len(stretched) <= 70 and 30 <= len(noisy) <= 70
    assert 1 / 1.2 - 0.01 <= min(stretched) < 0.9 and 1.3 < max(stretched) <= 1 / 0.7 + 0.01
    shifted = [x for x in results if len(x) == len(wave) and (x - wave).std() > 0.01]
    tops = {round(np.abs(np.fft.rfft(x, 1 << 17)).argmax() * RATE / (1 << 17)) for x in shifted}
    expected = [round(300 * 2 ** (steps / 16)) for steps in range(-4, 4)]
    assert all(min(abs(top - e) for e in expected) <= 3 for top in tops) and len(tops) >= 6


def test_wave_augmentation_changes_what_is_trained_on_and_needs_the_audio(lists, tmp_path):
    folder = lists / "audio"
    table, labels = label_corpus(lists / "train.lst", lists / "validation.lst", folder, folder)
    config = small(wave_augment=True, crop_seconds=0.4)
    trainer = Trainer(table, config, tmp_path / "a", labels=labels, progress=False)
    dataset = trainer.loader.dataset
    plain = Trainer(
        table, small(crop_seconds=0.4), tmp_path / "b", labels=labels, progress=False
    ).loader.dataset
    draws = [dataset[(epoch, 0, 40)][0] for epoch in range(30)]
    assert all(x.shape == (40, 80) for x in draws) and not np.allclose(draws[0], draws[1])
    np.testing.assert_array_equal(draws[3], dataset[(3, 0, 40)][0])
    assert any(np.abs(x - plain[(e, 0, 40)][0]).max() > 2 for e, x in enumerate(draws))
    trainer.train()
    audio = folder / "high_2_0.wav"
    audio.rename(folder / "elsewhere")
    with pytest.raises(
        InputError, match="wave_augment needs the audio: there is none beside .*high_2_0.pickle"
    ):
        Trainer(table, config, tmp_path / "c", labels=labels, progress=False)
    (folder / "elsewhere").rename(audio)


def test_finetuning_replaces_the_head_and_keeps_the_front_end_frozen(lists, corpus_dir, tmp_path):
    base = small(max_epochs=1, sample_rate=0, batch_norm=True)
    Trainer(read_corpus(corpus_dir), base, tmp_path / "base", progress=False).train()
    (tmp_path / "names.csv").write_text("label,name\n0,outer\n1,low\n2,outer\n")
    argv = train_argv(lists, tmp_path / "m", "--label_names", str(tmp_path / "names.csv"))
    argv[0] = "finetune"
    argv += [
        "--checkpoint",
        str(tmp_path / "base" / "best.pt"),
        "--freeze_epochs",
        "1",
        "--channels",
        "16",
    ]
    assert main([*argv, "--max_epochs", "1"]) == 0
    old, new = load_model(tmp_path / "base" / "best.pt"), load_model(tmp_path / "m" / "last.pt")
    assert new.labels == ["outer", "low"] and new.am_softmax.weight.shape == (12, 2)
    before, after = old.state_dict(), new.state_dict()
    frozen = [name for name in before if name.startswith("front_end.")]
    assert frozen and all(torch.equal(before[name], after[name]) for name in frozen)
    assert not torch.equal(before["fc1.weight"], after["fc1.weight"])
    torch.testing.assert_close(before["fc1.weight"], after["fc1.weight"], atol=0.01, rtol=0)  # it began there
    assert main([*argv, "--max_epochs", "2", "--resume"]) == 0
    after = load_model(tmp_path / "m" / "last.pt").state_dict()
    assert not any(torch.equal(before[name], after[name]) for name in frozen)


def test_training_runs_on_a_machine_without_cuda(corpus_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert get_device("auto").type in ("cpu", "mps")
    assert steps_of(corpus_dir, tmp_path, device="cpu")[1]


def test_a_batch_of_one_is_refused_and_a_network_of_one_utterance_works():
    with pytest.raises(InputError, match="batch_size must be at least 2"):
        small(batch_size=1)
    for pooling in ("Statistics", "Attention", "MHA", "DoubleMHA"):
        for front_end in ("VGG3L", "ResNet34"):
            model = AccentNet(small(pooling_method=pooling, front_end=front_end), ["a", "b"]).eval()
            assert model.logits(torch.randn(1, 50, 80)).shape == (1, 2)


def test_all_fields_of_the_configuration_are_options():
    known = vars(make_parser().parse_args(["train", "--data", "x"]))
    argv = ["train", "--data", "x", *(f"--{f.name}" for f in dataclasses.fields(Config) if f.type is bool)]
    assert set(vars(make_parser().parse_args(argv))) - set(known) == {
        f.name for f in dataclasses.fields(Config) if f.type is bool
    }


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_killed_five_times_and_requeued_it_ends_with_the_weights_of_an_uninterrupted_run(lists, tmp_path):
    more = ["--validate_every", "7", "--max_epochs", "400", "--early_stopping", "-1", "--requeue"]
    argv = train_argv(lists, tmp_path / "killed", *more)
    last, rng, kills = tmp_path / "killed" / "last.pt", random.Random(0), 0
    while kills < 5:
        seen = last.stat().st_mtime_ns if last.exists() else 0
        program = Program(*argv)
        program.until(lambda seen=seen: last.exists() and last.stat().st_mtime_ns != seen)
        time.sleep(rng.uniform(0, 0.5))
        assert program.runs, "it ended before it was killed"
        program.send(signal.SIGKILL)
        program.end()
        kills += 1
    done = read_checkpoint(last)["training"]["counters"]["epoch"]
    assert 0 < done < 400
    end = ["--max_epochs", str(done + 5)]
    assert main([*argv, *end]) == 0
    assert main([*train_argv(lists, tmp_path / "whole", *more), *end]) == 0
    for name in ("last.pt", "best.pt"):
        killed, whole = (read_checkpoint(tmp_path / run / name) for run in ("killed", "whole"))
        for key, weight in whole["model"].items():
            assert torch.equal(weight, killed["model"][key]), (name, key)
        assert killed["training"]["counters"]["step"] == whole["training"]["counters"]["step"]


def test_the_accent_fork_has_its_defaults_and_finetunes_on_longer_windows(lists, tmp_path):
    small_network = {name: value for name, value in TINY.items() if name != "crop_seconds"}
    argv = train_argv(lists, tmp_path / "m")
    argv = [*argv[: argv.index("--channels")], *as_flags(small_network | {"num_workers": 0, "n_fft": 512})]
    argv += ["--preset", "accent_fork"]
    assert main(argv) == 0
    config = read_checkpoint(tmp_path / "m" / "best.pt")["config"]
    assert (config["crop_seconds"], config["early_stopping"], config["validate_every"]) == (0.2, 50, 1000)
    argv[0], argv[argv.index("--out_dir") + 1] = "finetune", str(tmp_path / "tuned")
    assert main([*argv, "--checkpoint", str(tmp_path / "m" / "best.pt")]) == 0
    assert read_checkpoint(tmp_path / "tuned" / "best.pt")["config"]["crop_seconds"] == 1.0
    assert (
        main(
            [
                *argv,
                "--checkpoint",
                str(tmp_path / "m" / "best.pt"),
                "--crop_seconds",
                "0.3",
                "--out_dir",
                str(tmp_path / "own"),
            ]
        )
        == 0
    )
    assert read_checkpoint(tmp_path / "own" / "best.pt")["config"]["crop_seconds"] == 0.3
    fork = {"early_stopping": 50, "validate_every": 1000, "num_workers": 8, "crop_seconds": 0.2}
    assert Config.accent_fork() == Config.paper(**fork)


@pytest.mark.parametrize("front_end", ["VGG3L", "VGG4L", "ResNet34"])
@pytest.mark.parametrize("crop_seconds", [0.01, 0.05, 0.2])
def test_windows_shorter_than_a_step_of_the_encoder_train(batches, front_end, crop_seconds):
    changes = {"speed_range": 0.9, "tract_range": 0.1, "spec_augment": True, "batch_size": 4}
    for pooling in ("Statistics", "DoubleMHA"):
        # a ResNet below 64 channels can crash PyTorch 2.13 on processors with AVX2 alone
        config = small(
            front_end=front_end, channels=64, pooling_method=pooling, crop_seconds=crop_seconds, **changes
        )
        model = AccentNet(config, ["high", "low", "middle"]).train()
        log_mels, lengths, targets, _ = batches(config)[0]
        model(log_mels, lengths, targets)[1].backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_window_shorter_than_a_frame_is_refused(corpus_dir, tmp_path, capsys):
    where = ["--data", str(corpus_dir), "--out_dir", str(tmp_path)]
    assert main(["train", *where, *as_flags(TINY), "--crop_seconds", "0.004"]) == 2
    assert "crop_seconds 0.004 s is shorter than a frame" in capsys.readouterr().err
