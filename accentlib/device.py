"""Where and in what precision the network computes."""

import ctypes
import sys

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


def keep_freed_memory() -> None:
    """Let the C library keep blocks of up to 32 MB that are freed, for they are asked for again at once.

    glibc gives large ones back to the system each time, which then has to clear their pages anew: a fifth of the
    time of a training step of 64 channels. Other systems' libraries are left as they are.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(-3, 32 * 2**20)  # M_MMAP_THRESHOLD; 32 MB is its maximum
        library.mallopt(-1, 2**30)  # M_TRIM_THRESHOLD
