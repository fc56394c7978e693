"""A model for other programs: as ONNX, or its weights as safetensors."""

import json
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..config import InputError
from ..files import replacing
from .accent_net import AccentNet, evaluating

FORMATS = ("onnx", "safetensors")
TOLERANCE = 1e-4  # largest difference to PyTorch, relative to the largest value
CHECKED = ((1, 60), (3, 413), (1, 3000))  # batches and frames that are compared


class Outputs(nn.Module):
    """What an exported network gives for normalised ``log_mels`` ``(batch, frames, mels)`` of equal lengths:
    embeddings ``(batch, embedding)`` and logits ``(batch, accents)``."""

    def __init__(self, model: AccentNet):
        super().__init__()
        self.model = model

    def forward(self, log_mels: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self.model.embed(log_mels)
        return embeddings, self.model.classify(embeddings)


def export(model: AccentNet, output: str | Path, *, form: str = "onnx", note: str = "",
           card: str = "") -> float:  # fmt: skip
    """Write a model in one of FORMATS; return the largest difference of its outputs to PyTorch's.

    Labels, phones, settings, calibration and the ``note`` (its licence) are in the file's metadata, as JSON,
    and a ``card`` in Markdown with YAML front matter. Raises InputError if the file is named after another
    format, a package is missing, or ONNX Runtime computes something else (then nothing is written)."""
    if form not in FORMATS or Path(output).suffix.lower().lstrip(".") in {*FORMATS} - {form}:
        raise InputError(f"{output}: name it .onnx or .safetensors, after its format")
    needed = ("onnx", "onnxruntime") if form == "onnx" else ("safetensors",)
    if lacking := [name for name in needed if not find_spec(name)]:
        raise InputError(f"{form} needs {' and '.join(lacking)}: pip install 'accentlib[export]'")
    facts = {"labels": model.labels, "phones": model.phones, "config": model.config.to_dict(),
             "calibration": vars(model.calibration), "note": note}  # fmt: skip
    metadata, output = {name: json.dumps(fact) for name, fact in facts.items()}, Path(output)
    front = {
        "library_name": "accentlib",
        "license": note or "not stated",
        "language": "en",
        "labels": model.labels,
    }
    lines = "\n".join(f"{name}: {json.dumps(fact, ensure_ascii=False)}" for name, fact in front.items())
    metadata["card"] = f"---\n{lines}\n---\n{card}"  # YAML front matter
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary, evaluating(model):
        if form == "safetensors":
            from safetensors.torch import save

            weights = {name: x.contiguous() for name, x in model.state_dict().items()}
            temporary.write_bytes(save(weights, metadata))
            return 0.0
        _write_onnx(model, temporary, metadata)
        if (difference := _difference(model, temporary)) > TOLERANCE:
            raise InputError(
                f"{output}: not written, as its outputs differ from PyTorch's by {difference:.1g}"
            )
        return difference


def _write_onnx(model: AccentNet, file: Path, metadata: dict[str, str]) -> None:
    import onnx

    axes = {"log_mels": {0: "batch", 1: "frames"}, "embeddings": {0: "batch"}, "logits": {0: "batch"}}
    example, names = (torch.zeros(2, 200, model.config.n_mels),), ["embeddings", "logits"]
    with warnings.catch_warnings(action="ignore"):  # the newer exporter needs onnxscript, and fixes lengths
        torch.onnx.export(Outputs(model.cpu()).eval(), example, str(file), input_names=["log_mels"],
                          output_names=names, dynamic_axes=axes, dynamo=False)  # fmt: skip
    written = onnx.load(str(file))
    onnx.helper.set_model_props(written, metadata)
    onnx.save(written, str(file))


@torch.inference_mode()
def _difference(model: AccentNet, file: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    rng, largest = np.random.default_rng(0), 0.0
    for batch, frames in CHECKED:
        log_mels = 2 * rng.standard_normal((batch, frames, model.config.n_mels)).astype(np.float32)
        ours = Outputs(model).eval()(torch.from_numpy(log_mels))
        for own, other in zip(ours, session.run(None, {"log_mels": log_mels}), strict=True):
            largest = max(largest, float(np.abs(own.numpy() - other).max() / own.abs().max()))
    return largest
