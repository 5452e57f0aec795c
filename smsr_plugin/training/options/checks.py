"""What the type of one key cannot say: what concerns two keys.

Each check takes options of the right types and whether they are for training, and raises
`OptionError` with the key, what was expected, what came and what to do. They run in order: a later
one may rely on what an earlier one made sure of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from smsr_plugin.training.options.errors import MISSING, wrong
from smsr_plugin.training.options.machine import (
    check_files,
    check_loaders,
    check_loggers,
    check_networks,
    check_num_gpu,
)
from smsr_plugin.training.options.names import (
    IMAGE_SETS,
    IN_CHANNEL_OPTIONS,
    UPSCALE_OPTIONS,
    image_channels,
    models,
    network_option,
    parameters,
    required,
)
from smsr_plugin.training.options.train import TrainOptions
from smsr_plugin.training.options.typed import typed
from smsr_plugin.training.options.values import Options, is_section

#: Bytes of a file's name, of which images that are saved need some for their own.
MOST_OF_SUFFIX = 200


def check_options(opt: Mapping[str, Any], is_train: bool) -> Options:
    """Return the options, each of the type of its key (see `typed`).

    Raises:
        OptionError: At the first thing in them that cannot work on this machine.
    """
    check_sections(opt, is_train)
    check_phases(opt, is_train)
    checked = typed(opt, is_train)
    for check in CHECKS:
        check(checked, is_train)
    return checked


def check_sections(opt: Mapping[str, Any], is_train: bool) -> None:
    """The sections that the pipeline reads are there, and are sections."""
    for name in ("datasets", "network_g", "path", *(("train", "logger") if is_train else ("val",))):
        if not is_section(opt.get(name)):
            purpose = "training" if is_train else "testing"
            advice = f"{purpose} needs its keys, indented below `{name}:`"
            raise wrong(name, "a section", opt.get(name, MISSING), advice)


def check_phases(opt: Mapping[str, Any], is_train: bool) -> None:
    """The data sets have phases that the pipeline knows."""
    datasets = opt["datasets"]
    needed, others = ("train", "`val`, `val_2`, …") if is_train else ("test", "`test_2`, `val`, …")
    for phase in datasets:
        if phase != needed and phase.split("_")[0] not in {"val", needed} - {"train"}:
            advice = f"rename it to `{needed}` or {others}"
            raise wrong("datasets", f"`{needed}` or {others}", phase, advice)
    if not datasets or (is_train and "train" not in datasets):
        came = ", ".join(datasets) or MISSING
        raise wrong("datasets", f"a section `{needed}`", came, "say which images to use")


def check_names(opt: Options, is_train: bool) -> None:
    """No two data sets have their results in one folder."""
    seen: dict[str, str] = {}
    for phase, dataset in opt["datasets"].items():
        if phase == "train":  # it has no results
            continue
        other = seen.setdefault(dataset["name"].casefold(), phase)
        if other != phase:
            expected = f"another name than that of datasets.{other}"
            advice = "their results would overwrite each other"
            raise wrong(f"datasets.{phase}.name", expected, dataset["name"], advice)


def check_suffix(opt: Options, is_train: bool) -> None:
    """The images of a test have file names that are not too long."""
    val: Options = opt.get("val") or {}
    if is_train or not val.get("save_img"):
        return
    key = "val.suffix" if val.get("suffix") else "name"
    suffix = str(val.get("suffix") or opt["name"])
    if (size := len(suffix.encode())) > MOST_OF_SUFFIX:
        expected = f"at most {MOST_OF_SUFFIX} bytes"
        advice = "images are saved under it and a name of their own: shorten it"
        raise wrong(key, expected, f"{suffix[:20]}… of {size}", advice)


def check_scale(opt: Options, is_train: bool) -> None:
    """Data sets and network agree on the scale, and patches divide by it."""
    scale, (name, upscale) = opt.get("scale"), network_option(opt["network_g"], UPSCALE_OPTIONS)
    if scale is None:
        return
    if upscale is not None and upscale != scale:
        advice = "the data sets and the network must have the same one"
        raise wrong(f"network_g.{name}", f"{scale}, the `scale` of the data sets", upscale, advice)
    gt_size = opt["datasets"].get("train", {}).get("gt_size")
    if is_train and isinstance(gt_size, int) and gt_size % scale:
        advice = f"lq patches are gt_size / scale pixels wide; write e.g. {48 * scale}"
        raise wrong("datasets.train.gt_size", f"a multiple of the scale {scale}", gt_size, advice)


def check_channels(opt: Options, is_train: bool) -> None:
    """The network takes as many channels as the images of the data sets have."""
    name, channels = network_option(opt["network_g"], IN_CHANNEL_OPTIONS)
    for phase, dataset in _image_sets(opt):
        key, color = f"datasets.{phase}.color", dataset.get("color")
        if channels not in (None, image_channels(dataset)):
            fitting = {1: "`y`", 3: "~"}.get(channels, "a data set")
            expected = f"{fitting} for a network with {name} {channels}"
            advice = f"or write network_g.{name}: {image_channels(dataset)}"
            raise wrong(key, expected, color, advice)
        for name in ("mean", "std"):
            values, count = dataset.get(name), image_channels(dataset)
            if values is not None and len(values) != count:
                key, expected = f"datasets.{phase}.{name}", f"{count}, one for each channel"
                raise wrong(key, expected, values, "it is in 0…1")
        if (dataset.get("mean") is None) != (dataset.get("std") is None):
            absent = "mean" if dataset.get("mean") is None else "std"
            key, advice = f"datasets.{phase}.{absent}", "mean and std go together"
            raise wrong(key, "a value for each channel", dataset.get(absent, MISSING), advice)


def check_losses(opt: Options, is_train: bool) -> None:
    """There is a loss."""
    train: Options = opt.get("train") or {}
    losses = [train.get(key) for key in ("pixel_opt", "perceptual_opt")]
    needed = opt["model_type"] in ("SRModel", "SwinIRModel", "SMSRModel")
    if is_train and needed and losses == [None, None]:
        came = train.get("pixel_opt", MISSING)
        raise wrong("train.pixel_opt", "a loss", came, "e.g. {type: L1Loss}")
    if is_train and opt["model_type"] == "SMSRModel":
        TrainOptions.from_train_section(train)
    if opt["model_type"] == "SwinIRModel" and "window_size" not in opt["network_g"]:
        advice = "SwinIRModel pads images to a multiple of it"
        raise wrong("network_g.window_size", "a whole number above 0", MISSING, advice)


def check_metrics(opt: Options, is_train: bool) -> None:
    """BasicSR's models measure nothing against gt where a data set has none."""
    if getattr(required("model", opt["model_type"]), "validates_apart", False):
        return
    val: Options = opt.get("val") or {}
    metrics: Options = val.get("metrics") or {}
    without = [d["name"] for d in opt["datasets"].values() if d["type"] == "SingleImageDataset"]
    for name, keys in metrics.items():
        if without and "img2" in parameters(required("metric", keys["type"])):
            key, expected = f"val.metrics.{name}.type", f"no metric that needs gt for {without[0]}"
            raise wrong(key, expected, keys["type"], "a SingleImageDataset has no gt: remove it")


