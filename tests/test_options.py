"""Every option file is whole: its network, losses and schedules can be built from it."""

from pathlib import Path

import pytest
import torch

from smsr_plugin.training.model.validation_images import mask_images
from smsr_plugin.training.options.file import read_option_file
from smsr_plugin.training.options.names import CONVERTER_REGISTRY, convert
from smsr_plugin.training.options.train import TrainOptions
from smsr_plugin.training.registration import register_all

# isort: split
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.metrics import calculate_metric
from basicsr.utils.registry import DATASET_REGISTRY, MODEL_REGISTRY

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "smsr_plugin/training/options/templates"
FILES = sorted(FOLDER.glob("*.yml"))
register_all()


def test_there_is_a_file_for_each_scale():
    names = {path.name for path in FILES}
    assert {f"{kind}x{s}.yml" for kind in ("", "test_") for s in (2, 3, 4)} <= names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_option_file_builds(path):
    opt = read_option_file(path)
    assert opt["model_type"] in MODEL_REGISTRY
    assert opt["scale"] == opt["network_g"]["upscale"]
    for dataset in opt["datasets"].values():
        assert dataset["type"] in DATASET_REGISTRY
        assert dataset.get("gt_size", 0) % opt["scale"] == 0
    net = build_network(opt["network_g"]).eval()
    lq = torch.rand(1, 3, 6, 6)
    sparse = convert(net, opt["val"]["converter"])
    assert opt["val"]["converter"]["type"] in CONVERTER_REGISTRY
    sr = sparse(lq)[0].clamp(0, 1).mul(255).byte().permute(1, 2, 0).repeat(4, 4, 1).numpy()
    for metric in opt["val"]["metrics"].values():
        assert metric["crop_border"] == opt["scale"]
        assert calculate_metric({"img": sr, "img2": sr // 2}, dict(metric)) < 50


@pytest.mark.parametrize(
    "path", [f for f in FILES if not f.stem.startswith("test")], ids=lambda path: path.stem
)
def test_training_schedules(path):
    opt = read_option_file(path)
    train = opt["train"]
    mask_images(opt["logger"])  # raises on a wrong value
    options = TrainOptions.from_train_section(train)
    total = train["total_iter"]
    if options.masks is None:
        assert options.tau(1) == 1
        assert options.tau(total) == 0.4
        assert options.warmup(1) == 0
        assert options.warmup(total) == 1
    else:
        assert options.masks.density_at(1) > options.masks.density
        assert options.masks.density_at(total) == pytest.approx(options.masks.density)
    scheduler = train["scheduler"]
    if "milestones" in scheduler:
        assert scheduler["milestones"] == sorted(scheduler["milestones"])
        assert scheduler["milestones"][-1] < total
    else:
        assert sum(scheduler["periods"]) == total
    losses = {key: build_loss(keys) for key, keys in train.items() if key.endswith("_opt")}
    assert ("sparsity_opt" in losses) == (options.masks is None)
    assert any(losses[key].loss_weight > 0 for key in ("pixel_opt", "teacher_opt") if key in losses)
    for name in {"sparsity_opt", "detail_opt"} & set(losses):
        assert losses[name].loss_weight > 0


def test_the_demo_draws_masks_in_tensorboard():
    logger = read_option_file(FOLDER / "x2_demo.yml")["logger"]
    assert logger["use_tb_logger"]
    assert mask_images(logger)


def test_the_full_files_hold_the_papers_settings():
    for scale in (2, 3, 4):
        opt = read_option_file(FOLDER / f"x{scale}.yml")
        train, data = opt["train"], opt["datasets"]["train"]
        assert train["optim_g"] == {
            "type": "Adam", "lr": 2e-4, "weight_decay": 0, "betas": [0.9, 0.999]
        }  # fmt: skip
        assert (data["gt_size"], data["batch_size_per_gpu"]) == (96 * scale, 16)
        assert train["total_iter"] == 1000 * train["iters_per_epoch"] == 1_000_000
        assert train["sparsity_opt"]["loss_weight"] == pytest.approx(0.1 / 255, rel=1e-3)
