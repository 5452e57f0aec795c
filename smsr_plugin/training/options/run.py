"""An option file as a whole, for a training and for a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from smsr_plugin.training.options.datasets import EvaluationDataset, TrainingDataset
from smsr_plugin.training.options.sections import (
    Distribution,
    Logger,
    Paths,
    TestValidation,
    TrainingValidation,
)
from smsr_plugin.training.options.train import Train
from smsr_plugin.training.options.values import (
    FileName,
    Registered,
    Section,
    Seed,
    Size,
    Switch,
    Whole,
    about,
)

_Data = Annotated[EvaluationDataset, about("Images to validate or test with.")]


class TrainingDatasets(Section, kw_only=True):
    """`datasets` of a training."""

    patterns: ClassVar[Mapping[str, Any]] = {r"val(_\w+)?": _Data}

    train: Annotated[TrainingDataset, about("Images to train with.")]


class TestDatasets(Section, kw_only=True):
    """`datasets` of a test."""

    patterns: ClassVar[Mapping[str, Any]] = {r"(test|val)(_\w+)?": _Data}


class CommonOptions(Section, kw_only=True):
    """An option file: what training and testing share."""

    patterns: ClassVar[Mapping[str, Any]] = {
        r"network_\w+": Annotated[
            Registered | None, about("Another network of the model.", kind="network")
        ]
    }

    name: Annotated[
        FileName,
        about(
            "Name of the run, and of its folder below experiments/ or results/.",
            expected="the name of a folder below experiments/ or results/",
            advice="use letters, digits, `-` and `_`, and quote it if it looks like a number",
        ),
    ]
    model_type: Annotated[
        str,
        about(
            "How it is trained and tested: `SMSRModel`, or one of BasicSR's, such as `SRModel`.",
            names="model",
        ),
    ]
    scale: Annotated[
        Size | None,
        about(
            "How many times larger than lq the ground truth is, in height and in width.",
            expected="a whole number above 0",
            advice="such as 2, 3 or 4",
        ),
    ] = None
    num_gpu: Annotated[
        Whole | Literal["auto"],
        about(
            "How many CUDA devices; 0 for the CPU, `auto` for all that there are.",
            expected="a whole number or `auto`",
            advice="write `num_gpu: 0` for the CPU",
        ),
    ]
    manual_seed: Annotated[
        Seed | None,
        about(
            "Seed of all random numbers; ~ for 0.",
            expected="a whole number from 0 to 2147483647",
            advice="without one it is 0",
        ),
    ] = None
    network_g: Annotated[
        Registered,
        about("The network.", kind="network", expected="a section", advice="say which network"),
    ]
    path: Annotated[Paths, about("Weights and states to start from.")]
    dist_params: Annotated[Distribution | None, about("Several processes, with slurm.")] = None
    find_unused_parameters: Annotated[
        Switch, about("Several processes: whether some weights may go without a gradient.")
    ] = False


class TrainingOptions(CommonOptions, kw_only=True):
    """An option file for `smsr train`."""

    datasets: Annotated[TrainingDatasets, about("`train`, and `val`, `val_2`, … to validate with.")]
    train: Annotated[Train, about("Losses, optimizer and schedules.")]
    val: Annotated[
        TrainingValidation | None, about("When and how to validate; ~ for no validation.")
    ] = None
    logger: Annotated[Logger, about("The log, TensorBoard, and when to save.")]


class TestOptions(CommonOptions, kw_only=True):
    """An option file for `smsr test`."""

    datasets: Annotated[TestDatasets, about("`test`, `test_2`, … to test with.")]
    val: Annotated[TestValidation, about("What is measured and saved.")]
    train: Annotated[dict[str, Any] | None, about("Not read in a test.")] = None
    logger: Annotated[dict[str, Any] | None, about("Not read in a test.")] = None