#: Of BasicSR's schedulers: the list that each restart's weight belongs to.
_RESTARTS = {
    "MultiStepLR": "restarts",
    "MultiStepRestartLR": "restarts",
    "CosineAnnealingRestartLR": "periods",
}


def check_scheduler(opt: Options, is_train: bool) -> None:
    """The learning rate is known for every iteration."""
    if not is_train:
        return
    keys: Options = opt["train"]["scheduler"]
    total_iter: int = opt["train"]["total_iter"]
    name = _RESTARTS.get(keys["type"])
    if name is None:
        return
    restarts = keys.get(name, [0])
    weights = keys.get("restart_weights", [1])
    if len(restarts) != len(weights):
        expected = f"{len(restarts)}, one for each of `{name}`"
        raise wrong("train.scheduler.restart_weights", expected, weights, "write e.g. 1 for each")
    # At iteration n it has made n - 1 steps.
    if name == "periods" and sum(restarts) + 1 < total_iter:
        expected = f"iterations that add up to total_iter, {total_iter:,}"
        came = f"{restarts}, together {sum(restarts):,}"
        raise wrong("train.scheduler.periods", expected, came, "the training would stop there")


CHECKS = (
    check_num_gpu,
    check_names,
    check_suffix,
    check_losses,
    check_loggers,
    check_scale,
    check_channels,
    check_metrics,
    check_networks,
    check_scheduler,
    check_loaders,
    check_files,
)


def _image_sets(opt: Options) -> Iterator[tuple[str, Options]]:
    """Yield the data sets of single images, if the model is one that takes those."""
    model = models().get(opt["model_type"])
    for phase, dataset in opt["datasets"].items():
        if model is not None and model.images and dataset["type"] in IMAGE_SETS:
            yield phase, dataset
