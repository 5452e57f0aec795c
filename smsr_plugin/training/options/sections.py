"""The sections of an option file, as BasicSR 1.4.2 reads them and this package extends them.

Each class is a section, each field a key with its type, range and default; what it means is in the
docstring (see `values.Section`). What is checked, the JSON schema and docs/options.md follow from
them. The whole is at the end of this file; `train` is in `train.py`, the data sets are in
`datasets.py`; what a key with a `type` holds besides, in `arguments.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from smsr_plugin.training.options.datasets import EvaluationDataset, TrainingDataset
from smsr_plugin.training.options.train import Train
from smsr_plugin.training.options.values import (
    Count,
    FileName,
    Path,
    Registered,
    Section,
    Seed,
    Size,
    Switch,
    Whole,
    about,
)


class Paths(Section, kw_only=True):
    """`path`: weights and states to start from.

    Attributes:
        pretrain_network_g: File of weights to start from, or to test. [it is a file of weights]
        param_key_g: Which entry of the file: `params`, `params_ema`, or ~ for a file that holds the
            weights themselves.
        strict_load_g: Whether the file must hold every weight of the network and no other; false
            takes what fits.
        resume_state: State (`*.state`) of a training to go on with; `--auto_resume` finds the last.
        ignore_resume_networks: Networks, such as `network_g`, whose weights a resumed run does not
            take over.
    """

    patterns: ClassVar[Mapping[str, Any]] = {
        r"pretrain_network_\w+": Annotated[
            Path | None, about("Weights of the network of that letter.")
        ],
        r"param_key_\w+": Annotated[str | None, about("Entry of that file.")],
        r"strict_load_\w+": Annotated[Switch, about("Whether all of its weights have to fit.")],
    }

    pretrain_network_g: Path | None = None
    param_key_g: str | None = "params"
    strict_load_g: Switch = True
    resume_state: Path | None = None
    ignore_resume_networks: list[str] | None = None


class Metrics(Section):
    """`val.metrics`: metrics by names of one's choice."""

    patterns: ClassVar[Mapping[str, Any]] = {
        r".+": Annotated[Registered, about("A metric.", kind="metric")]
    }


class Validation(Section, kw_only=True):
    """`val`: what is measured and saved in a validation or a test.

    Attributes:
        save_img: Whether the results are saved, below `visualization/`. [write `save_img: false`]
        suffix: Added to the names of the images of a test; ~ for the name of the run. [images are
            saved under it: use letters, digits, `-` and `_`]
        pbar: Whether a terminal shows a progress bar.
        metrics: What to measure: names of your choice, and below each the `type` of a metric.
        converter: How the network is converted for inference before it is validated or tested;
            without it, it runs as it was trained. SMSRModel reads it.
    """

    save_img: Switch
    suffix: Annotated[FileName | None, about(fill=True)] = None
    pbar: Switch = False
    metrics: Metrics | None = None
    converter: Annotated[Registered | None, about(kind="converter")] = None


class TrainingValidation(Validation, kw_only=True):
    """`val` of a training.

    Attributes:
        val_freq: Iterations from one validation to the next. [count in iterations]
    """

    val_freq: Count


class TestValidation(Validation, kw_only=True):
    """`val` of a test.

    Attributes:
        val_freq: Not read in a test.
    """

    val_freq: Count | None = None


class Wandb(Section, kw_only=True):
    """`logger.wandb`: Weights & Biases, which follows TensorBoard.

    Attributes:
        project: Project to log to; ~ for no logging to Weights & Biases.
        resume_id: Id of the run there that a resumed run goes on.
    """

    project: str | None = None
    resume_id: str | None = None


class Logger(Section, kw_only=True):
    """`logger`: the log, TensorBoard, and when to save.

    Attributes:
        print_freq: Iterations from one line of the log to the next. [count in iterations]
        save_checkpoint_freq: Iterations from one checkpoint (networks and state) to the next.
            [count in iterations]
        use_tb_logger: Whether to log to TensorBoard, below `tb_logger/`. [write
            `use_tb_logger: false`]
        keep_checkpoints: How many of the last checkpoints are kept beside the best; ~ for all. [it
            is how many of the last are kept beside the best]
        wandb: Weights & Biases.
    """

    print_freq: Count
    save_checkpoint_freq: Count
    use_tb_logger: Switch
    keep_checkpoints: Size | None = None
    wandb: Wandb | None = None


