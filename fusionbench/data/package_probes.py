"""One call into every package that fusionbench needs, so that a broken installation says so here.

    outcomes = try_packages(["numpy", "torch"])     # {"numpy": ProbeOutcome(ok=True, text="numpy 2.4.6"), ...}

The calls run in a child process: a package that was built for another processor ends with a signal instead of an
exception, and the child alone dies of it; the packages after it are tried in a new one.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SECONDS = 180  # for all packages together; torch on a cold disk takes tens of seconds
_MARK = "fusionbench-probe: "  # packages may print, too
_LONGEST = 240  # characters of another package's message


@dataclass(frozen=True)
class ProbeOutcome:
    """Whether a package could be imported and used. ``text``: its version, or what went wrong, on one line."""

    ok: bool
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def _expect(right: bool) -> None:
    if not right:
        raise RuntimeError("a simple call gives a wrong answer")


def _click() -> None:
    import click

    _expect(click.style("x", fg="red").endswith("\x1b[0m"))


def _cloudpickle() -> None:
    import cloudpickle

    _expect(cloudpickle.loads(cloudpickle.dumps(lambda: 1))() == 1)


def _confusables() -> None:
    from confusable_homoglyphs import confusables

    _expect(bool(confusables.is_dangerous("p\u0430per")))  # a Cyrillic letter


def _psutil() -> None:
    import psutil

    _expect(psutil.Process().pid == os.getpid())


def _filelock() -> None:
    from filelock import SoftFileLock

    with tempfile.TemporaryDirectory() as folder, SoftFileLock(os.path.join(folder, "probe.lock")) as lock:
        _expect(lock.is_locked)


def _h5py() -> dict[str, Any]:
    import h5py

    with h5py.File("probe.h5", "w", driver="core", backing_store=False) as file:  # in memory
        file["x"] = [1, 2, 3]
        _expect(int(file["x"][:].sum()) == 6)
    return {"version": h5py.version.version, "hdf5": h5py.version.hdf5_version}


def _jinja2() -> None:
    import jinja2

    _expect(jinja2.Template("{{ x }}").render(x=1) == "1")


def _joblib() -> None:
    import joblib

    _expect(joblib.Parallel(n_jobs=1)(joblib.delayed(abs)(x) for x in (-1, 2)) == [1, 2])


def _lightning_fabric() -> None:
    from lightning_fabric import Fabric

    _expect(Fabric(accelerator="cpu", devices=1).world_size == 1)


def _matplotlib() -> None:
    import matplotlib

    _expect(os.path.isfile(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")))


def _msgspec() -> None:
    import msgspec

    _expect(msgspec.json.decode(b'{"x": 1}', type=dict[str, int]) == {"x": 1})


def _numpy() -> None:
    import numpy as np

    _expect(np.allclose(np.linalg.solve([[2.0, 1.0], [1.0, 3.0]], [3.0, 4.0]), 1.0))
    _expect(int(np.random.Philox(key=0).random_raw()) > 0)


def _opencv() -> None:
    import cv2
    import numpy as np

    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    coded = cv2.imencode(".png", pixels)[1]
    _expect(np.array_equal(np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)), pixels))


def _packaging() -> None:
    from packaging.requirements import Requirement

    _expect(Requirement("x>=2").specifier.contains("2.1"))


def _pillow() -> None:
    from PIL import Image

    buffer = io.BytesIO()
    Image.frombytes("L", (4, 2), bytes(range(8))).save(buffer, "PNG")
    _expect(Image.open(buffer).tobytes() == bytes(range(8)))


def _pywavelets() -> None:
    import pywt

    _expect(len(pywt.wavedec([1.0, 2.0, 3.0, 4.0], "haar", level=1)) == 2)


def _rich() -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=20)
    console.print("x")
    _expect(console.file.getvalue().strip() == "x")  # type: ignore[attr-defined]


def _safetensors() -> None:
    import numpy as np
    from safetensors.numpy import load, save

    _expect(load(save({"x": np.ones(2)}))["x"].sum() == 2)


def _scikit_image() -> None:
    import numpy as np
    from skimage.metrics import structural_similarity

    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    _expect(structural_similarity(image, image) == 1)


def _scikit_learn() -> None:
    importlib.import_module("sklearn")
    from fusionbench.sources.digits import Digits

    _expect(Digits().length("all") == 1797)


def _scipy() -> None:
    import scipy.fft
    import scipy.ndimage

    _expect(abs(scipy.fft.fft([1.0, 1.0])[0] - 2) < 1e-12)
    _expect(scipy.ndimage.uniform_filter([3.0, 3.0, 3.0], 3).tolist() == [3, 3, 3])


def _torch() -> dict[str, Any]:
    import torch

    x = torch.eye(3, requires_grad=True)
    (x @ x).sum().backward()
    _expect(x.grad is not None and bool((x.grad == 2).all()))
    cuda = torch.cuda.is_available()
    devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count() if cuda else 0)]
    return {
        "version": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.version.cuda,
        "devices": [[device.name, device.total_memory] for device in devices],
    }


# distribution, in lower case -> the module to import, and the call
PROBES: dict[str, tuple[str, Callable[[], dict[str, Any] | None]]] = {
    "numpy": ("numpy", _numpy),  # first: others fail with it
    "click": ("click", _click),
    "cloudpickle": ("cloudpickle", _cloudpickle),
    "confusable-homoglyphs": ("confusable_homoglyphs", _confusables),
    "filelock": ("filelock", _filelock),
    "h5py": ("h5py", _h5py),
    "jinja2": ("jinja2", _jinja2),
    "joblib": ("joblib", _joblib),
    "lightning-fabric": ("lightning_fabric", _lightning_fabric),
    "matplotlib": ("matplotlib", _matplotlib),
    "msgspec": ("msgspec", _msgspec),
    "opencv-python-headless": ("cv2", _opencv),
    "packaging": ("packaging", _packaging),
    "pillow": ("PIL", _pillow),
    "psutil": ("psutil", _psutil),
    "pywavelets": ("pywt", _pywavelets),
    "rich": ("rich", _rich),
    "safetensors": ("safetensors", _safetensors),
    "scikit-image": ("skimage", _scikit_image),
    "scikit-learn": ("sklearn", _scikit_learn),
    "scipy": ("scipy", _scipy),
    "torch": ("torch", _torch),
    "torchvision": ("torchvision", lambda: None),  # not needed; see fusionbench.cli.diagnostics.check_torchvision
}


def try_packages(names: Sequence[str], seconds: float = SECONDS) -> dict[str, ProbeOutcome]:
    """What becomes of every package in ``names`` (keys of :data:`PROBES`), tried in this order."""
    outcomes: dict[str, ProbeOutcome] = {}
    while left := [name for name in names if name not in outcomes]:
        found, ending = _in_child(left, seconds)
        outcomes |= found
        silent = [name for name in left if name not in found]
        if silent:  # the child ended in the first of them
            outcomes[silent[0]] = ProbeOutcome(False, ending)
    return outcomes


def _in_child(names: Sequence[str], seconds: float) -> tuple[dict[str, ProbeOutcome], str]:
    """The outcomes that a child reported, and how it ended."""
    # The child has this process's path, so that it finds the packages that this process would.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    code = "import sys, fusionbench.data.package_probes as probes; probes.report(sys.argv[1:])"
    command = [sys.executable, "-P", "-W", "ignore", "-c", code, *names]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
        output, ending = done.stdout, _ending(done.returncode, done.stderr)
    except subprocess.TimeoutExpired as error:
        output, ending = error.stdout or b"", f"gives no answer within {seconds:g} s"
    except OSError as error:
        output, ending = b"", f"no child process can be started to try it: {error.strerror}"
    lines = [line for line in output.decode(errors="replace").splitlines() if line.startswith(_MARK)]
    reports = [json.loads(line.removeprefix(_MARK)) for line in lines]
    return {name: ProbeOutcome(ok, text, facts) for name, ok, text, facts in reports}, ending


def _ending(code: int, errors: bytes) -> str:
    if code >= 0:
        lines = errors.decode(errors="replace").strip().splitlines()
        return f"ended Python with code {code}" + (f": {lines[-1][:_LONGEST]}" if lines else "")
    name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
    reasons = {"SIGILL": "it was built for another processor", "SIGKILL": "for lack of memory, as it seems"}
    return f"is ended by {name}" + (f": {reasons[name]}" if name in reasons else "")


def report(names: Sequence[str]) -> None:
    """In the child: try packages one by one and print each outcome at once."""
    for name in names:
        module, call = PROBES[name]
        try:
            imported = importlib.import_module(module)
            facts = call() or {}
            text = str(facts.get("version") or getattr(imported, "__version__", ""))
            outcome: list[Any] = [name, True, text, facts]
        except BaseException as error:  # what other packages raise while they are imported is theirs to choose
            outcome = [name, False, _reason(module, error), {}]
        print("\n" + _MARK + json.dumps(outcome), flush=True)


def _reason(module: str, error: BaseException) -> str:
    """One line, with the place that the module came from: it may be another than people think."""
    words = " ".join(str(error).split()) or type(error).__name__
    text = words[:_LONGEST] + ("…" if len(words) > _LONGEST else "")
    found = sys.modules.get(module)
    places = [getattr(found, "__file__", None) or "", *getattr(found, "__path__", [])] if found is not None else []
    place = next((place for place in places if place), "")
    return f"{text} [{place}]" if place and place not in text else text
