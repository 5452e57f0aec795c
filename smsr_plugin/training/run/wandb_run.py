"""wandb, which copies what TensorBoard gets."""

from __future__ import annotations

import importlib.util

from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only

from smsr_plugin.training.errors import one_line, wrong
from smsr_plugin.training.options.file import Options

KEY = "logger.wandb.project"


def check_wandb(opt: Options) -> None:
    """Raise OptionError if the options name a project for wandb and it is not installed."""
    project = (opt["logger"].get("wandb") or {}).get("project")
    if project is not None and importlib.util.find_spec("wandb") is None:
        advice = "`pip install wandb`, or write `project: ~`"
        raise wrong(KEY, "~ where wandb is not installed", project, advice)


@master_only
def init_wandb_logger(opt: Options) -> None:
    """Start the run of a training in wandb, in the first process.

    BasicSR's function of this name calls `wandb.util.generate_id`, which wandb no longer has.

    Raises:
        OptionError: If wandb refuses, such as without a login.
    """
    import wandb  # pyright: ignore[reportMissingImports]  # optional

    section = opt["logger"]["wandb"]
    resume_id = section.get("resume_id")
    try:
        run = wandb.init(
            project=section["project"],
            name=opt["name"],
            id=resume_id,
            resume="allow" if resume_id else None,
            dir=opt["root_path"],
            config=opt,
            sync_tensorboard=True,
        )
    except wandb.Error as error:
        advice = "`wandb login`, set WANDB_MODE=offline, or write `project: ~`"
        raise wrong(KEY, f"a project ({one_line(error)})", section["project"], advice) from error
    get_root_logger().info(f"wandb run {run.id}; resume_id: {run.id} adds to it.")
