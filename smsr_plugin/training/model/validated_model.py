"""Validation and testing of SMSR in BasicSR: metrics, density and cost of each image."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import cv2
import torch
from basicsr.metrics import calculate_metric
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger, tensor2img
from torch import nn
from tqdm import tqdm

from smsr_plugin.complexity.masked_cost import masked_cost
from smsr_plugin.names import printable
from smsr_plugin.processes import current
from smsr_plugin.sparse import SparseNetwork, SparseStats
from smsr_plugin.staging import replace_file
from smsr_plugin.training.model.validation_images import (
    ImageMasks,
    ValidatedImage,
    all_shares,
    averages,
    cost_figures,
    image_masks,
    log_masks,
    mask_images,
    my_share,
)
from smsr_plugin.training.options.names import convert
from smsr_plugin.training.options.train import TrainOptions


class ValidatedModel(SRModel):
    """What `SMSRModel` does besides training; it says which options there are."""

    #: Unlike in BasicSR, images of several sets are saved apart, and what needs gt is not measured
    #: without.
    validates_apart: ClassVar[bool] = True

    train_options: TrainOptions
    schedules: Callable[[int], dict[str, float]]

    def __init__(self, opt: dict[str, Any]) -> None:
        self.test_results: dict[str, dict[str, float]] = {}
        super().__init__(opt)

    def inference_network(self) -> nn.Module:
        """Return the network that validation runs: averaged if EMA is on, converted if asked."""
        net = self.get_bare_model(getattr(self, "net_g_ema", self.net_g))
        converter = self.opt["val"].get("converter")
        return convert(net, converter) if converter else net

    def test(self) -> None:
        """Super-resolve `self.lq` with the network that validation would run."""
        self._infer(self.inference_network())

    @torch.no_grad()
    def _infer(self, net: Any) -> tuple[SparseStats, float]:
        """Set `self.output`; return what was computed, and the seconds that it took.

        Args:
            net: A SparseNetwork, or an SMSR, or what a converter returns in place of one.
        """
        start = time.perf_counter()
        if isinstance(net, SparseNetwork):
            self.output, stats = net(self.lq, return_stats=True)
        else:
            was_training = net.training
            out = net.eval()(self.lq, return_masks=True)
            net.train(was_training)
            self.output = out.sr
            stats = SparseStats.of(out.spa_mask > 0, masked_cost(net.program()))
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return stats, time.perf_counter() - start

    def nondist_validation(
        self, dataloader: Any, current_iter: int | str, tb_logger: Any, save_img: bool
    ) -> None:
        """Run a validation set; log metrics, density and kept multiply-adds."""
        dataset_name = dataloader.dataset.opt["name"]
        metrics = self._metrics_for(dataloader.dataset)
        net = self.inference_network()
        shown = self.opt["val"].get("pbar", False) and current().rank == 0
        share, size = my_share(dataloader), len(current().share(len(dataloader)))
        # None: on a terminal
        bar = tqdm(share, total=size, unit="image", disable=None if shown else True)
        images: list[ValidatedImage] = []
        for position, val_data in bar:
            img_name = Path(val_data["lq_path"][0]).stem
            bar.set_description(f"Test {printable(img_name)}")
            self.feed_data(val_data)
            stats, seconds = self._infer(net)
            # Before tensor2img, which clamps in place.
            masks = self._image_masks(img_name, position, stats, val_data)
            sr = tensor2img([self.output.float().cpu()])
            if save_img:
                _write_png(self._image_path(dataset_name, img_name, current_iter), sr)
            figures = self._metrics(sr, metrics) | cost_figures(stats, seconds)
            images.append(ValidatedImage(position, figures, masks))
        images = all_shares(images)
        if tb_logger:
            self._log_masks(dataset_name, int(current_iter), images, tb_logger)
        self._report(dataset_name, averages(images), metrics, current_iter, tb_logger)

    shares_validation = True
    dist_validation = nondist_validation

    def _metrics(self, sr: Any, metrics: dict[str, Any]) -> dict[str, float]:
        if not metrics:
            return {}
        images = {"img": sr, "img2": tensor2img([self.gt.cpu()])}
        return {name: float(calculate_metric(images, opt)) for name, opt in metrics.items()}

    def _image_masks(
        self, img_name: str, position: int, stats: SparseStats, val_data: dict[str, Any]
    ) -> ImageMasks | None:
        """Note what TensorBoard will show of an image, None if that is nothing."""
        logger = self.opt.get("logger") or {}
        wanted = self.opt["is_train"] and logger.get("use_tb_logger")
        drawn = mask_images(logger) if wanted else None
        if drawn is None:
            return None
        loss = self._pixel_loss(val_data)
        return image_masks(img_name, self.lq, stats.spa_mask, loss, position < drawn)

    def _log_masks(
        self, dataset_name: str, step: int, images: list[ValidatedImage], tb_logger: Any
    ) -> None:
        masks = [image.masks for image in images if image.masks is not None]
        if masks:
            log_masks(tb_logger, dataset_name, step, masks, self.schedules(step))

    @torch.no_grad()
    def _pixel_loss(self, val_data: dict[str, Any]) -> float | None:
        """Return the loss of `self.output`, None where there is no ground truth or no loss."""
        if not self.cri_pix or "gt" not in val_data:
            return None
        return self.cri_pix(self.output.float(), self.gt).item()

    def _metrics_for(self, dataset: Any) -> dict[str, Any]:
        metrics = self.opt["val"].get("metrics") or {}
        if metrics and dataset.opt.get("dataroot_gt") is None:
            get_root_logger().warning(
                f"{dataset.opt['name']} has no dataroot_gt: {', '.join(metrics)} are skipped."
            )
            return {}
        if metrics:
            self._initialize_best_metric_results(dataset.opt["name"])
        return metrics

    def _image_path(self, dataset_name: str, img_name: str, current_iter: int | str) -> Path:
        """Return where BasicSR puts a validation image; several sets of a training lie apart."""
        folder = Path(self.opt["path"]["visualization"])
        if self.opt["is_train"]:
            if len(self.opt["datasets"]) > 2:  # beside `train`
                folder /= dataset_name
            return folder / img_name / f"{img_name}_{current_iter}.png"
        suffix = self.opt["val"].get("suffix") or self.opt["name"]
        return folder / dataset_name / f"{img_name}_{suffix}.png"

    def _report(
        self,
        dataset_name: str,
        results: dict[str, float],
        metrics: dict[str, Any],
        current_iter: int | str,
        tb_logger: Any,
    ) -> None:
        """Keep the results in `self.metric_results` and write them to the log and TensorBoard."""
        self.metric_results = results
        lines = [f"Validation {dataset_name}"]
        for name, value in results.items():
            line = f"\t # {name}: {value:.4f}"
            if name in metrics and self.opt["is_train"]:
                self._update_best_metric_result(dataset_name, name, value, current_iter)
                best = self.best_metric_results[dataset_name][name]
                line += f"\tBest: {best['val']:.4f} @ {best['iter']} iter"
            lines.append(line)
            if tb_logger:
                tb_logger.add_scalar(f"metrics/{dataset_name}/{name}", value, current_iter)
        get_root_logger().info("\n".join(lines) + "\n")
        if not self.opt["is_train"] and current().rank == 0:
            self.test_results[dataset_name] = results
            # Images that are equal have an infinite PSNR, which JSON cannot hold.
            told = {
                name: {key: value if math.isfinite(value) else None for key, value in of.items()}
                for name, of in self.test_results.items()
            }
            text = json.dumps(told, indent=2, allow_nan=False)
            file = Path(self.opt["path"]["results_root"]) / "metrics.json"
            replace_file(file, (text + "\n").encode())


def _write_png(path: Path, image: Any) -> None:
    """Write an image, uint8 (H, W, 3) BGR; BasicSR's function does not say where it cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
