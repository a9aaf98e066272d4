"""Where the files of a source come from: downloads with known digests, and what to do by hand where there is none.

Only what the owner lets anybody download, and of which size and sha256 are known, is downloaded. Everything else stays
a line that says where to go and how the folder has to look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.interfaces import Source
from fusionbench.core.io import escaped, file_sha256, require_folder
from fusionbench.core.progress import progress, say
from fusionbench.sources import SOURCES
from fusionbench.sources.pair_folders import PairFolders

_TIMEOUT = (20, 60)  # seconds: to connect, and between two packets
_CHUNK = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A file of a download: its name, its size in bytes and its hex sha256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Download:
    """Files that anybody may download, all below each of ``mirrors``, which are tried in order."""

    mirrors: tuple[str, ...]
    files: tuple[RemoteFile, ...]

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(file.bytes for file in self.files)


DOWNLOADS = {
    "mnist": Download(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        (
            RemoteFile(
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            RemoteFile(
                "train-labels-idx1-ubyte.gz",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            RemoteFile(
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            RemoteFile(
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    )
}
EMBEDDED = ("digits", "pairs-demo")
_YOURS = ("folder", "pairs")
_UNKNOWN = "no digest of the files is known, so that a download could not be checked"
# source -> (why it is not downloaded, how the folder has to look)
_BY_HAND = {
    "celeba": (
        "its homepage has an agreement that binds whoever uses it, read that first",
        "img_align_celeba/*.jpg and list_eval_partition.txt",
    ),
    "celeba-half": (
        "it is made from CelebA, whose homepage has an agreement that binds whoever uses it",
        "half_89x109/*.jpg (or img_align_celeba/*.jpg, at 89×109) and list_eval_partition.txt",
    ),
    "coil": (_UNKNOWN, "coil20/objN__T.png and coil100/objN__A.png, either or both"),
    "tless": (
        _UNKNOWN,
        "train_primesense/OO/ with rgb/*.png and gt.yml, or BOP's train_primesense/OOOOOO/ with rgb/*.png and "
        "scene_gt.json",
    ),
    "fusiontless-release": (
        "no address of the files is known that stays; their size and sha256 are checked when they are opened",
        "the three *.lmdb folders of the release, each with data.mdb",
    ),
}


def manual_steps(name: str) -> str:
    """What to do by hand to have the files of a source that is not downloaded, on one line.

    Raises:
        UsageError: no such source.
    """
    kind = SOURCES.get(name)
    if name in _YOURS:
        return f"{name} reads images of your own: name their folder with --source-dir DIR"
    why, layout = _BY_HAND.get(name, (_UNKNOWN, ""))
    if not layout and isinstance(kind, type) and issubclass(kind, PairFolders):
        layout = _pair_layout(kind)
    place = f" from {kind.homepage}" if kind.homepage else " from its owner"
    looks = f", lay it out as {layout}" if layout else ""
    return f"{name} is not downloaded: {why}; get it{place}{looks}, and name the folder with --source-dir DIR"


def _pair_layout(kind: type[PairFolders]) -> str:
    splits = []
    for places in kind.LAYOUTS.values():
        places_of_split = " or ".join(f"{place.a}/ and {place.b}/" for place in places)
        if places_of_split not in splits:
            splits.append(places_of_split)
    return "; ".join(splits)


def source_facts(name: str) -> dict[str, str]:
    """What to know of a source before its files are used: title, licence, citation, homepage."""
    kind: type[Source] = SOURCES.get(name)
    found = {"title": kind.title, "licence": kind.licence, "citation": kind.citation, "homepage": kind.homepage}
    return {key: escaped(value) for key, value in found.items() if value}


def mirrors_of(download: Download, mirror: str | None) -> tuple[str, ...]:
    """The addresses to try, each with a slash at its end: those known, or only ``mirror``.

    Raises:
        UsageError: a mirror that is not an address of HTTP.
    """
    if mirror is None:
        return download.mirrors
    if not mirror.startswith(("http://", "https://")) or len(mirror.partition("://")[2].strip("/")) == 0:
        raise UsageError(f"--mirror {mirror!r}: an address that begins with https:// or http:// is needed")
    return (mirror.rstrip("/") + "/",)


def fetch_source(name: str, out: Path, mirror: str | None = None) -> list[Path]:
    """Download the files of a source into the folder ``out``; those that are there already and right are not touched.

    A file is moved to its name when its size and sha256 are right, so nothing half or wrong is ever left there. At
    the end the source is opened, which checks that its files fit together.

    Args:
        mirror: address of a folder with the same files, in the place of the known ones.

    Raises:
        UsageError: a source without a download, or the package pooch is missing (``pip install 'fusionbench[fetch]'``).
        DataError: no address works, a file is not the known one, or another file of its name is there.
    """
    download = DOWNLOADS.get(name)
    if download is None:
        raise UsageError(manual_steps(name))
    try:
        import pooch
    except ImportError as error:
        urls = ", ".join(download.mirrors[0] + file.name for file in download.files)
        raise UsageError(f"fetch needs pooch: pip install 'fusionbench[fetch]'; or download {urls} by hand") from error
    out, addresses = Path(out), mirrors_of(download, mirror)
    require_folder(out)
    missing = [file for file in download.files if not _is_there(out / file.name, file)]
    pooch.get_logger().setLevel("ERROR")
    with progress(f"fetch {name}", sum(file.bytes for file in missing), "bytes") as task:
        for file in missing:
            _fetch_one(file, out, addresses, task.advance)
    SOURCES.get(name)(out)
    return [out / file.name for file in download.files]


def _is_there(path: Path, file: RemoteFile) -> bool:
    if not path.exists():
        return False
    if path.is_file() and path.stat().st_size == file.bytes and file_sha256(path) == file.sha256:
        return True
    raise DataError(f"{path}: another file of this name is there already; move it away, or name another folder")


def _fetch_one(file: RemoteFile, out: Path, addresses: Iterable[str], advance: Callable[[float], None]) -> None:
    import pooch

    problems = []
    for address in addresses:
        stream = _Bounded(file, advance)
        try:
            pooch.retrieve(address + file.name, f"sha256:{file.sha256}", file.name, out, downloader=stream)
            return
        except _FailedError as error:
            problems.append(f"{address + file.name}: {error}")
        except ValueError:  # what pooch says of another digest
            problems.append(f"{address + file.name}: its sha256 is not that of {file.name}")
        advance(-stream.done)
        say(f"{problems[-1]}")
    raise DataError(f"{'; '.join(problems)}; nothing was kept; check the network, or name another --mirror")


class _FailedError(Exception):
    """An address that does not work, with the reason."""


class _Bounded:
    """Downloads for pooch, never more bytes than the file has: a server cannot fill the disk."""

    def __init__(self, file: RemoteFile, advance: Callable[[float], None]) -> None:
        self.file, self.advance, self.done = file, advance, 0

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        import requests
        import urllib3

        try:
            with requests.get(url, stream=True, timeout=_TIMEOUT, headers={"Accept-Encoding": "identity"}) as response:
                if not response.ok:
                    raise _FailedError(f"the server says {response.status_code} {response.reason}")
                with open(output_file, "wb") as out:
                    # as sent: a file that is gzipped itself must not be unpacked on the way
                    for chunk in response.raw.stream(_CHUNK, decode_content=False):
                        self.done += len(chunk)
                        if self.done > self.file.bytes:
                            raise _FailedError(f"more than the {self.file.bytes:,} bytes of {self.file.name}")
                        out.write(chunk)
                        self.advance(len(chunk))
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _FailedError(_reason(error)) from error
        if self.done < self.file.bytes:
            raise _FailedError(f"{self.done:,} of {self.file.bytes:,} bytes")


def _reason(error: BaseException) -> str:
    """The innermost reason of a failed request, short."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split())[:160] or type(error).__name__
