"""One training on several processes and machines: torchrun starts them, PyTorch connects them.

    torchrun --nproc-per-node 2 -m accentlib train --data corpus --out_dir run

Each process takes its share of every batch; gradients, the statistics of batch norm, figures and validation are
put together. So a configuration means the same on many processes as on one, and so does a checkpoint.
"""

import os
import time
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

from ..config import Config, InputError


def connect() -> None:
    """Join the other processes, where torchrun (or a batch system's script) started some."""
    if "WORLD_SIZE" not in os.environ or "RANK" not in os.environ:
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def disconnect() -> None:
    """Leave the other processes, if there are some."""
    if dist.is_initialized():
        dist.destroy_process_group()
        # Gloo's threads drop their last tensors under Python's lock, and the reducer, when it is freed, holds that lock
        # while it joins them: now and then both waited for ever (PyTorch 2.13). Asleep, this thread gives the lock away.
        time.sleep(0.5)


def world_size() -> int:
    """How many processes train together; 1 where there is no other."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0; the first one writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def wait() -> None:
    """Until the other processes are here as well."""
    if world_size() > 1:
        dist.barrier()


def gather(value: Any) -> list[Any]:
    """What each process has, in their order."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def check_shares(config: Config, clips: int) -> None:
    """Raise an InputError if the processes cannot have equal shares of every batch."""
    processes = world_size()
    if config.batch_size % processes:
        raise InputError(f"batch_size {config.batch_size} cannot be shared by {processes} processes evenly")
    if processes > 1 and clips < config.batch_size:
        raise InputError(f"{clips} training clips do not fill a batch_size of {config.batch_size}")


def parallel(model: nn.Module, config: Config) -> nn.Module:
    """The model to call in training: its gradients are means over all processes, as are batch statistics."""
    if world_size() == 1:
        return model
    for norm in model.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            norm.forward = partial(_normalise_together, norm)
    # A frozen front end has no gradients to wait for.
    return DistributedDataParallel(model, find_unused_parameters=config.freeze_epochs > 0)


def _normalise_together(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    """Batch norm by the mean and variance of all processes' values; PyTorch's SyncBatchNorm needs GPUs."""
    if not norm.training:
        return type(norm).forward(norm, x)
    dims, shape = [0, *range(2, x.ndim)], (1, -1, *(1 for _ in x.shape[2:]))
    count = torch.full((1,), x.numel() / x.shape[1], device=x.device)
    sums = all_reduce(torch.cat([x.float().sum(dims), count]))  # (channels + 1,)
    size = sums[-1].detach()
    mean = sums[:-1] / size
    centred = x - mean.view(shape)
    variance = all_reduce(centred.square().sum(dims)) / size
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * size / (size - 1), norm.momentum)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return (centred * scale.view(shape) + norm.bias.view(shape)).to(x.dtype)
