"""Training of SMSR in BasicSR: L1 plus the sparsity loss, τ and λ schedules."""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from typing import Any, cast

import torch
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from torch import nn

from smsr_plugin.archs.gumbel import MaskNoise, MaskSeeds
from smsr_plugin.archs.smsr_arch import SMSR, SMSROutput
from smsr_plugin.archs.sparsity_loss import kept_computation
from smsr_plugin.checkpoints import fold_img_range, read_state_dict
from smsr_plugin.training.data.draws import MASK_SEED, Draw, seed_of
from smsr_plugin.training.model.nonfinite import NonFiniteError, suspects
from smsr_plugin.training.model.validated_model import ValidatedModel
from smsr_plugin.training.model.validation_log import mask_images
from smsr_plugin.training.options.train import AUTOCAST_DTYPES, TrainOptions


class SMSRModel(ValidatedModel):
    """SRModel for SMSR.

    Options beyond SRModel's: `train.sparsity_opt` (a loss), the keys of `TrainOptions`,
    `logger.tb_masks` (see `smsr_plugin.training.model.validation_log`), and `val.converter` (see
    `smsr_plugin.training.converters`): without it validation runs the masked-dense oracle. With
    `train.ema_decay` the averaged weights are validated and converted.

    Beside the metrics, each validation set reports `spa_density` (mean share of important pixels),
    `gmacs` and `gmacs_dense` (10⁹ multiply-adds per image, as the masks keep them and dense),
    `macs_kept` (their ratio) and `seconds` per image. Testing writes all of it to `metrics.json`
    in the folder of the results.

    In several processes, each infers its share of the images and saves those that it has; the
    first one writes all else. Together they train as one process with a batch as large as theirs:
    the noise of the masks follows the sample (`MASK_SEED` of the data) and the iteration.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.skipped = 0  # batches in a row without a step
        super().__init__(opt)

    def init_training_settings(self) -> None:
        train = self.opt["train"]
        if train.get("perceptual_opt"):
            raise ValueError("SMSRModel trains with pixel_opt and sparsity_opt, not perceptual_opt")
        self.train_options = TrainOptions.from_train_section(train)
        mask_images(self.opt["logger"])  # raises on a wrong value, before training starts
        super().init_training_settings()
        if not train.get("sparsity_opt"):
            raise ValueError("train.sparsity_opt is missing, e.g. {type: SparsityLoss, ...}")
        self.cri_sparsity = build_loss(train["sparsity_opt"]).to(self.device)
        self._check_parts()

    def _check_parts(self) -> None:
        """Raise ValueError where a batch cannot be cut as `train.accumulate` says."""
        parts = self.train_options.accumulate
        if parts == 1:
            return
        batch_size = self.opt["datasets"]["train"]["batch_size_per_gpu"]
        if parts > batch_size:
            raise ValueError(
                f"train.accumulate must be at most {batch_size}, the batch_size_per_gpu that it "
                f"cuts into parts, got {parts}"
            )
        reduction = getattr(self.cri_pix, "reduction", "mean")
        if reduction != "mean":
            raise ValueError(
                f"train.accumulate needs a pixel_opt with reduction: mean, got {reduction}"
            )

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        """Load any checkpoint that `smsr_plugin.load` reads, whatever its value range.

        As in BasicSR, `param_key` falls back to `params` where the file does not hold it.
        """
        bare = self.get_bare_model(net)
        if not isinstance(bare, SMSR):
            raise ValueError(f"SMSRModel works with network_g type SMSR, got {type(bare).__name__}")
        state_dict, config = read_state_dict(load_path, param_key=param_key)
        differing = [
            f"{name} {getattr(config, name)} in the file, {getattr(bare.config, name)} in network_g"
            for name in ("upscale", "num_feat", "num_layer", "num_block", "num_in_ch")
            if getattr(config, name) != getattr(bare.config, name)
        ]
        if differing:
            raise ValueError(f"{load_path} does not fit network_g: {'; '.join(differing)}")
        if config.img_range != bare.config.img_range:
            state_dict = fold_img_range(state_dict, bare.config.img_range)
        get_root_logger().info(f"Loading SMSR from {load_path} [{param_key}].")
        self._print_different_keys_loading(bare, state_dict, strict)
        bare.load_state_dict(state_dict, strict=strict)

    def feed_data(self, data: dict[str, Any]) -> None:
        self.lq_paths: list[str] = data.get("lq_path") or []
        self.mask_seeds: torch.Tensor | None = data.get(MASK_SEED)
        super().feed_data(data)

    def optimize_parameters(self, current_iter: int) -> None:
        """Take one step on L1 + λ_t·L_reg with soft masks at τ_t.

        Raises:
            NonFiniteError: If loss or gradients are not finite, more often in a row than
                `train.skip_nonfinite` allows. No step is taken on such a batch.
        """
        options = self.train_options
        tau, warmup = options.tau(current_iter), options.warmup(current_iter)
        self.optimizer_g.zero_grad()
        values = self._backward(tau, warmup, self._noise_seeds(current_iter))
        gradients = [p.grad for p in self.net_g.parameters() if p.grad is not None]
        values["grad_norm"] = norm = torch.nn.utils.get_total_norm(gradients)
        finite = self._is_finite(values)
        if finite:
            if options.grad_clip is not None:
                parameters = self.net_g.parameters()
                torch.nn.utils.clip_grads_with_norm_(parameters, options.grad_clip, norm)
            self.optimizer_g.step()
            if self.ema_decay > 0:
                self.model_ema(decay=self.ema_decay)

        self.log_dict = self.reduce_loss_dict(values)
        self.log_dict["tau"] = tau
        self.log_dict["lambda"] = warmup * self.cri_sparsity.loss_weight
        self.skipped = 0 if finite else self.skipped + 1
        if not finite:
            losses = {k: value for k, value in self.log_dict.items() if k.startswith("l_")}
            own = [bool(values[name].isfinite()) for name in losses]
            error = NonFiniteError(current_iter, losses, suspects(all(own), self.lq_paths))
            if self.skipped > options.skip_nonfinite:
                raise error
            get_root_logger().warning(f"Skipped: {error}.")

    def _noise_seeds(self, current_iter: int) -> MaskSeeds | None:
        """Return the seeds of an iteration's noise, None if the data come without."""
        if self.mask_seeds is None:
            return None
        channels = seed_of(self.opt["manual_seed"], Draw.CHANNEL_MASKS, current_iter)
        return MaskSeeds(self.mask_seeds, channels)

    def _backward(
        self, tau: float, warmup: float, seeds: MaskSeeds | None
    ) -> dict[str, torch.Tensor]:
        """Add up the gradients of the batch's parts; return the batch's losses and densities.

        Every one of them is a mean over images, so that of the batch is the weighted mean of those
        of its parts.
        """
        # Of the whole batch: a sample's noise is the same however the batch is cut.
        noise = MaskNoise.draw(self.get_bare_model(self.net_g).config, self.lq, seeds)
        sections = self.train_options.accumulate
        parts = zip(
            self.lq.tensor_split(sections),
            self.gt.tensor_split(sections),
            noise.split(sections),
            strict=True,
        )
        values: defaultdict[str, Any] = defaultdict(float)
        for part, (lq, gt, part_noise) in enumerate(parts, 1):
            # Processes meet once, when the gradients of all parts have been added up.
            alone = self.opt["dist"] and part < sections
            with self.net_g.no_sync() if alone else nullcontext():
                out = self._forward(lq, tau, part_noise)
                losses = self._losses(out, gt, warmup)
                share = len(lq) / len(self.lq)
                (share * torch.stack(list(losses.values())).sum()).backward()
            with torch.no_grad():
                losses["spa_density"] = out.spa_mask.float().mean()
                losses["kept"] = kept_computation(out.spa_mask, out.ch_mask).mean()
            for name, value in losses.items():
                values[name] += share * value.detach()
        return values

    def _forward(self, lq: torch.Tensor, tau: float, noise: MaskNoise) -> SMSROutput:
        with self._autocast():  # the layout of the input becomes that of all features
            lq = lq.contiguous(memory_format=self.train_options.memory_format(self.device.type))
            return cast(SMSROutput, self.net_g(lq, tau=tau, return_masks=True, noise=noise))

    def _losses(self, out: SMSROutput, gt: torch.Tensor, warmup: float) -> dict[str, torch.Tensor]:
        losses = {}
        if self.cri_pix:
            losses["l_pix"] = self.cri_pix(out.sr.float(), gt)
        losses["l_sparsity"] = warmup * self.cri_sparsity(out.spa_mask, out.ch_mask)
        return losses

    def _is_finite(self, values: dict[str, torch.Tensor]) -> bool:
        """Whether losses and gradients are finite, in all processes alike."""
        finite = torch.stack(list(values.values())).isfinite().all().float()
        if self.opt["dist"]:
            torch.distributed.all_reduce(finite, torch.distributed.ReduceOp.MIN)
        return bool(finite)

    def _autocast(self) -> Any:
        name = self.train_options.autocast
        if name is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=AUTOCAST_DTYPES[name])
