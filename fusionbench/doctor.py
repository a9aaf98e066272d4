"""Looks at the machine and the installation: what is there, what is missing, what to do about it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

GIB = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One check: ``ok``, ``warn`` (works, but look at it) or ``fail`` (something will not work), and the remedy."""

    check: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""


def examine(folder: Path = Path()) -> list[Finding]:
    """All checks; ``folder`` is where data and results would be written."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        check_python,
        check_packages,
        check_torch,
        check_torchvision,
        check_hdf5,
        lambda: check_folder(folder),
        check_encoding,
        check_shipped_files,
        check_plugins,
    ]
    return [finding for check in checks for finding in check()]


def check_python() -> Iterator[Finding]:
    """Which Python on which system; an older one than 3.11 does not get this far."""
    version = f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}"
    yield Finding("python", "ok", version)


def check_packages(requirements: list[str] | None = None) -> Iterator[Finding]:
    """Every required package is there, in a version that fusionbench was made for."""
    from packaging.requirements import Requirement

    if requirements is None:
        try:
            requirements = importlib.metadata.requires("fusionbench") or []
        except importlib.metadata.PackageNotFoundError:
            yield Finding("packages", "fail", "fusionbench is not installed", "run `pip install -e .` in its folder")
            return
    found = []
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding("packages", "fail", f"{requirement.name} is missing", f"run `pip install '{text}'`")
            continue
        if requirement.specifier.contains(version, prereleases=True):
            found.append(f"{requirement.name} {version}")
        else:
            detail = f"{requirement.name} {version} is outside {requirement.specifier}"
            yield Finding("packages", "fail", detail, f"run `pip install '{text}'`")
    yield Finding("packages", "ok", ", ".join(found))


def check_torch() -> Iterator[Finding]:
    """torch imports; threads and devices."""
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", "fail", f"cannot be imported: {error}", "install torch again; see docs/troubleshooting")
        return
    threads = torch.get_num_threads()
    yield Finding("torch", "ok", f"{torch.__version__}, {threads} threads of {os.cpu_count()} cores")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            yield Finding("device", "ok", f"cuda:{number} {properties.name}, {properties.total_memory / GIB:.0f} GiB")
    elif torch.version.cuda and (Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi")):
        remedy = "check the driver with nvidia-smi; it must be new enough for CUDA " + torch.version.cuda
        yield Finding("device", "warn", "an NVIDIA GPU seems to be here and torch cannot use it", remedy)
    else:
        yield Finding("device", "ok", "CPU only; the tiny presets and all data sets are made for that")


def check_torchvision(load: Callable[[str], object] = importlib.import_module) -> Iterator[Finding]:
    """torchvision is not needed; when it is there and broken it takes packages such as torchmetrics down with it."""
    if importlib.util.find_spec("torchvision") is None:
        yield Finding("torchvision", "ok", "not installed, not needed")
        return
    try:
        load("torchvision")
    except Exception as error:
        detail = f"installed but cannot be imported: {error}"
        remedy = (
            "`pip uninstall torchvision` (fusionbench does not need it), or install the release made for your torch "
            "from where that torch came from, for a CPU-only torch PyTorch's own CPU index"
        )
        if "torchvision::nms" in str(error):
            detail += " (it was built for another build of torch than the one installed)"
        yield Finding("torchvision", "fail", detail, remedy)
    else:
        yield Finding("torchvision", "ok", importlib.metadata.version("torchvision"))


def check_hdf5() -> Iterator[Finding]:
    """The HDF5 library that writes shards."""
    try:
        import h5py
    except (ImportError, OSError) as error:
        yield Finding("hdf5", "fail", f"h5py cannot be imported: {error}", "run `pip install --force-reinstall h5py`")
        return
    yield Finding("hdf5", "ok", f"h5py {h5py.version.version}, HDF5 {h5py.version.hdf5_version}")


def check_folder(folder: Path) -> Iterator[Finding]:
    """The folder can be written and has room."""
    folder = folder.resolve()
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"fusionbench")
            stream.flush()
    except OSError as error:
        detail = f"{folder} cannot be written: {error.strerror}"
        yield Finding("folder", "fail", detail, "work in a folder of your own, or give --out")
        return
    free = shutil.disk_usage(folder).free
    if free < GIB:
        remedy = "free some space: quickstart needs 0.1 GiB, FusionMNIST 0.5 GiB"
        yield Finding("folder", "warn", f"{folder}: only {free / GIB:.2f} GiB free", remedy)
    else:
        yield Finding("folder", "ok", f"{folder}: writable, {free / GIB:,.0f} GiB free")


def check_encoding() -> Iterator[Finding]:
    """Tables use a few characters outside ASCII."""
    names = {"stdout": getattr(sys.stdout, "encoding", None) or "ascii", "files": sys.getfilesystemencoding()}
    bad = [f"{name} {encoding}" for name, encoding in names.items() if encoding.lower().replace("-", "") != "utf8"]
    if bad:
        remedy = "set PYTHONUTF8=1 or a UTF-8 locale, for example LC_ALL=C.UTF-8"
        yield Finding("encoding", "warn", f"not UTF-8: {', '.join(bad)}", remedy)
    else:
        yield Finding("encoding", "ok", "UTF-8")


def check_shipped_files() -> Iterator[Finding]:
    """Recipes, suites and page templates came with the installation."""
    from fusionbench.files import shipped_folder

    found = {
        "recipes": list(shipped_folder("datasets_recipes").glob("*.toml")),
        "suites": list(shipped_folder("benchmarks").glob("*.toml")),
        "templates": list((Path(__file__).parent / "board" / "templates").glob("*.html")),
    }
    missing = [name for name, files in found.items() if not files]
    if missing:
        detail = f"no {' and no '.join(missing)} in this installation"
        yield Finding("files", "fail", detail, "install fusionbench again")
    else:
        yield Finding("files", "ok", ", ".join(f"{len(files)} {name}" for name, files in found.items()))


def check_plugins() -> Iterator[Finding]:
    """Every model, metric and source of another package can be loaded."""
    from fusionbench.metrics import METRICS
    from fusionbench.models import MODELS
    from fusionbench.registry import Registry
    from fusionbench.sources import SOURCES

    registries: tuple[Registry, ...] = (MODELS, METRICS, SOURCES)
    plugins = [(registry, name) for registry in registries for name in registry.names() if registry.is_plugin(name)]
    for registry, name in plugins:
        try:
            registry.get(name)
        except Exception as error:
            yield Finding("plugins", "fail", str(error), f"update or uninstall {registry.origin(name)}")
        else:
            yield Finding("plugins", "ok", f"{registry.kind} {name!r} of {registry.origin(name)}")
    if not plugins:
        yield Finding("plugins", "ok", "none")
