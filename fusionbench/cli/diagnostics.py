"""Looks at the machine and the installation: what is there, what is missing, what to do about it.

A further check is a function that yields findings, and a line in ``CHECKS``.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fusionbench.cli.package_probes import PROBES, Outcome, try_packages

if TYPE_CHECKING:
    from fusionbench.training.gradient_check import Case

GIB = 1 << 30
# All of them put their files into one folder, cv2: the last one installed wins, and removing one takes it away.
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ISA_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
# of /proc/cpuinfo: those that numerical libraries choose their code by
INSTRUCTIONS = ("sse4_1", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")
CPU_TORCH = "PyTorch's own CPU index, see pytorch.org/get-started"


@dataclass(frozen=True)
class Finding:
    """One check: ``ok``, ``warn`` (works, but look at it) or ``fail`` (something will not work), and the remedy."""

    check: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""


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


def check_python() -> Iterator[Finding]:
    """Which Python on which system; an older one than 3.11 does not get this far."""
    version = f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}"
    yield Finding("python", "ok", version)


def usable_cores() -> int:
    """Cores that this process may use: affinity and cgroup limits count."""
    try:
        import joblib
    except Exception:  # a broken joblib has a line of its own
        return os.cpu_count() or 1
    return int(joblib.cpu_count())


def check_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Iterator[Finding]:
    """Model, instruction sets, usable cores, and what the environment takes away from them."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    with contextlib.suppress(OSError):
        pairs = [line.partition(":") for line in cpuinfo.read_text(errors="replace").splitlines()]
        fields = {key.strip().lower(): value.strip() for key, _, value in reversed(pairs)}  # the first core's win
        model = fields.get("model name", model)
        flags = set(fields.get("flags", fields.get("features", "")).split())
    if platform.system() == "Darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            model = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip() or model
    usable, total = usable_cores(), os.cpu_count() or 1
    cores = f"{usable} cores" if usable == total else f"{usable} of {total} cores usable (affinity, container)"
    known = " ".join(flag for flag in INSTRUCTIONS if flag in flags)
    limits = [f"{name}={os.environ[name]}" for name in ISA_LIMITS if os.environ.get(name)]
    yield Finding("processor", "ok", ", ".join(part for part in (model, cores, known, *limits) if part))


def check_threads() -> Iterator[Finding]:
    """Numbers of threads that the environment asks numerical libraries for."""
    given = {name: os.environ[name] for name in THREADS if os.environ.get(name)}
    cores = usable_cores()
    wrong = [f"{name}={value}" for name, value in given.items() if not value.isdecimal() or not int(value)]
    many = [f"{name}={value}" for name, value in given.items() if value.isdecimal() and int(value) > cores]
    if wrong:
        yield Finding("threads", "warn", f"no number of threads: {', '.join(wrong)}", "unset them, or write a number")
    elif many:
        detail = f"{', '.join(many)} for {cores} usable cores: threads would wait for each other"
        yield Finding("threads", "warn", detail, "unset them, or set them to the number of cores")
    else:
        yield Finding("threads", "ok", ", ".join(f"{k}={v}" for k, v in given.items()) or "as the libraries choose")


def check_memory(root: Path = Path("/")) -> Iterator[Finding]:
    """Memory of the machine and of the container; ``root`` is where ``proc`` and ``sys`` are."""
    free = total = None
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = [line.split() for line in (root / "proc/meminfo").read_text().splitlines()]
        table = {words[0]: int(words[1]) * 1024 for words in lines}
        total, free = table.get("MemTotal:"), table.get("MemAvailable:")
    if total is None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _container_memory(root)
    if limit is not None and (total is None or limit[0] < total):
        total, free = limit[0], min(limit[0] - limit[1], limit[0] if free is None else free)
    if total is None:
        yield Finding("memory", "ok", "not known on this system")
        return
    detail = f"{total / GIB:.1f} GiB" + (f", {free / GIB:.1f} GiB free" if free is not None else "")
    if limit is not None and total == limit[0]:
        detail += " (limit of the container)"
    if (total if free is None else free) < 2 * GIB:
        remedy = "close other programs, or use fewer --jobs: every worker process loads its own libraries"
        yield Finding("memory", "warn", detail, remedy)
    else:
        yield Finding("memory", "ok", detail)


