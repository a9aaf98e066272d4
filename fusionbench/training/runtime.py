"""Devices, precision, processes and seeds: the only file that knows them.

A process started by ``torchrun`` joins its group; anything else runs alone. Nothing here
touches a device before it is asked to.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.interfaces import Module
from fusionbench.core.interrupts import end_children_on_terminate
from fusionbench.core.progress import say
from fusionbench.core.seeds import derive_seed as derive_seed

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "fp32", "tf32", "bf16")


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices).

    Example:
        >>> import torch
        >>> from fusionbench.training.runtime import seed_everything
        >>> seed_everything(7)
        >>> first = torch.rand(3)
        >>> seed_everything(7)
        >>> torch.equal(torch.rand(3), first)
        True
    """
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def find_device(name: str = "auto") -> torch.device:
    """``auto`` (a GPU when there is one), ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        UsageError: an unknown device, or one that is not there.

    Example:
        >>> from fusionbench import FusionbenchError
        >>> from fusionbench.training.runtime import find_device
        >>> find_device("cpu").type
        'cpu'
        >>> try:
        ...     find_device("gpu")
        ... except FusionbenchError as error:
        ...     print(error)
        Unknown device 'gpu'; use auto, cpu, cuda or cuda:0
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"Unknown device {name!r}; use auto, cpu, cuda or cuda:0") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"Device {name!r} is not supported; use auto, cpu, cuda or cuda:0")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"Device {name!r} was asked for, but torch finds no CUDA device; use --device cpu")
    if device.index is not None and device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise UsageError(f"Device {name!r}: there are {torch.cuda.device_count()} CUDA devices, counted from 0")
    return device


@dataclass
class OneProcess:
    """What a run asks of Lightning Fabric, for a process that is alone and needs no autocast: hardly anything.

    Importing Fabric takes as long as importing torch, twice that where torchmetrics is installed.

    Example:
        >>> import torch
        >>> from fusionbench.training.runtime import OneProcess
        >>> layer = torch.nn.Linear(2, 1)
        >>> alone = OneProcess(torch.device("cpu"))
        >>> alone.setup(layer)[0] is layer, alone.world_size
        (True, 1)
    """

    device: torch.device
    global_rank: int = 0
    world_size: int = 1

    def setup(self, module: torch.nn.Module, *optimizers: torch.optim.Optimizer) -> tuple[Any, ...]:
        """The module on the device, and its optimizers as they are."""
        return module.to(self.device), *optimizers

    def backward(self, loss: torch.Tensor) -> None:
        loss.backward()

    def barrier(self) -> None:
        """There is nobody to wait for."""


@dataclass
class Runtime:
    """One process of a run, with its Lightning Fabric, or what stands in for it.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> from fusionbench.training.runtime import Runtime, find_device
        >>> second = Runtime(SimpleNamespace(global_rank=1, world_size=3), find_device("cpu"), "fp32")
        >>> second.shard(np.arange(8)).tolist()
        [1, 4, 7]
    """

    fabric: Any
    device: torch.device
    precision: str

    @property
    def rank(self) -> int:
        return int(self.fabric.global_rank)

    @property
    def world_size(self) -> int:
        return int(self.fabric.world_size)

    def shard(self, indices: np.ndarray) -> np.ndarray:
        """This process's part: every ``world_size``-th index, nothing dropped or repeated."""
        return indices[self.rank :: self.world_size]

    def gather(self, value: Any) -> list[Any]:
        """One (picklable, small) object of every process, in rank order; only our own processes take part."""
        if self.world_size == 1:
            return [value]
        import torch.distributed

        parts: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(parts, value)
        return parts

    def mean(self, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Means of named scalars over the processes, which have the same names and all call this."""
        if self.world_size == 1:
            return values
        import torch

        parts = self.gather({name: float(value) for name, value in values.items()})
        sums = {name: sum(part[name] for part in parts) for name in values}
        return {name: torch.tensor(total / len(parts), dtype=torch.float64) for name, total in sums.items()}

    def first(self, value: Any) -> Any:
        """The value of the first process, for all."""
        return value if self.world_size == 1 else self.fabric.broadcast(value)


def torchrun_size() -> int:
    """Number of processes that ``torchrun`` started together; 1 for one that runs alone.

    Raises:
        UsageError: WORLD_SIZE is set to what is no number.

    Example:
        >>> from fusionbench.training.runtime import torchrun_size
        >>> torchrun_size()
        1
    """
    return max(1, _number("WORLD_SIZE", "1"))


def torchrun_rank() -> int:
    """Number of this process among those that ``torchrun`` started together; 0 for one that runs alone.

    Raises:
        UsageError: WORLD_SIZE or RANK is set to what is no number.

    Example:
        >>> from fusionbench.training.runtime import torchrun_rank
        >>> torchrun_rank()
        0
    """
    return _number("RANK", "0") if torchrun_size() > 1 else 0


def _number(name: str, default: str) -> int:
    text = os.environ.get(name, default)
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            f"{name}={text!r} in the environment is not a number; unset it, or start by torchrun"
        ) from None


def launch(device: str = "auto", precision: str = "auto") -> Runtime:
    """Set up this process: alone, or as one of a ``torchrun`` group.

    ``precision``: ``fp32``; ``tf32`` (matrix units with float32 storage); ``bf16`` (autocast, normals and
    likelihoods stay float32); ``auto`` is tf32 on a GPU and fp32 elsewhere.

    Raises:
        UsageError: unknown or absent device, unknown precision.

    Example:
        >>> from fusionbench.training.runtime import launch
        >>> runtime = launch("cpu")
        >>> runtime.precision, runtime.rank, runtime.world_size, runtime.gather("result")
        ('fp32', 0, 1, ['result'])
    """
    import torch

    if precision not in PRECISIONS:
        raise UsageError(f"Unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
    chosen = find_device(device)
    if precision == "auto":
        precision = "tf32" if chosen.type == "cuda" else "fp32"
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    processes = torchrun_size()
    if processes == 1 and precision != "bf16":
        if chosen.type == "cuda":
            chosen = torch.device("cuda", chosen.index or 0)
            torch.cuda.set_device(chosen)
        return Runtime(OneProcess(chosen), chosen, precision)
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    if processes > 1:
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        per_node = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
        strategy: Any = DDPStrategy(process_group_backend=backend, find_unused_parameters=True)
        devices: Any = per_node
        nodes = processes // per_node
    else:
        strategy, nodes = "auto", 1
        devices = [chosen.index or 0] if chosen.type == "cuda" else 1
    fabric = Fabric(
        accelerator=chosen.type,
        devices=devices,
        num_nodes=nodes,
        strategy=strategy,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    fabric.launch()
    return Runtime(fabric, fabric.device, precision)


RECOMPILE_LIMIT = 256  # torch's 8 is less than the widths, resolutions and numbers of views of one kind of block


def compile_blocks(model: Module, device: torch.device, static: bool = False) -> bool:
    """Compile the blocks of a model in place: modules whose class has ``COMPILE = True``. Names of weights stay.

    Blocks of one kind and shape share what is compiled, which a whole network of a hundred blocks does not; and what
    depends on the step (noise, number of views, penalty) stays outside and breaks nothing.

    Args:
        static: shapes are few and come back, so that CUDA graphs pay (``reduce-overhead``; on a GPU alone).

    Returns whether anything was compiled; if not, one line says why, and the model runs as it is.

    Example:
        >>> import torch
        >>> from fusionbench.training.runtime import compile_blocks, find_device
        >>> compile_blocks(torch.nn.Linear(2, 2), find_device("cpu"))  # no class here has COMPILE = True
        False
    """
    import torch

    blocks = [module for module in model.modules() if getattr(type(module), "COMPILE", False)]
    if not blocks:
        say(f"{type(model).__name__} has no blocks to compile; it runs as it is")
        return False
    if not hasattr(torch.compiler, "set_stance"):  # see not_compiled
        say(f"Nothing is compiled: torch {torch.__version__} is too old; install torch 2.6, or leave out --compile")
        return False
    end_children_on_terminate()  # a compiler that lived on would keep the pipe of `train --compile | tail` open
    problem = _compiler_problem(device)
    if problem:
        say(
            f"Nothing is compiled: {problem}; install a C++ compiler (g++; on a GPU also triton) or leave out --compile"
        )
        return False
    import torch._dynamo

    config = torch._dynamo.config
    limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"  # its name in torch 2.6
    setattr(config, limit, max(getattr(config, limit), RECOMPILE_LIMIT))
    if device.type == "cpu":  # a GPU needs no C++ compiler, and asking for the width would
        _keep_processors_apart()
    graphs = static and device.type == "cuda"
    for block in blocks:
        block.compile(mode="reduce-overhead" if graphs else None, dynamic=False if graphs else None)
    return True


def _keep_processors_apart() -> None:
    """Let what was compiled for one width of vectors never be used with another.

    torch keeps compiled graphs on disk, and what it finds them by leaves out the width: a graph that was written for
    AVX-512 that a machine with AVX2 finds there (a folder on a network, an image of a container) gives wrong numbers
    without a word. The width is a setting, and settings are part of the key.
    """
    import torch._inductor.config as config
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    if config.cpp.simdlen is None:
        config.cpp.simdlen = pick_vec_isa().bit_width()


def _compiler_problem(device: torch.device) -> str:
    """Why a function of one line cannot be compiled here; nothing if it can."""
    import torch

    constant = random.SystemRandom().random()  # a function that no cache on disk knows

    def probe(x: torch.Tensor) -> torch.Tensor:
        return x * constant + 1

    try:
        torch.compile(probe)(torch.ones(8, device=device))
    except Exception as error:  # whatever a compiler that is absent or broken raises
        return str(error).strip().splitlines()[0].rstrip(".:") if str(error).strip() else type(error).__name__
    return ""


@contextmanager
def not_compiled() -> Iterator[None]:
    """Compiled blocks run as they are: for a few passes with constants that change from pass to pass.

    Example:
        >>> import torch
        >>> from fusionbench.training.runtime import not_compiled
        >>> layer = torch.nn.Linear(2, 2)
        >>> with not_compiled():  # a layer that compile_blocks has compiled runs as written
        ...     tuple(layer(torch.zeros(1, 2)).shape)
        (1, 2)
    """
    import torch

    stance = getattr(torch.compiler, "set_stance", None)  # before torch 2.6 there is none, and nothing is compiled
    with contextlib.nullcontext() if stance is None else stance("force_eager"):
        yield


def describe_host(device: torch.device) -> dict[str, Any]:
    """What the provenance of a result says about the machine; no names, no paths.

    Example:
        >>> from fusionbench.training.runtime import describe_host, find_device
        >>> host = describe_host(find_device("cpu"))
        >>> host["device"], host["gpu"], sorted(host)[:4]
        ('cpu', None, ['cpus', 'device', 'gpu', 'machine'])
    """
    import platform

    import torch

    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "os": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device.type,
        "gpu": gpu,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }
