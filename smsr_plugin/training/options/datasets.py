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

_BACKEND = about(
    "Where images are read from.",
    expected="a section with type disk or lmdb",
    unknown="only a type here",
    whole=True,
    advice="write `type: disk` or `type: lmdb`",
)


class Backend(Section, kw_only=True):
    """`io_backend`: what images are read from; BasicSR's memcached would import code."""

    type: Annotated[
        Literal["disk", "lmdb"], about("Files of a folder, or LMDBs as `smsr prepare` writes them.")
    ]


class Dataset(Section, kw_only=True):
    """What BasicSR reads of any data set."""

    patterns_are_keys: ClassVar[bool] = False
    patterns: ClassVar[Mapping[str, Any]] = {
        r"dataroot_\w+": Annotated[Path | None, about("Folder or LMDB.")]
    }

    name: Annotated[
        FileName,
        about(
            "Name in the log and of the folder of results; each set has its own.",
            advice="images are saved under it: use letters, digits, `-` and `_`",
        ),
    ]
    type: Annotated[
        str,
        about(
            "`CheckedPairedImageDataset` for pairs, `SingleImageDataset` for a test without ground "
            "truth, or another of BasicSR's.",
            names="dataset",
        ),
    ]
    io_backend: Annotated[Backend | None, _BACKEND] = None
    meta_info_file: Annotated[
        Path | None, about("File that lists the images, one a line; ~ for all of the folder.")
    ] = None
    filename_tmpl: Annotated[
        Template,
        about(
            "Name of an lq file, without extension, `{}` standing for that of gt: `{}x2`.",
            advice="write e.g. '{}x2'",
        ),
    ] = "{}"
    prefetch_mode: Annotated[
        Literal["cpu", "cuda"] | None,
        about(
            "Whether batches are fetched ahead; ~ is the usual loader.",
            advice="~ is the usual loader",
        ),
    ] = None
    num_prefetch_queue: Annotated[
        Size, about("How many batches `prefetch_mode: cpu` fetches ahead.")
    ] = 1
    dataset_enlarge_ratio: Annotated[
        Ratio,
        about(
            "How often an epoch repeats the images.", advice="it is how often an epoch repeats them"
        ),
    ] = 1
    pin_memory: Annotated[
        Switch, about("Whether batches are in pinned memory, which a GPU copies faster.")
    ] = False
    persistent_workers: Annotated[
        Switch, about("Whether the loading processes go on from epoch to epoch.")
    ] = False
    use_shuffle: Annotated[Switch, about("Not read: training images are always shuffled.")] = True


class EvaluationDataset(Dataset, kw_only=True):
    """A data set to validate or test with, whose images come one by one."""

    num_worker_per_gpu: Annotated[Workers, about("Not read here.")] = 0
    batch_size_per_gpu: Annotated[Size, about("Not read here.")] = 1


class TrainingDataset(Dataset, kw_only=True):
    """`datasets.train`."""

    num_worker_per_gpu: Annotated[
        Workers,
        about(
            "Processes that load images; 0 for the training process itself.",
            advice="0 loads the images in the main process",
        ),
    ]
    batch_size_per_gpu: Annotated[
        Size, about("Images of a batch, in each process.", advice="such as 16 images")
    ]


class Images(Section, kw_only=True):
    """What all data sets of images read."""

    dataroot_lq: Annotated[
        Path,
        about("Folder or LMDB of the lq images.", advice="quote it if it looks like a number"),
    ]
    io_backend: Annotated[Backend, _BACKEND]
    mean: Annotated[
        Channels | None, about("Subtracted from the images' channels, in 0…1; needs `std`.")
    ] = None
    std: Annotated[Channels | None, about("The channels are divided by it; needs `mean`.")] = None
    color: Annotated[
        Literal["y"] | None, about("`y` for the luma (Y of YCbCr) alone; ~ for RGB.")
    ] = None


class SingleImages(Images, kw_only=True):
    """SingleImageDataset: lq images without ground truth."""


class PairedImages(Images, kw_only=True):
    """CheckedPairedImageDataset and PairedImageDataset: gt and lq images."""

    dataroot_gt: Annotated[
        Path,
        about("Folder or LMDB of the gt images.", advice="quote it if it looks like a number"),
    ]


class EvaluationPairs(PairedImages, kw_only=True):
    """PairedImages of a validation or test."""

    gt_size: Annotated[Size | None, about("Height and width of the gt patches of a training.")] = (
        None
    )
    use_hflip: Annotated[Switch | None, about("Whether patches are flipped at random.")] = None
    use_rot: Annotated[
        Switch | None, about("Whether they are turned by 90° and flipped vertically at random.")
    ] = None


class TrainingPairs(PairedImages, kw_only=True):
    """PairedImages of a training."""

    gt_size: Annotated[
        Size,
        about(
            "Height and width of the gt patches, a multiple of `scale`.",
            advice="such as 192 with scale 2",
        ),
    ]
    use_hflip: Annotated[
        Switch,
        about("Whether patches are flipped at random.", advice="write `use_hflip: true`"),
    ]
    use_rot: Annotated[
        Switch,
        about(
            "Whether they are turned by 90° and flipped vertically at random.",
            advice="write `use_rot: true`",
        ),
    ]


class CheckedTrainingPairs(TrainingPairs, kw_only=True):
    """TrainingPairs of CheckedPairedImageDataset."""

    detail_draws: Annotated[
        int,
        Meta(ge=1, le=MAX_DRAWS),
        about(
            "Each patch is the one with most detail of so many, by chance; 1 draws evenly.",
            expected=f"a whole number from 1 to {MAX_DRAWS}",
        ),
    ] = 1
