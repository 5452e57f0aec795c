"""The sections of data sets, as BasicSR's loaders and its data sets of images read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from smsr_plugin.training.options.values import (
    FileName,
    Path,
    Section,
    Size,
    Switch,
    Template,
    about,
)

#: Processes that load images, and repetitions of the images in an epoch.
MAX_WORKERS = 512
MAX_ENLARGE_RATIO = 1000
#: Places that a patch is chosen from.
MAX_DRAWS = 100

Workers = Annotated[int, Meta(ge=0, le=MAX_WORKERS)]
Ratio = Annotated[float, Meta(gt=0, le=MAX_ENLARGE_RATIO)]
Channels = Annotated[list[float], Meta(min_length=1, max_length=3)]
Draws = Annotated[
    int, Meta(ge=1, le=MAX_DRAWS), about(expected=f"a whole number from 1 to {MAX_DRAWS}")
]

_BACKEND = about(
    expected="a section with type disk or lmdb", unknown="only a type here", whole=True
)


class Backend(Section, kw_only=True):
    """`io_backend`: what images are read from; BasicSR's memcached would import code.

    Attributes:
        type: Files of a folder, or LMDBs as `smsr prepare` writes them.
    """

    type: Literal["disk", "lmdb"]


class Dataset(Section, kw_only=True):
    """What BasicSR reads of any data set.

    Attributes:
        name: Name in the log and of the folder of results; each set has its own. [images are saved
            under it: use letters, digits, `-` and `_`]
        type: `CheckedPairedImageDataset` for pairs, `SingleImageDataset` for a test without ground
            truth, or another of BasicSR's.
        io_backend: Where images are read from. [write `type: disk` or `type: lmdb`]
        meta_info_file: File that lists the images, one a line; ~ for all of the folder.
        filename_tmpl: Name of an lq file, without extension, `{}` standing for that of gt: `{}x2`.
            [write e.g. '{}x2']
        prefetch_mode: Whether batches are fetched ahead; ~ is the usual loader. [~ is the usual
            loader]
        num_prefetch_queue: How many batches `prefetch_mode: cpu` fetches ahead.
        dataset_enlarge_ratio: How often an epoch repeats the images. [it is how often an epoch
            repeats them]
        pin_memory: Whether batches are in pinned memory, which a GPU copies faster.
        persistent_workers: Whether the loading processes go on from epoch to epoch.
        use_shuffle: Not read: training images are always shuffled.
    """

    patterns_are_keys: ClassVar[bool] = False
    patterns: ClassVar[Mapping[str, Any]] = {
        r"dataroot_\w+": Annotated[Path | None, about("Folder or LMDB.")]
    }

    name: FileName
    type: Annotated[str, about(names="dataset")]
    io_backend: Annotated[Backend | None, _BACKEND] = None
    meta_info_file: Path | None = None
    filename_tmpl: Template = "{}"
    prefetch_mode: Literal["cpu", "cuda"] | None = None
    num_prefetch_queue: Size = 1
    dataset_enlarge_ratio: Ratio = 1
    pin_memory: Switch = False
    persistent_workers: Switch = False
    use_shuffle: Switch = True


class EvaluationDataset(Dataset, kw_only=True):
    """A data set to validate or test with, whose images come one by one.

    Attributes:
        num_worker_per_gpu, batch_size_per_gpu: Not read here.
    """

    num_worker_per_gpu: Workers = 0
    batch_size_per_gpu: Size = 1


class TrainingDataset(Dataset, kw_only=True):
    """`datasets.train`.

    Attributes:
        num_worker_per_gpu: Processes that load images; 0 for the training process itself. [0 loads
            the images in the main process]
        batch_size_per_gpu: Images of a batch, in each process. [such as 16 images]
    """

    num_worker_per_gpu: Workers
    batch_size_per_gpu: Size


class Images(Section, kw_only=True):
    """What all data sets of images read.

    Attributes:
        dataroot_lq: Folder or LMDB of the lq images. [quote it if it looks like a number]
        io_backend: Where images are read from. [write `type: disk` or `type: lmdb`]
        mean: Subtracted from the images' channels, in 0…1; needs `std`.
        std: The channels are divided by it; needs `mean`.
        color: `y` for the luma (Y of YCbCr) alone; ~ for RGB.
    """

    dataroot_lq: Path
    io_backend: Annotated[Backend, _BACKEND]
    mean: Channels | None = None
    std: Channels | None = None
    color: Literal["y"] | None = None


class SingleImages(Images, kw_only=True):
    """SingleImageDataset: lq images without ground truth."""


class PairedImages(Images, kw_only=True):
    """CheckedPairedImageDataset and PairedImageDataset: gt and lq images.

    Attributes:
        dataroot_gt: Folder or LMDB of the gt images. [quote it if it looks like a number]
    """

    dataroot_gt: Path


class EvaluationPairs(PairedImages, kw_only=True):
    """PairedImages of a validation or test.

    Attributes:
        gt_size: Height and width of the gt patches of a training.
        use_hflip: Whether patches are flipped at random.
        use_rot: Whether they are turned by 90° and flipped vertically at random.
    """

    gt_size: Size | None = None
    use_hflip: Switch | None = None
    use_rot: Switch | None = None


class TrainingPairs(PairedImages, kw_only=True):
    """PairedImages of a training.

    Attributes:
        gt_size: Height and width of the gt patches, a multiple of `scale`. [such as 192 with scale
            2]
        use_hflip: Whether patches are flipped at random. [write `use_hflip: true`]
        use_rot: Whether they are turned by 90° and flipped vertically at random. [write
            `use_rot: true`]
    """

    gt_size: Size
    use_hflip: Switch
    use_rot: Switch


class CheckedTrainingPairs(TrainingPairs, kw_only=True):
    """TrainingPairs of CheckedPairedImageDataset.

    Attributes:
        detail_draws: Each patch is the one with most detail of so many, by chance; 1 draws evenly.
    """

    detail_draws: Draws = 1
