"""Where and in what precision the network computes."""

import torch

from .config import InputError


def get_device(name: str = "auto") -> torch.device:
    """The device of that name; auto: CUDA, else MPS, else the CPU.

    Raises InputError if PyTorch has no such device here.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    kind = name.split(":")[0]
    if kind not in ("cpu", "cuda", "mps") or (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        raise InputError(f"device {name!r} is not to be had here; use auto or cpu")
    return torch.device(name)


def get_precision(name: str, device: torch.device) -> torch.dtype:
    """The type that training computes convolutions in: bfloat16 only where the processor has it."""
    if name == "auto":
        if device.type == "cpu":
            capabilities = torch.cpu.get_capabilities()
            fast = capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)
        else:
            fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        name = "bfloat16" if fast else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
