"""Turns weights that authors published, the user's own files, into a run folder that every verb takes.

    FILE… ─ private copies, sha256 ─► process with limits: read, rename, check ─► RUN/weights.safetensors, RUN/run.json

The files come from anywhere, and a pickle can hold a program: they are read by ``torch.load`` with
``weights_only=True`` alone, in the sandbox of submissions, and what that process wrote is checked again here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import escaped, require_folder
from fusionbench.models.published_weights import PUBLISHED_SPEC, published_weights_of, released_state_sha256
from fusionbench.submissions.archive import open_regular
from fusionbench.submissions.kinds.weights import FILE, header_problems
from fusionbench.submissions.pickled_weights import MAX_WEIGHTS_FILE, read_weights
from fusionbench.submissions.sandbox import GIB, run_limited
from fusionbench.training.imported import ImportedFile, ImportedWeights
from fusionbench.training.run import Run, RunInfo, read_run
from fusionbench.training.schedule import Training

IMPORT_SECONDS = 300
IMPORT_MEMORY = 4 * GIB
_BLOCK = 1 << 20
_READS = "fusionbench.submissions.published_weights_import:import_once"


@dataclass(frozen=True)
class ImportRequest:
    """What to import.

    Attributes:
        network: a registered model whose authors published weights.
        files: the user's files, as many as the network has.
        out: the run folder to write; it must not be there, or hold an import of the same files.
    """

    network: str
    files: Sequence[Path]
    out: Path


def import_published_weights(request: ImportRequest) -> Run:
    """Import weights into a run folder, and return it as a run.

    Files whose digests are those of the release that was checked here may be given in any order.

    Raises:
        UsageError: no such network, another number of files, or a folder that holds something else.
        DataError: a file that is missing, too large, damaged, has code in it, or is of another network.
        MeasurementError: the process with limits could not be started.
    """
    from fusionbench import __version__
    from fusionbench.models import MODELS

    published = published_weights_of(request.network)
    if len(request.files) != len(published.files):
        parts = " ".join(part.upper() for part in published.files)
        raise UsageError(
            f"{request.network} takes {len(published.files)} files, not {len(request.files)}: "
            f"fusionbench weights import {request.network} {parts}"
        )
    earlier = _earlier(request.out)
    require_folder(request.out)
    with tempfile.TemporaryDirectory(prefix="fusionbench-weights-") as temporary:
        inside, made = Path(temporary) / "files", Path(temporary) / "made"
        inside.mkdir()
        made.mkdir()
        given = [_copied(path, inside / str(number)) for number, path in enumerate(request.files)]
        digests = [digest for digest, _ in given]
        order = list(range(len(given)))
        if checked := sorted(digests) == sorted(published.sha256):
            order = [digests.index(wanted) for wanted in published.sha256]
        files = tuple(
            ImportedFile(
                part=part, name=escaped(request.files[number].name)[:500], sha256=digests[number], size=given[number][1]
            )
            for part, number in zip(published.files, order, strict=True)
        )
        info = RunInfo(
            model=request.network,
            version=MODELS.get(request.network).version,
            source=MODELS.origin(request.network),
            preset=None,
            params=msgspec.json.decode(msgspec.json.encode(dict(published.params))),
            training=Training(),
            dataset_name="",
            dataset_version="",
            dataset_id="",
            seed=0,
            finished=True,
            imported=ImportedWeights(
                files=files,
                homepage=published.homepage,
                licence=published.licence,
                checked_release=checked,
                fusionbench=__version__,
            ),
        )
        if earlier is not None:
            _check_same(earlier, info)
        names = [str(request.files[number]) for number in order]
        arguments = [request.network, str(made), *(str(inside / str(number)) for number in order)]
        done = run_limited(
            _READS,
            arguments,
            seconds=IMPORT_SECONDS,
            memory=IMPORT_MEMORY,
            readable=[inside],
            writable=[made],
        )
        if not done.ok:
            number, colon, message = done.message.partition(": ")
            known = colon and number.isdecimal() and int(number) < len(names)
            raise DataError(f"{names[int(number)]}: {message}" if known else f"{names[0]}: {done.message}")
        return _kept(made, info, request.out)


def import_once(network: str, made: str, *files: str) -> None:
    """In the process with limits: read the files and write the model's weights into the folder ``made``.

    Raises:
        DataError: as :func:`import_published_weights`; begins with the number of the file.
    """
    from fusionbench.models import MODELS, create_model
    from fusionbench.training.checkpoints import save_weights

    states = []
    for number, path in enumerate(files):
        try:
            states.append(read_weights(Path(path)))
        except DataError as error:
            raise DataError(f"{number}: {error}") from error
    cls = MODELS.get(network)
    state = cls.from_published(states)  # type: ignore[attr-defined]
    model = create_model(network, PUBLISHED_SPEC, **cls.PUBLISHED.params)  # type: ignore[attr-defined]
    own = model.state_dict()
    wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
    if wrong or len(state) != len(own):
        first = wrong[0] if wrong else next(name for name in state if name not in own)
        raise DataError(f"0: not the published weights of {network}: {escaped(first)[:100]!r} does not fit")
    model.load_state_dict({name: value.to(own[name].dtype) for name, value in state.items()})
    save_weights(model, Path(made) / FILE)


def _copied(path: Path, copy: Path) -> tuple[str, int]:
    """Copy a file of the user's, and give its sha256 and size: what is read later is what was hashed.

    Raises:
        DataError: no such file, not a regular one, or too large.
    """
    place = Path(os.path.realpath(path))
    if place.is_dir():
        raise DataError(f"{path}: a folder; name the file of weights in it")
    total, size = hashlib.sha256(), 0
    with open_regular(place, "file of weights") as source, open(copy, "wb") as target:
        length = os.fstat(source.fileno()).st_size
        if length > MAX_WEIGHTS_FILE:
            raise DataError(f"{path}: {length:,} bytes are too many for a file of weights (limit {MAX_WEIGHTS_FILE:,})")
        while size <= MAX_WEIGHTS_FILE and (block := source.read(_BLOCK)):
            total.update(block)
            size += target.write(block)
    return total.hexdigest(), size


def _earlier(out: Path) -> Run | None:
    """The import that the folder holds already; None where there is nothing yet.

    Raises:
        UsageError: it holds something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        found = read_run(out)
    except DataError as error:
        raise UsageError(f"{out}: holds something else; choose another folder with -o") from error
    if found.info.imported is msgspec.UNSET:
        raise UsageError(f"{out}: holds a training run; choose another folder with -o")
    return found