class SMSRLogger(Section, kw_only=True):
    """What SMSRModel reads of `logger`.

    Attributes:
        tb_masks: Of how many images of each validation TensorBoard shows the masks; with a number
            it also shows each block's density, τ, λ and the pixel loss; ~ for none of it. [it is
            the number of images whose masks TensorBoard shows]
    """

    tb_masks: Whole | None = None


class Distribution(Section, kw_only=True):
    """`dist_params`: several processes; read with slurm alone, torchrun says the rest.

    Attributes:
        backend: How processes talk; on CPUs it is always gloo.
        port: Port at which they meet.
    """

    backend: Literal["nccl", "gloo"] = "nccl"
    port: Annotated[int, Meta(ge=1, le=65535)] = 29500


_Data = Annotated[EvaluationDataset, about("Images to validate or test with.")]


class TrainingDatasets(Section, kw_only=True):
    """`datasets` of a training.

    Attributes:
        train: Images to train with.
    """

    patterns: ClassVar[Mapping[str, Any]] = {r"val(_\w+)?": _Data}

    train: TrainingDataset


class TestDatasets(Section, kw_only=True):
    """`datasets` of a test."""

    patterns: ClassVar[Mapping[str, Any]] = {r"(test|val)(_\w+)?": _Data}


class CommonOptions(Section, kw_only=True):
    """An option file: what training and testing share.

    Attributes:
        name: Name of the run, and of its folder below experiments/ or results/. [use letters,
            digits, `-` and `_`, and quote it if it looks like a number]
        model_type: How it is trained and tested: `SMSRModel`, or one of BasicSR's, such as
            `SRModel`.
        scale: How many times larger than lq the ground truth is, in height and in width. [such as
            2, 3 or 4]
        num_gpu: How many CUDA devices; 0 for the CPU, `auto` for all that there are. [write
            `num_gpu: 0` for the CPU]
        manual_seed: Seed of all random numbers; ~ for 0. [without one it is 0]
        network_g: The network. [say which network]
        path: Weights and states to start from.
        dist_params: Several processes, with slurm.
        find_unused_parameters: Several processes: whether some weights may go without a gradient.
    """

    patterns: ClassVar[Mapping[str, Any]] = {
        r"network_\w+": Annotated[
            Registered | None, about("Another network of the model.", kind="network")
        ]
    }

    name: Annotated[FileName, about(expected="the name of a folder below experiments/ or results/")]
    model_type: Annotated[str, about(names="model")]
    scale: Annotated[Size | None, about(expected="a whole number above 0")] = None
    num_gpu: Annotated[Whole | Literal["auto"], about(expected="a whole number or `auto`")]
    manual_seed: Annotated[Seed | None, about(expected="a whole number from 0 to 2147483647")] = (
        None
    )
    network_g: Annotated[Registered, about(kind="network", expected="a section")]
    path: Paths
    dist_params: Distribution | None = None
    find_unused_parameters: Switch = False


class TrainingOptions(CommonOptions, kw_only=True):
    """An option file for `smsr train`.

    Attributes:
        datasets: `train`, and `val`, `val_2`, … to validate with.
        train: Losses, optimizer and schedules.
        val: When and how to validate; ~ for no validation.
        logger: The log, TensorBoard, and when to save.
    """

    datasets: TrainingDatasets
    train: Train
    val: TrainingValidation | None = None
    logger: Logger


class TestOptions(CommonOptions, kw_only=True):
    """An option file for `smsr test`.

    Attributes:
        datasets: `test`, `test_2`, … to test with.
        val: What is measured and saved.
        train, logger: Not read in a test.
    """

    datasets: TestDatasets
    val: TestValidation
    train: dict[str, Any] | None = None
    logger: dict[str, Any] | None = None
