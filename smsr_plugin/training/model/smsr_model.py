"""Training of SMSR in BasicSR: L1 plus the sparsity loss, τ and λ schedules."""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from typing import Any, cast

import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from smsr_plugin.archs.density import density_curve
from smsr_plugin.archs.gumbel import MaskNoise, MaskSeeds
from smsr_plugin.archs.masked import MaskedOutput
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.sparsity_loss import kept_computation
from smsr_plugin.checkpoints import fold_img_range, load_weights, read_state_dict
from smsr_plugin.checkpoints.shapes import CURVE
from smsr_plugin.training.data.draws import MASK_SEED, Draw, seed_of
from smsr_plugin.training.model.mask_training import (
    begin_masks,
    fix_channel_masks,
    follow_density,
    prepare_network,
)
from smsr_plugin.training.model.nonfinite import NonFiniteError, suspects
from smsr_plugin.training.model.validated_model import ValidatedModel
from smsr_plugin.training.model.validation_log import mask_images
from smsr_plugin.training.options.train import AUTOCAST_DTYPES, TrainOptions


class SMSRModel(ValidatedModel):
    """SRModel for SMSR.

    Options beyond SRModel's: `train.sparsity_opt` (a loss, for soft masks), `train.masks` with
    `train.detail_opt` (see `smsr_plugin.training.model.mask_training`), `network_t` with
    `train.teacher_opt` (a network whose output is learned), the keys of `TrainOptions`,
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

    finds_nonfinite = True  # before it steps

    def __init__(self, opt: dict[str, Any]) -> None:
        self.skipped = 0  # batches in a row without a step
        network = ARCH_REGISTRY.get(opt["network_g"]["type"])
        if not (isinstance(network, type) and issubclass(network, SMSR)):
            raise ValueError(
                f"network_g.type must be a network with masks, SMSR, for SMSRModel, got "
                f"{network.__name__}; train it with model_type: SRModel"
            )
        super().__init__(opt)

    def init_training_settings(self) -> None:
        train = self.opt["train"]
        if train.get("perceptual_opt"):
            raise ValueError("SMSRModel trains with pixel_opt and sparsity_opt, not perceptual_opt")
        self.train_options = TrainOptions.from_train_section(train)
        mask_images(self.opt["logger"])  # raises on a wrong value, before training starts
        self._check_losses(train)
        masks, net = self.train_options.masks, self.get_bare_model(self.net_g)
        if masks and self.opt["path"].get("pretrain_network_g") is None:
            prepare_network(net, self.opt["manual_seed"])
        if masks:
            fix_channel_masks(net)
        super().init_training_settings()
        self.cri_sparsity, self.cri_detail, self.cri_teacher = (
            build_loss(train[key]).to(self.device) if train.get(key) else None
            for key in ("sparsity_opt", "detail_opt", "teacher_opt")
        )
        self.net_t = self._build_teacher() if self.cri_teacher else None
        self._check_parts()

    def _check_losses(self, train: dict[str, Any]) -> None:
        """Raise ValueError where losses and masks do not go together."""
        masks = self.train_options.masks is not None
        for key, needed in (("sparsity_opt", not masks), ("detail_opt", masks)):
            if bool(train.get(key)) != needed:
                kind = "the masks of train.masks" if masks else "soft masks (no train.masks)"
                loss = {"sparsity_opt": "SparsityLoss", "detail_opt": "DetailLoss"}[key]
                what = f"is missing: {kind} need it, e.g. {{type: {loss}}}"
                raise ValueError(
                    f"train.{key} {what if needed else f'is not for {kind}: remove it'}"
                )
        if bool(train.get("teacher_opt")) != bool(self.opt.get("network_t")):
            raise ValueError(
                "a teacher needs both network_t, its network, and train.teacher_opt, the loss "
                "against its output, e.g. {type: L1Loss, loss_weight: 1.0, reduction: mean}"
            )

    def _build_teacher(self) -> nn.Module:
        """Build `network_t`, frozen, from `path.pretrain_network_t`."""
        path, section = self.opt["path"].get("pretrain_network_t"), self.opt["network_t"]
        if "network_t" not in (self.opt["path"].get("ignore_resume_networks") or ()):
            raise ValueError(
                "path.ignore_resume_networks must be [network_t]: the teacher is not trained, and "
                "a resumed training loads it from path.pretrain_network_t as well"
            )
        if path is None:
            raise ValueError("path.pretrain_network_t is missing: the teacher's weights")
        scale, upscale = self.opt["scale"], section.get("upscale", self.opt["scale"])
        if upscale != scale:
            raise ValueError(f"network_t.upscale must be {scale}, the scale, got {upscale}")
        net = build_network(section).to(self.device).requires_grad_(False).eval()
        load_weights(net, path, param_key=self.opt["path"].get("param_key_t"))
        get_root_logger().info(f"Teacher: {section['type']} from {path}.")
        return net

    def setup_optimizers(self) -> None:
        """Set up the optimizer, with a learning rate of their own for mask predictors if asked."""
        masks = self.train_options.masks
        if masks is None or masks.lr is None:
            super().setup_optimizers()
            return
        named = [(k, v) for k, v in self.net_g.named_parameters() if v.requires_grad]
        groups = [
            {"params": [v for k, v in named if ".spa_mask." not in k]},
            {"params": [v for k, v in named if ".spa_mask." in k], "lr": masks.lr},
        ]
        optim = self.opt["train"]["optim_g"]
        self.optimizer_g = self.get_optimizer(optim.pop("type"), groups, **optim)
        self.optimizers.append(self.optimizer_g)

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

        As in BasicSR, `param_key` falls back to `params` where the file does not hold it; the log
        says what was loaded.
        """
        bare = self.get_bare_model(net)
        assert isinstance(bare, SMSR)  # see __init__
        checkpoint = read_state_dict(load_path, param_key=param_key)
        state_dict, config = checkpoint.state_dict, checkpoint.config
        if checkpoint.param_key != param_key:
            get_root_logger().warning(
                f"{load_path} holds no {param_key}: {checkpoint.param_key or 'the whole'} is taken."
            )
        if not strict:
            self._load_what_fits(bare, state_dict, config.img_range, load_path)
            return
        differing = [
            f"{name} {getattr(config, name)} in the file, {getattr(bare.config, name)} in network_g"
            for name in ("upscale", "num_feat", "num_layer", "num_block", "num_in_ch")
            if getattr(config, name) != getattr(bare.config, name)
        ]
        if differing:
            raise ValueError(
                f"{load_path} does not fit network_g: {'; '.join(differing)}; with "
                "path.strict_load_g: false the tensors that fit are taken"
            )
        if config.img_range != bare.config.img_range:
            state_dict = fold_img_range(state_dict, bare.config.img_range)
        get_root_logger().info(f"Loading SMSR from {load_path} [{checkpoint.param_key}].")
        self._print_different_keys_loading(bare, state_dict, strict)
        bare.load_state_dict(state_dict, strict=strict)

    def _load_what_fits(
        self, bare: SMSR, state_dict: dict[str, torch.Tensor], img_range: float, load_path: str
    ) -> None:
        """Load every tensor that has the network's shape, of another scale's network say."""
        if img_range != bare.config.img_range:
            state_dict = fold_img_range(state_dict, bare.config.img_range)
        own = {key: value.shape for key, value in bare.state_dict().items()}
        own.setdefault(CURVE, state_dict.get(CURVE, torch.empty(0)).shape)
        fitting = {k: v for k, v in state_dict.items() if own.get(k) == v.shape}
        if len(fitting.get(CURVE, bare.blocks)) != len(bare.blocks):
            del fitting[CURVE]
        rest = sorted((own.keys() - {CURVE} | state_dict.keys()) - fitting.keys())
        get_root_logger().info(
            f"Loading {len(fitting)} tensors of SMSR from {load_path}; "
            f"not taken, because they do not fit: {', '.join(rest) or 'none'}."
        )
        bare.load_state_dict(fitting, strict=False)

    def feed_data(self, data: dict[str, Any]) -> None:
        self.lq_paths: list[str] = data.get("lq_path") or []
        self.mask_seeds: torch.Tensor | None = data.get(MASK_SEED)
        super().feed_data(data)

    def optimize_parameters(self, current_iter: int) -> None:
        """Take one step: on L1 + λ_t·L_reg with soft masks at τ_t, or as `train.masks` says.

        Raises:
            NonFiniteError: If loss or gradients are not finite, more often in a row than
                `train.skip_nonfinite` allows. No step is taken on such a batch.
        """
        options = self.train_options
        self.optimizer_g.zero_grad()
        values = self._backward(current_iter)
        gradients = [p.grad for p in self.net_g.parameters() if p.grad is not None]
        values["grad_norm"] = norm = torch.nn.utils.get_total_norm(gradients)
        finite = self._is_finite(values)
        if finite:
            if options.grad_clip is not None:
                parameters = self.net_g.parameters()
                torch.nn.utils.clip_grads_with_norm_(parameters, options.grad_clip, norm)
            self.optimizer_g.step()
            self._follow_density(current_iter)
            if self.ema_decay > 0:
                self.model_ema(decay=self.ema_decay)

        self.log_dict = self.reduce_loss_dict(values) | self.schedules(current_iter)
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

    def schedules(self, current_iter: int) -> dict[str, float]:
        """Return what is set, not learned, in an iteration, for the log."""
        options = self.train_options
        if options.masks is not None:
            return {"density": options.masks.density_at(current_iter)}
        weight = options.warmup(current_iter) * self.cri_sparsity.loss_weight
        return {"tau": options.tau(current_iter), "lambda": weight}

    def _backward(self, current_iter: int) -> dict[str, torch.Tensor]:
        """Add up the gradients of the batch's parts; return the batch's losses and densities.

        Every one of them is a mean over images, so that of the batch is the weighted mean of those
        of its parts.
        """
        bare = self.get_bare_model(self.net_g)
        seeds = self._noise_seeds(current_iter)
        # Of the whole batch: a sample's noise is the same however the batch is cut.
        noise = None
        if self.train_options.masks is None:
            noise = MaskNoise.draw(bare.config, self.lq, seeds)
        elif bare.density_curve is None and not self._every_pixel(current_iter):
            self._begin_masks(current_iter)
        sections = self.train_options.accumulate
        parts = zip(
            self.lq.tensor_split(sections),
            self.gt.tensor_split(sections),
            noise.split(sections) if noise else [None] * sections,
            strict=True,
        )
        values: defaultdict[str, Any] = defaultdict(float)
        self.curve = None
        for part, (lq, gt, part_noise) in enumerate(parts, 1):
            # Processes meet once, when the gradients of all parts have been added up.
            alone = self.opt["dist"] and part < sections
            share = len(lq) / len(self.lq)
            with self.net_g.no_sync() if alone else nullcontext():
                out = self._forward(lq, current_iter, part_noise)
                losses = self._losses(out, lq, gt, current_iter)
                (share * torch.stack(list(losses.values())).sum()).backward()
            with torch.no_grad():
                losses["spa_density"] = out.spa_mask.float().mean()
                losses["kept"] = kept_computation(out.spa_mask, out.ch_mask).mean()
                if noise is None and out.logits is not None:
                    curve = share * density_curve(out.logits)
                    self.curve = curve if self.curve is None else self.curve + curve
            for name, value in losses.items():
                values[name] += share * value.detach()
        return values

    def _every_pixel(self, current_iter: int) -> bool:
        masks = self.train_options.masks
        return masks is not None and current_iter <= masks.dense_iters

    @torch.no_grad()
    def _begin_masks(self, current_iter: int) -> None:
        begin_masks(self.get_bare_model(self.net_g))
        out = self._forward(self.lq, current_iter, None)
        self.curve = density_curve(cast(torch.Tensor, out.logits))
        self._follow_density(current_iter)

    def _follow_density(self, current_iter: int) -> None:
        """Set the density of the masks by the logits of this batch, in all processes alike."""
        masks, net = self.train_options.masks, self.get_bare_model(self.net_g)
        if masks is None or self.curve is None:
            return
        if self.opt["dist"]:
            torch.distributed.all_reduce(self.curve)
            self.curve /= self.opt["world_size"]
        density, batches = masks.density_at(current_iter), current_iter - masks.dense_iters
        follow_density(net, self.curve, density, batches)

    def model_ema(self, decay: float = 0.999) -> None:
        """Average the parameters, and keep the curves of the network itself with them."""
        super().model_ema(decay)
        curve = self.get_bare_model(self.net_g).density_curve
        self.net_g_ema.density_curve = None if curve is None else curve.clone()

    def _forward(
        self, lq: torch.Tensor, current_iter: int, noise: MaskNoise | None
    ) -> MaskedOutput:
        options = self.train_options
        masks: dict[str, Any] = {"noise": noise}
        if options.masks is None:
            masks["tau"] = options.tau(current_iter)
        else:
            masks["straight_through"] = True
        if self._every_pixel(current_iter):
            blocks = self.get_bare_model(self.net_g).config.num_block
            masks["spa_mask"] = lq.new_ones(len(lq), blocks, *lq.shape[2:])
        with self._autocast():  # the layout of the input becomes that of all features
            lq = lq.contiguous(memory_format=options.memory_format(self.device.type))
            return cast(MaskedOutput, self.net_g(lq, return_masks=True, **masks))

    def _losses(
        self, out: MaskedOutput, lq: torch.Tensor, gt: torch.Tensor, current_iter: int
    ) -> dict[str, torch.Tensor]:
        losses, reference = {}, gt
        if self.cri_pix:
            losses["l_pix"] = self.cri_pix(out.sr.float(), gt)
        if self.net_t is not None:
            with torch.no_grad(), self._autocast():
                layout = self.train_options.memory_format(self.device.type)
                reference = self.net_t(lq.contiguous(memory_format=layout)).float()
            losses["l_teacher"] = self.cri_teacher(out.sr.float(), reference)
        masks = self.train_options.masks
        if masks is None:
            warmup = self.train_options.warmup(current_iter)
            losses["l_sparsity"] = warmup * self.cri_sparsity(out.spa_mask, out.ch_mask)
        elif out.logits is not None:
            first, last = self.cri_detail.loss_weight, self.cri_detail.end_weight
            weight = masks.detail_weight(current_iter, first, last)
            losses["l_detail"] = weight * self.cri_detail(out.logits, reference, lq)
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
