"""What has to have which interface, for mypy: ``make lint`` checks this file, no test runs it."""

from fusionbench.core import interfaces
from fusionbench.core.interfaces import (
    FileSource,
    Fits,
    Fuses,
    HasLikelihood,
    Model,
    PairSource,
    Plans,
    Samples,
    Source,
    StreamLike,
    Trainable,
)
from fusionbench.data.arrays import Arrays
from fusionbench.data.dataset import Dataset, ViewStream
from fusionbench.data.pair_stream import PairStream
from fusionbench.models.classical.cbf import CrossBilateral
from fusionbench.models.classical.gtf import GradientTransfer
from fusionbench.models.classical.guided_filter import GuidedFilter
from fusionbench.models.classical.jsr_sd import JointSparse
from fusionbench.models.classical.pyramids import Average, LaplacianPyramid
from fusionbench.models.classical.wavelet import Wavelet
from fusionbench.models.pairs.dae_fuse import DAEFuse
from fusionbench.models.pairs.datfuse import DATFuse
from fusionbench.models.pairs.didfuse import DIDFuse
from fusionbench.models.pairs.mfeif import MFEIF
from fusionbench.models.pairs.tardal import TarDAL
from fusionbench.models.published_weights import TakesPublished
from fusionbench.models.trivial import MeanImage
from fusionbench.models.vae.cvae import CVAE
from fusionbench.models.vae.fcn import FCN
from fusionbench.models.vae.fusionvae import FusionVAE
from fusionbench.models.vae.fusionvae_plus import FusionVAEPlus
from fusionbench.sources.celeba import CelebA
from fusionbench.sources.coil import Coil
from fusionbench.sources.digits import Digits
from fusionbench.sources.folder import Folder
from fusionbench.sources.mnist import Mnist
from fusionbench.sources.pairs import Msrs, PairsDemo
from fusionbench.sources.tless import TLess
from fusionbench.sources.tless_release import FusionTLessRelease


def datasets(dataset: Dataset, arrays: Arrays, views: ViewStream, pairs: PairStream) -> None:
    _dataset: interfaces.DatasetLike = dataset
    _columns: interfaces.Columns = arrays
    _streams: list[StreamLike] = [views, pairs]


def sources(
    embedded: Digits, celeba: CelebA, coil: Coil, mnist: Mnist, tless: TLess, release: FusionTLessRelease
) -> list[Source]:
    return [embedded, celeba, coil, mnist, tless, release]


def sources_of_files(folder: Folder, pairs: Msrs) -> list[FileSource]:
    return [folder, pairs]


def sources_of_pairs(demo: PairsDemo, pairs: Msrs) -> list[PairSource]:
    return [demo, pairs]


def likelihood_models(fcn: FCN, cvae: CVAE, fusionvae: FusionVAE, plus: FusionVAEPlus) -> None:
    _trainable: list[Trainable] = [fcn, cvae, fusionvae, plus]
    _planned: list[Plans] = [fcn, cvae, fusionvae, plus]
    _likelihood: list[HasLikelihood] = [fcn, cvae, fusionvae, plus]
    _samples: list[Samples] = [cvae, fusionvae, plus]
    _fuses: list[Fuses] = [fcn, cvae, fusionvae, plus]


def pair_models(dae_fuse: DAEFuse, mfeif: MFEIF) -> None:
    _trainable: list[Trainable] = [dae_fuse, mfeif]
    _planned: list[Plans] = [dae_fuse, mfeif]
    _fuses: list[Fuses] = [dae_fuse, mfeif]


def published_networks(didfuse: DIDFuse, datfuse: DATFuse, tardal: TarDAL, mfeif: MFEIF) -> None:
    _trainable: list[Trainable] = [didfuse, datfuse, tardal]
    _fuses: list[Fuses] = [didfuse, datfuse, tardal]
    _published: list[type[TakesPublished]] = [DIDFuse, DATFuse, TarDAL, MFEIF]


def other_models(mean: MeanImage, average: Average, guided: GuidedFilter, pyramid: LaplacianPyramid) -> None:
    _models: list[Model] = [mean, average, guided, pyramid]
    _fuses: list[Fuses] = [mean, average, guided, pyramid]
    _fits: list[Fits] = [mean]


def classical_models(cbf: CrossBilateral, gtf: GradientTransfer, jsr: JointSparse, wavelet: Wavelet) -> None:
    _models: list[Model] = [cbf, gtf, jsr, wavelet]
    _fuses: list[Fuses] = [cbf, gtf, jsr, wavelet]
