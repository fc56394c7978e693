"""One training on several processes and machines: torchrun starts them, PyTorch connects them.
Each takes its share of every batch; gradients, batch norm statistics and validation are combined."""

import os
import time
from functools import partial

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

from ..config import Config


def connect() -> None:
    """Join the other processes if torchrun (or a batch system's script) started some."""
    if os.environ.keys() >= {"WORLD_SIZE", "RANK"}:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def disconnect() -> None:
    """Leave the other processes, if there are some."""
    if dist.is_initialized():
        dist.destroy_process_group()
        # Gloo's threads drop their last tensors under Python's lock. The reducer, when freed, joins them and
        # holds it: now and then both waited forever (PyTorch 2.13). Sleeping releases the lock.
        time.sleep(0.5)


def world_size() -> int:
    """Number of processes that train together; 1 without others."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0; process 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def gather(value: object) -> list:
    """The values of all processes, in their order; each waits for the others."""
    values = [value] * world_size()
    if len(values) > 1:
        dist.all_gather_object(values, value)
    return values


def parallel(model: nn.Module, config: Config) -> nn.Module:
    """The model to call in training: gradients and batch statistics are means over all processes."""
    if world_size() == 1:
        return model
    for norm in model.modules():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            vars(norm)["forward"] = partial(_normalise_together, norm)
    # A frozen front end has no gradients to wait for.
    return DistributedDataParallel(model, find_unused_parameters=config.freeze_epochs > 0)


def _normalise_together(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    """Batch norm by the mean and variance over all processes; PyTorch's SyncBatchNorm needs GPUs."""
    if not norm.training:
        return type(norm).forward(norm, x)
    dims, shape = [0, *range(2, x.ndim)], (1, -1, *(1 for _ in x.shape[2:]))
    count = torch.full((1,), x.numel() / x.shape[1], device=x.device)
    sums = all_reduce(torch.cat([x.float().sum(dims), count]))  # (channels + 1,)
    mean = sums[:-1] / (size := sums[-1].detach())
    centred = x - mean.view(shape)
    variance = all_reduce(centred.square().sum(dims)) / size
    assert norm.momentum is not None
    with torch.no_grad():
        norm.get_buffer("num_batches_tracked").add_(1)
        norm.get_buffer("running_mean").lerp_(mean, norm.momentum)
        norm.get_buffer("running_var").lerp_(variance * size / (size - 1), norm.momentum)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return (centred * scale.view(shape) + norm.bias.view(shape)).to(x.dtype)