def _check_same(earlier: Run, wanted: RunInfo) -> None:
    """Refuse to replace weights by others.

    Raises:
        UsageError: the folder holds an import of other files.
    """
    digests = [
        (info.model, [file.sha256 for file in info.imported.files] if info.imported else [])
        for info in (earlier.info, wanted)
    ]
    if digests[0] != digests[1]:
        raise UsageError(f"{earlier.folder}: holds weights that were imported from other files; choose another with -o")


def _kept(made: Path, info: RunInfo, out: Path) -> Run:
    """What the process wrote, checked here, as the run folder ``out``.

    Raises:
        DataError: it left no weights of the model, or the folder cannot be written.
    """
    weights = made / FILE
    if weights.is_symlink() or not weights.is_file():
        raise DataError("reading the weights left none behind; report this file's network to fusionbench")
    if problems := header_problems(weights):
        raise DataError(f"reading the weights left a damaged file: {problems[0].rule}")
    model = Run(made, info).load_model(PUBLISHED_SPEC)
    info.parameters = sum(parameter.numel() for parameter in model.parameters())
    published, imported = published_weights_of(info.model), info.imported
    assert isinstance(imported, ImportedWeights)
    state = released_state_sha256(model.state_dict(), published.ours_alone)
    imported = msgspec.structs.replace(imported, state_sha256=state, state_known=state == published.state_sha256)
    info = msgspec.structs.replace(info, imported=imported)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name[:40]}.", dir=out.parent) as near:
            folder = Path(near) / "run"
            folder.mkdir()
            shutil.copyfile(weights, folder / FILE)
            info.write(folder)
            if out.is_dir():  # an import of the same files, or an empty folder: run.json is last
                for name in (FILE, "run.json"):
                    os.replace(folder / name, out / name)
            else:
                os.rename(folder, out)
    except OSError as error:
        raise DataError(f"{out}: cannot write: {error.strerror}; check the folder and the free space") from error
    return Run(out, info)
