"""Results of somebody else made again in the process that reads submissions: its weights and parameters are not ours.

That process gets copies of the result and its table, and the places where data and weights are looked for; it writes
what came out into one folder. Nothing that it writes is taken for more than the outcome of this one result.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fusionbench.core.errors import DataError, FusionbenchError
from fusionbench.core.io import write_bytes
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.reproduction.outcome import Reproduction
from fusionbench.evaluation.reproduction.places import Places
from fusionbench.submissions.archive import open_regular
from fusionbench.submissions.kept_weights import weights_in_archive
from fusionbench.submissions.sandbox import GIB, run_limited

FILE = "reproduction.json"
MAX_BYTES = 16 << 20
BUILD_SECONDS = 120
_MAX_TABLE = 1 << 30


class _Order(msgspec.Struct):
    result: str
    data: list[str]
    sources: list[str]
    weights: list[str]
    limit: int | None


@dataclass(frozen=True)
class LimitedReproduction:
    """Measures results in a process with limits (:mod:`fusionbench.submissions.sandbox`), on the CPU.

    Args:
        seconds: most time for one result.
        memory: most GiB for one result.
    """

    seconds: int = 3600
    memory: int = 8

    def reproduce(self, result: Path, places: Places, limit: int | None) -> Reproduction:
        """What became of the result in the file ``result``.

        Raises:
            MeasurementError: the process could not be started.
        """
        with tempfile.TemporaryDirectory(prefix="fusionbench-") as temporary:
            copy, out = Path(temporary) / "result", Path(temporary) / "out"
            copy.mkdir()
            out.mkdir()
            for path in sorted(result.parent.glob("*.csv*")):
                if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MAX_TABLE:
                    shutil.copyfile(path, copy / path.name)
            shutil.copyfile(result, copy / "result.json")
            groups = [_present(group) for group in (places.data, places.sources, places.weights)]
            data, sources, weights = ([str(path) for path in group] for group in groups)
            order = _Order(str(copy / "result.json"), data, sources, weights, limit)
            done = run_limited(
                "fusionbench.submissions.reproducing:reproduce_once",
                [msgspec.json.encode(order).decode(), str(out)],
                seconds=self.seconds,
                memory=self.memory * GIB,
                readable=[copy, *(path for group in groups for path in group)],
                writable=[out],
            )
            if not done.ok:
                return Reproduction(file="", outcome="could not", cause="failed", reason=done.message)
            try:
                with open_regular(out / FILE, "outcome") as stream:
                    found = msgspec.json.decode(stream.read(MAX_BYTES), type=Reproduction)
            except (DataError, msgspec.DecodeError, RecursionError) as error:
                reason = f"measuring it left no outcome: {error}"
                return Reproduction(file="", outcome="could not", cause="failed", reason=reason)
        limits = f"; not limited here: {', '.join(done.unlimited)}" if done.unlimited else ""
        found.remarks.append(
            f"weights or parameters of somebody else: measured on the CPU in a process with limits, kept apart by "
            f"{done.isolation}{limits}"
        )
        return found

    def build(self, name: str, spec: ImageSpec, params: Mapping[str, Any]) -> str:
        """Why a model cannot be built with these parameters within the limits; "" where it can."""
        arguments = [name, msgspec.json.encode(spec).decode(), msgspec.json.encode(dict(params)).decode()]
        build = "fusionbench.submissions.reproducing:build_once"
        done = run_limited(build, arguments, seconds=min(self.seconds, BUILD_SECONDS), memory=self.memory * GIB)
        return "" if done.ok else done.message


def _present(places: Any) -> list[Path]:
    return [Path(place).absolute() for place in places if Path(place).exists()]


def reproduce_once(order: str, out: str) -> None:
    """In the child: make one result again, and leave what came out in the folder ``out``."""
    from fusionbench.evaluation.reproduction.reproduce import HowToReproduce, reproduce

    asked = msgspec.json.decode(order, type=_Order)
    places = Places(
        data=[Path(place) for place in asked.data],
        sources=[Path(place) for place in asked.sources],
        weights=[Path(place) for place in asked.weights],
        runs=Path(out) / "runs",
        read_archive=weights_in_archive,
    )
    (found,) = reproduce([asked.result], HowToReproduce(places, limit=asked.limit, device="cpu"))
    write_bytes(Path(out) / FILE, msgspec.json.encode(found))


def build_once(name: str, spec: str, params: str) -> None:
    """In the child: build a model of recorded parameters.

    Raises:
        DataError: it cannot be built.
    """
    from fusionbench.models import create_model
    from fusionbench.models.bounds import check_model_size

    shape, given = msgspec.json.decode(spec, type=ImageSpec), msgspec.json.decode(params, type=dict[str, Any])
    try:
        check_model_size(name, shape, given)
        create_model(name, shape, **given)
    except (FusionbenchError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(" ".join(str(error).split())[:200]) from error
