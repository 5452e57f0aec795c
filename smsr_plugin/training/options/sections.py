"""The sections of an option file, as BasicSR 1.4.2 reads them and this package extends them.

Each class is a section, each field a key: its type and range, its default, and what it means. What
is checked, the JSON schema and docs/options.md follow from them. The whole is in
`run.py`, `train` in `train.py`, the data sets are in `datasets.py`; what a key with a `type` holds
besides, in `registered.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from smsr_plugin.training.options.values import (
    Count,
    FileName,
    Path,
    Registered,
    Section,
    Size,
    Switch,
    Whole,
    about,
)


class Paths(Section, kw_only=True):
    """`path`: weights and states to start from."""

    patterns: ClassVar[Mapping[str, Any]] = {
        r"pretrain_network_\w+": Annotated[
            Path | None, about("Weights of the network of that letter.")
        ],
        r"param_key_\w+": Annotated[str | None, about("Entry of that file.")],
        r"strict_load_\w+": Annotated[Switch, about("Whether all of its weights have to fit.")],
    }

    pretrain_network_g: Annotated[
        Path | None,
        about("File of weights to start from, or to test.", advice="it is a file of weights"),
    ] = None
    param_key_g: Annotated[
        str | None,
        about(
            "Which entry of the file: `params`, `params_ema`, or ~ for a file that holds the "
            "weights themselves."
        ),
    ] = "params"
    strict_load_g: Annotated[
        Switch,
        about(
            "Whether the file must hold every weight of the network and no other; false takes "
            "what fits."
        ),
    ] = True
    resume_state: Annotated[
        Path | None,
        about("State (`*.state`) of a training to go on with; `--auto_resume` finds the last."),
    ] = None
    ignore_resume_networks: Annotated[
        list[str] | None,
        about("Networks, such as `network_g`, whose weights a resumed run does not take over."),
    ] = None


class Metrics(Section):
    """`val.metrics`: metrics by names of one's choice."""

    patterns: ClassVar[Mapping[str, Any]] = {
        r".+": Annotated[Registered, about("A metric.", kind="metric")]
    }


class Validation(Section, kw_only=True):
    """`val`: what is measured and saved in a validation or a test."""

    save_img: Annotated[
        Switch,
        about(
            "Whether the results are saved, below `visualization/`.",
            advice="write `save_img: false`",
        ),
    ]
    suffix: Annotated[
        FileName | None,
        about(
            "Added to the names of the images of a test; ~ for the name of the run.",
            advice="images are saved under it: use letters, digits, `-` and `_`",
            fill=True,
        ),
    ] = None
    pbar: Annotated[Switch, about("Whether a terminal shows a progress bar.")] = False
    metrics: Annotated[
        Metrics | None,
        about("What to measure: names of your choice, and below each the `type` of a metric."),
    ] = None
    converter: Annotated[
        Registered | None,
        about(
            "How the network is converted for inference before it is validated or tested; "
            "without it, it runs as it was trained. SMSRModel reads it.",
            kind="converter",
        ),
    ] = None


class TrainingValidation(Validation, kw_only=True):
    """`val` of a training."""

    val_freq: Annotated[
        Count, about("Iterations from one validation to the next.", advice="count in iterations")
    ]


class TestValidation(Validation, kw_only=True):
    """`val` of a test."""

    val_freq: Annotated[Count | None, about("Not read in a test.")] = None


class Wandb(Section, kw_only=True):
    """`logger.wandb`: Weights & Biases, which follows TensorBoard."""

    project: Annotated[
        str | None, about("Project to log to; ~ for no logging to Weights & Biases.")
    ] = None
    resume_id: Annotated[str | None, about("Id of the run there that a resumed run goes on.")] = (
        None
    )


class Logger(Section, kw_only=True):
    """`logger`: the log, TensorBoard, and when to save."""

    print_freq: Annotated[
        Count,
        about("Iterations from one line of the log to the next.", advice="count in iterations"),
    ]
    save_checkpoint_freq: Annotated[
        Count,
        about(
            "Iterations from one checkpoint (networks and state) to the next.",
            advice="count in iterations",
        ),
    ]
    use_tb_logger: Annotated[
        Switch,
        about(
            "Whether to log to TensorBoard, below `tb_logger/`.",
            advice="write `use_tb_logger: false`",
        ),
    ]
    keep_checkpoints: Annotated[
        Size | None,
        about(
            "How many of the last checkpoints are kept beside the best; ~ for all.",
            advice="it is how many of the last are kept beside the best",
        ),
    ] = None
    wandb: Annotated[Wandb | None, about("Weights & Biases.")] = None


class SMSRLogger(Section, kw_only=True):
    """What SMSRModel reads of `logger`."""

    tb_masks: Annotated[
        Whole | None,
        about(
            "Of how many images of each validation TensorBoard shows the masks; with a number it "
            "also shows each block's density, τ, λ and the pixel loss; ~ for none of it.",
            advice="it is the number of images whose masks TensorBoard shows",
        ),
    ] = None


class Distribution(Section, kw_only=True):
    """`dist_params`: several processes; read with slurm alone, torchrun says the rest."""

    backend: Annotated[
        Literal["nccl", "gloo"], about("How processes talk; on CPUs it is always gloo.")
    ] = "nccl"
    port: Annotated[int, Meta(ge=1, le=65535), about("Port at which they meet.")] = 29500
