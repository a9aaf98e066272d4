"""Looks at the installation, and at the machine: what is there, what is missing, what to do about it.

A further check is a function that yields findings, and a line in ``CHECKS``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.cli.machine import (
    GIB,
    Finding,
    check_encoding,
    check_folder,
    check_memory,
    check_processor,
    check_python,
    check_threads,
    usable_cores,
)
from fusionbench.data.package_probes import PROBES, ProbeOutcome, try_packages

if TYPE_CHECKING:
    from fusionbench.training.gradient_check import GradientCase

# All of them put their files into one folder, cv2: the last one installed wins, and removing one takes it away.
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
CPU_TORCH = "PyTorch's own CPU index, see pytorch.org/get-started"


def examine(folder: Path = Path(), without: Collection[str] = ()) -> list[Finding]:
    """All checks but those named in ``without``; ``folder`` is where data and results would be written."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        if name in without:
            continue
        try:
            for finding in check(folder):
                findings.append(finding)  # one by one: what was found before an error stays
        except Exception as error:  # an installation can be broken in ways that no check expects
            text = " ".join(f"{type(error).__name__}: {error}".split())[:240]
            findings.append(Finding(name, "fail", f"could not be examined: {text}", "report this line"))
    return findings


def _required() -> list[str] | None:
    """Requirements of the installed fusionbench without its extras; None where it is not installed."""
    from packaging.requirements import Requirement

    try:
        texts = importlib.metadata.requires("fusionbench") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    parsed = [(text, Requirement(text).marker) for text in texts]
    return [text for text, marker in parsed if marker is None or marker.evaluate({"extra": ""})]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _other_opencv() -> list[str]:
    """Releases of OpenCV that are installed beside the one that fusionbench asks for, or instead of it."""
    return [name for name in OPENCV if name != "opencv-python-headless" and _version(name) is not None]


def check_packages(requirements: list[str] | None = None) -> Iterator[Finding]:
    """Every required package is there, in a version that fusionbench was made for."""
    from packaging.requirements import Requirement

    if requirements is None:
        requirements = _required()
    if requirements is None:
        yield Finding("packages", "fail", "fusionbench is not installed", "run `pip install -e .` in its folder")
        return
    found = []
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        if version is None:
            remedy = f"run `pip install '{text}'`"
            if requirement.name in OPENCV and (others := _other_opencv()):
                remedy = f"run `pip uninstall {' '.join(others)}`, then `pip install '{text}'`: both own the folder cv2"
            yield Finding("packages", "fail", f"{requirement.name} is missing", remedy)
        elif requirement.specifier.contains(version, prereleases=True):
            found.append(f"{requirement.name} {version}")
        else:
            detail = f"{requirement.name} {version} is outside {requirement.specifier}"
            yield Finding("packages", "fail", detail, f"run `pip install '{text}'`")
    yield Finding("packages", "ok", ", ".join(found))


def check_opencv() -> Iterator[Finding]:
    """One OpenCV and not two: they share a folder, so that removing or updating one breaks the other."""
    installed = [name for name in OPENCV if _version(name) is not None]
    if len(installed) > 1:
        detail = f"{' and '.join(installed)} are installed and share the folder cv2: removing one breaks the other"
        remedy = f"run `pip uninstall {' '.join(installed)}`, then `pip install opencv-python-headless`"
        yield Finding("opencv", "warn", detail, remedy)


def check_imports(outcomes: Mapping[str, ProbeOutcome] | None = None) -> Iterator[Finding]:
    """Every required package that is there can be imported and used; torch's threads and devices, HDF5's release.

    ``outcomes``: of :func:`fusionbench.data.package_probes.try_packages`, for packages in lower case; None tries them.
    """
    if outcomes is None:
        names = [name for name in PROBES if name != "torchvision" and _version(name) is not None]
        outcomes = try_packages(names)
    good, texts = [], {name: outcome.text for name, outcome in outcomes.items()}
    broken = {name for name in ("numpy", "torch") if not (outcomes[name].ok if name in outcomes else _version(name))}
    for name, outcome in outcomes.items():
        if not outcome.ok:
            checks = {"torch": "torch", "h5py": "hdf5"}
            detail = f"{name} is installed and cannot be used: {outcome.text}"
            if name in OPENCV and ("no attribute" in outcome.text or "No module named 'cv2'" in outcome.text):
                detail += "; this is left when one of two OpenCV packages is removed"
            below = [
                each for each in sorted(broken - {name}) if each in outcome.text or texts.get(each) == outcome.text
            ]
            remedy = f"{below[0]} comes first" if below else _remedy(name)
            yield Finding(checks.get(name, "imports"), "fail", detail, remedy)
        elif name == "torch":
            yield from _torch_findings(outcome.facts)
        elif name == "h5py":
            yield Finding("hdf5", "ok", f"h5py {outcome.text}, HDF5 {outcome.facts['hdf5']}")
        else:
            good.append(name)
    yield Finding("imports", "ok", f"imported and tried: {', '.join(good) or 'none'}")


def _remedy(name: str) -> str:
    if name in OPENCV:
        installed = " ".join(each for each in OPENCV if _version(each) is not None) or name
        return f"run `pip uninstall {installed}`, then `pip install --force-reinstall --no-deps {name}`"
    if name == "torch":
        return f"install torch again, without a GPU from {CPU_TORCH}; see docs/troubleshooting.md"
    return f"run `pip install --force-reinstall --no-deps {name}=={_version(name)}`"


