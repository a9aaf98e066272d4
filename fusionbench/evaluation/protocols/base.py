"""What a protocol offers: suites, ``evaluate``, ``score``, submissions and the leaderboard ask it and nothing else.

A new protocol derives from :class:`SimpleProtocol` and says its ``name``, ``version``, ``title``, ``about`` and
``columns``, how its data are opened (``open``), what shape its models are built for (``spec``), which metrics it has
(``metrics``) and what the scores of a model are (``measure``). The rest has an implementation that fits most protocols.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from typing import Protocol as Interface

import msgspec

from fusionbench.core.errors import CannotMeasure, DataError, UsageError, unknown_name
from fusionbench.evaluation.protocols.flags import Flag, command_flags
from fusionbench.results.schema import DatasetIdentity, Identity, ProtocolIdentity, Result, Score, save

if TYPE_CHECKING:
    from fusionbench.core.interfaces import Model
    from fusionbench.core.types import ImageSpec
    from fusionbench.evaluation.subject import Scorable
    from fusionbench.evaluation.suites import Suite, SuiteModel

Count = Annotated[int, msgspec.Meta(ge=1)]
Table = Mapping[str, Sequence[Any]]  # column -> one value per image; the first column is ``id``


class Options(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """The ``[protocol]`` table of a suite. ``limit``: only the first images of the split.

    A protocol with options of its own derives from this, with a default for each of them.
    """

    name: str
    limit: Count | None = None


class Data(Interface):
    """What a protocol opens: images of one split, with the identity that a result names."""

    @property
    def identity(self) -> DatasetIdentity: ...


@dataclass(frozen=True)
class ScoredRow:
    """A row of a suite with one seed: the model object or its run folder, and its result."""

    row: SuiteModel
    seed: int
    model: Scorable
    result: Result


class BaseProtocol(ABC):
    """How a model is measured, under one name and version.

    Attributes:
        name, version: what results call it; registered as ``name/version``. Raise the version with any change that
            moves a score.
        title: what the leaderboard calls it, a few words.
        about: one sentence: what a model is given and what is scored.
        columns: patterns of score keys (``psnr_target``, ``mse_min@*``) in the order of tables.
        titles: metric -> head of its columns, of metrics that fusionbench does not know.
        shown: patterns of the score keys that the leaderboard's table has; None for all. The others are in results,
            comparisons and gates all the same.
        apart: what is added to the name of its table, where another protocol scores the same data; "" for nothing.
        Options: the options that change a score, as a suite's ``[protocol]`` table has them.
        takes: further options of ``evaluate`` and ``run`` that ``open`` (``source_dir``, ``strict``) and ``evaluate``
            (all others) understand as keyword arguments.
        flags: option -> how ``evaluate`` spells and explains it; each of ``Options`` and ``takes`` is an option of
            ``evaluate`` under this protocol, by default ``--its-name``.
        seeded_views: whether it scores views that a recipe makes from a seed, of which rounds with a secret seed can
            be made.
        counted: what a result has one value for.
        fewest: how many of these can be scored alone.
        references: rows of its own that every suite has after those that it names, see :meth:`reference`.
        scores_functions: whether a method may be a plain function of two images that returns the fused one.
        lacks: why options of other protocols make no sense here: "NAME <lacks>: leave out --that".
        no_images: the same of a folder of fused images, where the protocol cannot score one.
        ignored: options of other protocols that a suite may have all the same; they change nothing.
        trains_on_dataset: whether rows are trained on the data set that is scored, those without a loss fitted on it,
            and scored in the process that trained them. Else rows that learn are trained on the suite's ``train``, and
            all rows are scored one after the other, so that no time is measured beside another row's.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    titles: ClassVar[Mapping[str, str]] = {}
    shown: ClassVar[tuple[str, ...] | None] = None
    apart: ClassVar[str] = ""
    Options: ClassVar[type[Options]] = Options
    takes: ClassVar[frozenset[str]] = frozenset()
    flags: ClassVar[Mapping[str, Flag]] = {}
    lacks: ClassVar[str] = "has another protocol"
    no_images: ClassVar[str] = "does not score folders of images"
    ignored: ClassVar[frozenset[str]] = frozenset()
    trains_on_dataset: ClassVar[bool] = False
    seeded_views: ClassVar[bool] = False
    scores_functions: ClassVar[bool] = False
    references: ClassVar[tuple[str, ...]] = ()
    counted: ClassVar[str] = "images"
    fewest: ClassVar[int] = 1

    @property
    def key(self) -> str:
        """``name/version``."""
        return f"{self.name}/{self.version}"

    @property
    def own_options(self) -> dict[str, Any]:
        """The options that change a score, beside ``limit``, with their defaults."""
        fields = msgspec.structs.fields(self.Options)
        return {field.name: field.default for field in fields if field.name not in ("name", "limit")}

    def options(self, **given: Any) -> Any:
        """Checked options, defaults for those that are not ``given``.

        Raises:
            UsageError: an unknown option, or a value that it cannot have.
        """
        known = [*self.own_options, "limit"]
        for option in given:
            if option not in known:
                raise unknown_name(f"option of {self.key}", option, known, f"fusionbench describe {self.key}")
        try:
            return msgspec.convert({"name": self.key, **given}, self.Options)
        except msgspec.ValidationError as error:
            raise UsageError(f"{self.key}: {error}") from error

    def identity(self, options: Any, data: Any) -> ProtocolIdentity:
        """The part of a result's identity that says how it was measured: every option that changes a score."""
        params = {option: getattr(options, option) for option in self.own_options if option != "seed"}
        return ProtocolIdentity(
            name=self.name, version=self.version, seed=getattr(options, "seed", 0), params=msgspec.to_builtins(params)
        )

    def claims(self, data: str, source_dir: Path | None) -> bool:
        """Whether ``evaluate --data`` means this protocol without ``--protocol``."""
        return False

    @abstractmethod
    def open(
        self,
        data: str,
        options: Any,
        *,
        split: str | None = None,
        source_dir: Path | None = None,
        strict: bool = False,
    ) -> Any:
        """The data to score: of a name or folder, and of the folder of upstream files where the data have some.

        Raises:
            UsageError, DataError: no such data or split, or damaged files.
        """

    def open_suite(self, suite: Suite, *, data_root: Path, source_dir: Path | None = None, strict: bool = False) -> Any:
        """The data that a suite scores; ``data_root`` holds data sets. The same as ``open`` unless overridden."""
        return self.open(suite.dataset, suite.protocol, split=suite.split, source_dir=source_dir, strict=strict)

    def before_training(self, suite: Suite, data: Any, folder: Path) -> None:  # noqa: B027 - most need none
        """Look at the data set that rows of a suite are trained on, and say what its reader should know."""

    def dataset_folder(self, data: Any) -> Path:
        """Where the data set lies that is scored; asked where ``trains_on_dataset``."""
        raise NotImplementedError(f"{self.key} trains rows on the data set that it scores: say where it lies")

    @abstractmethod
    def spec(self, data: Any) -> ImageSpec:
        """The shape that models are built for."""

    def create(self, row: SuiteModel, data: Any) -> Model:
        """The model object of a row that is not trained."""
        from fusionbench.models import MODELS

        return MODELS.get(row.name)(self.spec(data), **row.model_parameters)

    def reference(self, name: str, data: Any) -> Model:
        """The model object of one of ``references``: what only this protocol can score, beside a suite's models."""
        raise NotImplementedError(f"{self.key} has no reference {name!r}")

    def evaluate(
        self,
        model: Scorable,
        data: Any,
        options: Any,
        *,
        out: str | Path | None = "results",
        device: str = "auto",
        title: str | None = None,
        params: dict[str, Any] | None = None,
        force: bool = False,
    ) -> Result:
        """Score a model object, or a run (its folder, or a Run), and save the result below ``out``.

        The scores are those of :meth:`measure`, identity, time and files are made here; or a protocol overrides this.
        A result with the same identity that lies there already is returned as it is, unless ``force``. A protocol whose
        ``takes`` names options of the command line gets those as further keyword arguments.

        Args:
            title: what tables call the row; the model's title when None.
            params: parameters that a model object was built with; part of the identity (a run knows its own).

        Raises:
            UsageError: a model that lacks an ability.
            DataError, CannotMeasure: images that cannot be scored, or scores that are not finite.
        """
        from fusionbench.evaluation.make_result import make_result, saved_result
        from fusionbench.evaluation.measuring_device import measuring_on
        from fusionbench.evaluation.partial_scores import PartialScores, keep_partial
        from fusionbench.evaluation.subject import EvaluatedModel
        from fusionbench.training.runtime import describe_host, launch

        runtime = launch(device, "fp32")
        subject = EvaluatedModel.of(model, self.spec(data), runtime.device, params)
        identity = Identity(
            model=subject.identity,
            dataset=data.identity,
            protocol=self.identity(options, data),
            metrics=self.metrics_on(subject.model, data),
            training=subject.training,
        )
        result = make_result(identity, title=title or subject.title, family=subject.family, model_code=subject.code)
        if (found := saved_result(result, out, force or subject.unknown)) is not None:
            return found
        begun = time.monotonic()
        place = out if runtime.world_size == 1 else None  # rows of several processes would be no longer in order
        host = describe_host(runtime.device)
        partial = PartialScores.of([result], place, subject, protocol=self, host=host)
        with keep_partial(partial), measuring_on(runtime.device):
            result.scores, table = self.measure(subject.model, data, options)
        seconds = time.monotonic() - begun
        for key, score in result.scores.items():
            if score.mean is None and not score.extra.get("not_available"):
                raise CannotMeasure(f"{subject.title} on {data.identity.name}: {key}: {score.reason}")
        result.cost = subject.cost() | {"seconds": round(seconds, 3)}  # metrics and all: no time of fusing an image
        result.provenance |= {"host": describe_host(runtime.device), "precision": runtime.precision}
        result.provenance |= subject.provenance
        if out is not None and runtime.rank == 0:
            save(result, out, table)
        else:
            result.remember(table=table)
        partial.remove()
        runtime.fabric.barrier()
        return result

    def evaluate_all(self, model: Scorable, data: Any, options: Any, **settings: Any) -> list[Result]:
        """As :meth:`evaluate`, with every result that the options ask for; one unless a protocol has several forms."""
        return [self.evaluate(model, data, options, **settings)]

    def apart_by(self, params: Mapping[str, Any]) -> str:
        """What is added to the name of a table of results with these ``params`` of their identity's protocol."""
        return self.apart

    def metrics(self, model: Model) -> dict[str, str]:
        """Score of the model -> version of its metric; part of the identity."""
        raise NotImplementedError(f"{self.key} has neither metrics and measure nor an evaluate of its own")

    def metrics_on(self, model: Model, data: Any) -> dict[str, str]:
        """Those of :meth:`metrics` that can have a value on these data; all of them unless overridden."""
        return self.metrics(model)

    def measure(self, model: Model, data: Any, options: Any) -> tuple[dict[str, Score], Table]:
        """Scores of a model (on the device that it lies on) by their key, and the values image by image.

        What is trained to read its images is so on :func:`fusionbench.evaluation.measuring_device.measuring_device`.
        What takes long keeps its rows with :func:`fusionbench.evaluation.partial_scores.partial_scores`, so that a
        call that is stopped goes on.

        Raises:
            UnfinishedError: the time is over.
            UsageError: a model that lacks an ability.
            CannotMeasure, DataError: images that cannot be scored.
        """
        raise NotImplementedError(f"{self.key} has neither metrics and measure nor an evaluate of its own")

    def draw_row(self, model: Scorable, data: Any, result: Result, out: Path) -> None:  # noqa: B027 - most need none
        """Draw the sheets of a row of a suite below ``out`` and save the result that names them; nothing by default."""

    def draw_suite(  # noqa: B027 - most need none
        self, suite: Suite, rows: Sequence[ScoredRow], data: Any, out: Path, *, whole: bool
    ) -> None:
        """Draw what belongs to all rows that were scored together; nothing by default.

        Args:
            whole: these are all rows of the suite.
        """

    def open_images(self, suite: Suite, a: Path, b: Path, *, strict: bool = False) -> Any:
        """The data of a suite in two folders of source images of any name.

        Raises:
            UsageError: a protocol that cannot score folders of images.
            DataError: folders without the images of the suite.
        """
        raise UsageError(f"{suite.name} {self.no_images}")

    def score_images(self, fused: Path, data: Any, options: Any, **about: Any) -> Result:
        """Score a method's folder of fused images as if the method had been run here; status ``scored``.

        Raises:
            UsageError: a protocol that cannot score folders of images.
            DataError: images that lack, differ in size or cannot be read.
        """
        raise UsageError(f"{self.key} {self.no_images}")


