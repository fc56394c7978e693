"""Where, and in what precision, the network computes."""

import torch

from .config import InputError


def get_device(name: str = "auto") -> torch.device:
    """The device of that name; auto: CUDA, else MPS, else the CPU. Raises InputError if it is missing."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = next(kind for kind in here if here[kind]) if name == "auto" else name
    if not here.get(name.split(":")[0]):
        raise InputError(f"device {name!r} is not available on this machine; use auto or cpu")
    return torch.device(name)


def get_precision(name: str, device: torch.device) -> torch.dtype:
    """The type that training computes convolutions in; auto: bfloat16 where the processor has it."""
    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        if device.type == "cpu":  # an older PyTorch cannot tell: float32
            has: dict = getattr(torch.cpu, "get_capabilities", dict)()
            fast = has.get("avx512_bf16", False) or has.get("amx_bf16", False)
        name = "bfloat16" if fast else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