def _torch_findings(facts: Mapping[str, Any]) -> Iterator[Finding]:
    detail = f"{facts['version']}, {facts['threads']} threads, kernels for {facts['capability']}"
    yield Finding("torch", "ok", detail)
    for number, (name, memory) in enumerate(facts["devices"]):
        yield Finding("device", "ok", f"cuda:{number} {name}, {memory / GIB:.0f} GiB")
    if facts["devices"]:
        return
    if facts["cuda"] and (Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi")):
        remedy = "check the driver with nvidia-smi; it must be new enough for CUDA " + facts["cuda"]
        yield Finding("device", "warn", "an NVIDIA GPU seems to be here and torch cannot use it", remedy)
    else:
        yield Finding("device", "ok", "CPU only; the tiny presets and all data sets are made for that")


def _load_apart(name: str) -> None:
    """Import a package in a child process; what goes wrong there is an ImportError here."""
    outcome = try_packages([name])[name]
    if not outcome.ok:
        raise ImportError(outcome.text)


def check_torchvision(load: Callable[[str], object] = _load_apart) -> Iterator[Finding]:
    """torchvision is not needed; when it is there and broken it takes packages such as torchmetrics down with it."""
    try:
        there = importlib.util.find_spec("torchvision") is not None
    except (ImportError, ValueError):  # something in its place that is no package
        there = True
    if not there:
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


def check_shipped_files() -> Iterator[Finding]:
    """Recipes, suites and page templates came with the installation."""
    from fusionbench.core.io import shipped_folder

    found = {
        "recipes": list(shipped_folder("datasets_recipes").glob("*.toml")),
        "suites": list(shipped_folder("benchmarks").glob("*.toml")),
        "templates": list((Path(__file__).parents[1] / "board" / "templates").glob("*.html")),
    }
    missing = [name for name, files in found.items() if not files]
    if missing:
        detail = f"no {' and no '.join(missing)} in this installation"
        yield Finding("files", "fail", detail, "install fusionbench again")
    else:
        yield Finding("files", "ok", ", ".join(f"{len(files)} {name}" for name, files in found.items()))


def check_kernel() -> Iterator[Finding]:
    """Which code makes views on the CPU, tried with a known answer."""
    from fusionbench.core.errors import UsageError
    from fusionbench.synth import kernel

    try:
        used, problem = kernel.describe()
    except UsageError as error:
        text, _, remedy = str(error).partition("; ")
        yield Finding("kernel", "fail", text, remedy)
        return
    if problem is None:
        yield Finding("kernel", "ok", f"views are made by {used}")
    else:
        remedy = "NumPy makes the same views; run `pip install --upgrade 'fusionbench[fast]'`"
        yield Finding("kernel", "warn", f"views are made by {used}, as numba cannot be used: {problem}", remedy)


def check_plugins() -> Iterator[Finding]:
    """Every model, metric, source and protocol of another package can be loaded."""
    from fusionbench.core.registry import Registry
    from fusionbench.evaluation.protocols import PROTOCOLS
    from fusionbench.metrics import METRICS
    from fusionbench.models import MODELS
    from fusionbench.sources import SOURCES

    registries: tuple[Registry[Any], ...] = (MODELS, METRICS, SOURCES, PROTOCOLS)
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


def check_gradients(cases: Iterable[GradientCase] | None = None) -> Iterator[Finding]:
    """One training step of every model that learns, with its smallest preset, against float64; in a child process."""
    from fusionbench.core.progress import progress
    from fusionbench.training.gradient_check import gradient_verdicts, tiny_cases

    if importlib.util.find_spec("torch") is None:
        return  # a missing package has a line of its own
    cases = tiny_cases(sorted({1, min(2, usable_cores()), usable_cores()})) if cases is None else list(cases)
    worst, wrong = None, 0
    with progress("check gradients", len(cases), "cases") as bar:
        for verdict in gradient_verdicts(cases):
            bar.advance(1, str(verdict.case))
            if not verdict.ok:
                wrong += 1
                what, _, remedy = verdict.problem.rpartition("; ")
                yield Finding("gradients", "fail", f"{verdict.case}: {what}", remedy)
            elif worst is None or verdict.error > worst.error:
                worst = verdict
    if worst is not None:
        detail = f"{len(cases) - wrong} of {len(cases)} training steps agree with float64; the largest error is"
        yield Finding("gradients", "ok", f"{detail} {worst.error:.1g} of a gradient ({worst.case}, {worst.layer})")


# name -> check of the folder where data and results would be written; a name is used when the check itself fails
CHECKS: dict[str, Callable[[Path], Iterator[Finding]]] = {
    "python": lambda folder: check_python(),
    "processor": lambda folder: check_processor(),
    "threads": lambda folder: check_threads(),
    "memory": lambda folder: check_memory(),
    "packages": lambda folder: check_packages(),
    "opencv": lambda folder: check_opencv(),
    "imports": lambda folder: check_imports(),
    "torchvision": lambda folder: check_torchvision(),
    "folder": check_folder,
    "temporary": lambda folder: check_folder(Path(tempfile.gettempdir()), "temporary"),
    "encoding": lambda folder: check_encoding(),
    "files": lambda folder: check_shipped_files(),
    "kernel": lambda folder: check_kernel(),
    "plugins": lambda folder: check_plugins(),
    "gradients": lambda folder: check_gradients(),
}