def _container_memory(root: Path) -> tuple[int, int] | None:
    """Limit and use in bytes of the control group (version 2, or 1) that this process is in, where it has a limit."""
    group = ""
    with contextlib.suppress(OSError):
        rows = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
        group = next((row[2] for row in rows if len(row) == 3 and row[0] == "0"), "").strip("/")
    base = root / "sys/fs/cgroup"
    for folder, most, now in (
        (base / group, "memory.max", "memory.current"),
        (base, "memory.max", "memory.current"),
        (base / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
            return int((folder / most).read_text()), int((folder / now).read_text())
    return None


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


def check_imports(outcomes: Mapping[str, Outcome] | None = None) -> Iterator[Finding]:
    """Every required package that is there can be imported and used; torch's threads and devices, HDF5's release.

    ``outcomes``: of :func:`fusionbench.cli.package_probes.try_packages`, for packages in lower case; None tries them.
    """
    if outcomes is None:
        names = [name for name in PROBES if name != "torchvision" and _version(name) is not None]
        outcomes = try_packages(names)
    good = []
    broken = {name for name in ("numpy", "torch") if not (outcomes[name].ok if name in outcomes else _version(name))}
    for name, outcome in outcomes.items():
        if not outcome.ok:
            checks = {"torch": "torch", "h5py": "hdf5"}
            detail = f"{name} is installed and cannot be used: {outcome.text}"
            if name in OPENCV and ("no attribute" in outcome.text or "No module named 'cv2'" in outcome.text):
                detail += "; this is left when one of two OpenCV packages is removed"
            below = next((base for base in broken - {name} if base in outcome.text), None)
            remedy = _remedy(name) if below is None else f"{below} comes first"
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


def check_folder(folder: Path, name: str = "folder") -> Iterator[Finding]:
    """The folder can be written and has room."""
    folder = folder.resolve()
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"fusionbench")
            stream.flush()
    except OSError as error:
        detail = f"{folder} cannot be written: {error.strerror}"
        remedy = (
            "set TMPDIR to another folder" if name == "temporary" else "work in a folder of your own, or give --out"
        )
        yield Finding(name, "fail", detail, remedy)
        return
    free = shutil.disk_usage(folder).free
    if free < GIB:
        remedy = "free some space: quickstart needs 0.1 GiB, FusionMNIST 0.5 GiB"
        yield Finding(name, "warn", f"{folder}: only {free / GIB:.2f} GiB free", remedy)
    else:
        yield Finding(name, "ok", f"{folder}: writable, {free / GIB:,.0f} GiB free")


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


def check_plugins() -> Iterator[Finding]:
    """Every model, metric, source and protocol of another package can be loaded."""
    from fusionbench.core.registry import Registry
    from fusionbench.evaluation.protocols import PROTOCOLS
    from fusionbench.metrics import METRICS
    from fusionbench.models import MODELS
    from fusionbench.sources import SOURCES

    registries: tuple[Registry, ...] = (MODELS, METRICS, SOURCES, PROTOCOLS)
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


# name -> check of the folder where data and results would be written; a name is used when the check itself fails
def check_gradients(cases: Iterable[Case] | None = None) -> Iterator[Finding]:
    """One training step of every model that learns, with its smallest preset, against float64; in a child process."""
    from fusionbench.core.progress import progress
    from fusionbench.training.gradient_check import check_gradients, tiny_cases

    if importlib.util.find_spec("torch") is None:
        return  # a missing package has a line of its own
    cases = tiny_cases(sorted({1, min(2, usable_cores()), usable_cores()})) if cases is None else list(cases)
    worst, wrong = None, 0
    with progress("check gradients", len(cases), "cases") as bar:
        for verdict in check_gradients(cases):
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
    "plugins": lambda folder: check_plugins(),
    "gradients": lambda folder: check_gradients(),
}