class SimpleProtocol(BaseProtocol):
    """A protocol that says what the scores of a model are, and leaves identity, time and files to ``evaluate``."""

    @abstractmethod
    def metrics(self, model: Model) -> dict[str, str]:
        """As :meth:`BaseProtocol.metrics`."""

    @abstractmethod
    def measure(self, model: Model, data: Any, options: Any) -> tuple[dict[str, Score], Table]:
        """As :meth:`BaseProtocol.measure`."""


def read_options(table: Mapping[str, Any], path: Path) -> Any:
    """The options of the ``[protocol]`` table of the suite in ``path``, as the protocol that it names wants them.

    Raises:
        DataError: an unknown protocol, an option that it does not have, or a wrong value; names the file.
    """
    from fusionbench.core.progress import say
    from fusionbench.evaluation.protocols import DEFAULT, PROTOCOLS, known_protocol, protocol_order

    name = table.get("name", DEFAULT)
    try:
        protocol = PROTOCOLS.get(name if isinstance(name, str) else repr(name))
    except UsageError as error:
        raise DataError(f"{path}: not a suite: `protocol.name`: {error}") from error
    own = {"name": protocol.key, **table}
    for option in [option for option in table if option not in protocol.own_options]:
        if option in protocol.ignored:
            say(f"note: {path}: `protocol.{option}` changes nothing under {protocol.key}")
            del own[option]
        for other in protocol_order():
            if option in own and (theirs := known_protocol(other)) is not None and option in theirs.own_options:
                if table[option] != theirs.own_options[option]:
                    raise DataError(f"{path}: not a suite: `protocol.{option}` belongs to the protocol {other}")
                del own[option]  # at its default it says nothing
    try:
        whole: Any = msgspec.defstruct("Whole", [("protocol", protocol.Options)])  # so that messages have the whole key
        return msgspec.convert({"protocol": own}, whole).protocol
    except (msgspec.ValidationError, UsageError) as error:
        raise DataError(f"{path}: not a suite: {error}") from error


OPENS = frozenset({"source_dir", "strict"})  # of ``takes``, what ``open`` gets; ``evaluate`` gets the others


def flag(option: str) -> str:
    """How the command line spells an option, of the first protocol that describes it."""
    from fusionbench.evaluation.protocols import known_protocol, protocol_order

    for name in protocol_order():
        protocol = known_protocol(name)
        if protocol is not None and option in protocol.flags:
            return command_flags(protocol)[option].name
    return f"--{option.replace('_', '-')}"


def others_options(protocol: BaseProtocol, given: set[str]) -> dict[str, str]:
    """Options among ``given`` that belong to other protocols only -> the name of the first protocol that has it."""
    from fusionbench.evaluation.protocols import known_protocol, protocol_order

    own = protocol.takes | protocol.own_options.keys()
    owners: dict[str, str] = {}
    for name in protocol_order():
        other = known_protocol(name)
        for option in () if other is None else (given - own) & (other.takes | other.own_options.keys()):
            owners.setdefault(option, other.name if other is not None else name)
    return owners
