"""Training of networks with masks in BasicSR: L1 plus the sparsity loss, τ and λ schedules."""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from typing import Any, cast

import torch
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from smsr_plugin.archs.gumbel import MaskSeeds
from smsr_plugin.archs.mask_losses import kept_computation
from smsr_plugin.archs.masked import DensityNetwork, MaskedNetwork, MaskedOutput
from smsr_plugin.training.data.data_order import MASK_SEED, Draw, seed_of
from smsr_plugin.training.model.mask_training import MaskTraining, QuantileMasks, SoftMasks
from smsr_plugin.training.model.pretrained import build_teacher, pretrained_state
from smsr_plugin.training.model.validated_model import ValidatedModel
from smsr_plugin.training.model.validation_images import mask_images
from smsr_plugin.training.options.errors import NonFiniteError, suspects
from smsr_plugin.training.options.train import AUTOCAST_DTYPES, TrainOptions


class SMSRModel(ValidatedModel):
    """SRModel for networks with masks (`smsr_plugin.archs.masked`).

    Options beyond SRModel's: `train.sparsity_opt` (a loss, for soft masks), `train.masks` with
    `train.detail_opt` (see `smsr_plugin.training.model.mask_training`), `network_t` with
    `train.teacher_opt` (a network whose output is learned), the keys of `TrainOptions`,
    `logger.tb_masks` (see `smsr_plugin.training.model.validation_images`), and `val.converter` (see
    `smsr_plugin.training.options.names`): without it validation runs the masked-dense oracle. With
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
        if not (isinstance(network, type) and issubclass(network, MaskedNetwork)):
            raise ValueError(
                f"network_g.type must be a network with masks, such as SMSR, for SMSRModel, got "
                f"{network.__name__}; train it with model_type: SRModel"
            )
        super().__init__(opt)

    def init_training_settings(self) -> None:
        train = self.opt["train"]
        if train.get("perceptual_opt"):
            raise ValueError("SMSRModel trains with pixel_opt and sparsity_opt, not perceptual_opt")
        self.train_options = options = TrainOptions.from_train_section(train)
        mask_images(self.opt["logger"])  # raises on a wrong value, before training starts
        self.net_t = build_teacher(self.opt, self.device)
        self.cri_teacher = self._loss("teacher_opt") if self.net_t else None
        self.masks = self._mask_training(options)
        super().init_training_settings()
        self._check_parts()

    def _mask_training(self, options: TrainOptions) -> MaskTraining:
        """Return the way in which masks are trained; raise ValueError where its loss is another's.

        Masks by quantiles also give a new network the weights that they begin with.
        """
        quantiles = options.masks is not None
        kind = "the masks of train.masks" if quantiles else "soft masks (no train.masks)"
        ways = {"sparsity_opt": "SparsityLoss", "detail_opt": "DetailLoss"}
        needed, other = reversed(ways) if quantiles else ways
        train = self.opt["train"]
        if not train.get(needed):
            raise ValueError(
                f"train.{needed} is missing: {kind} need it, e.g. {{type: {ways[needed]}}}"
            )
        if train.get(other):
            raise ValueError(f"train.{other} is not for {kind}: remove it")
        net, loss = self._bare(), self._loss(needed)
        if options.masks is None:
            return SoftMasks(net, options, loss)
        if not isinstance(net, DensityNetwork):
            name = type(net).__name__
            raise ValueError(f"train.masks: {name} cannot be trained so; remove it for soft masks")
        if self.opt["path"].get("pretrain_network_g") is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.opt["manual_seed"])
                net.first_weights()
        world_size = self.opt["world_size"] if self.opt["dist"] else 1
        return QuantileMasks(net, options.masks, options.accumulate, loss, world_size)

    def _bare(self) -> MaskedNetwork:
        """Return the network that is trained, without distributed wrapping."""
        return self.get_bare_model(self.net_g)

    def _loss(self, key: str) -> Any:
        return build_loss(self.opt["train"][key]).to(self.device)

    def setup_optimizers(self) -> None:
        """Set up the optimizer, with a learning rate of their own for mask predictors if asked.

        Channel masks that a density leaves as they are need none, which BasicSR would warn of.
        """
        masks, net = self.train_options.masks, self._bare()
        if masks is None or not isinstance(net, DensityNetwork):
            super().setup_optimizers()
            return
        weights = [weight for weight in net.parameters() if weight.requires_grad]
        groups: list[dict[str, Any]] = [{"params": weights}]
        if masks.lr is not None:
            predictors = {id(weight) for weight in net.predictor_weights()}
            groups = [
                {"params": [weight for weight in weights if id(weight) not in predictors]},
                {"params": [w for w in weights if id(w) in predictors], "lr": masks.lr},
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
        """Load a checkpoint, an SMSR's of any kind that `smsr_plugin.load` reads; see `pretrained`.

        As in BasicSR, `param_key` falls back to `params` where the file does not hold it; the log
        says what was loaded.
        """
        bare = cast(MaskedNetwork, self.get_bare_model(net))  # see __init__
        state_dict = pretrained_state(
            bare, load_path, strict=strict, param_key=param_key, is_train=self.is_train
        )
        if strict:
            # Some entries come with a file or not: a network without them is not another network.
            lacking = bare.optional_shapes.keys() - bare.state_dict().keys()
            told = {key: value for key, value in state_dict.items() if key not in lacking}
            self._print_different_keys_loading(bare, told, strict)
        bare.load_state_dict(state_dict, strict=strict)

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
            self.masks.end(current_iter)
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
        return self.masks.schedules(current_iter)

    def _backward(self, current_iter: int) -> dict[str, torch.Tensor]:
        """Add up the gradients of the batch's parts; return the batch's losses and densities.

        Every one of them is a mean over images, so that of the batch is the weighted mean of those
        of its parts.
        """
        sections = self.train_options.accumulate
        seeds = self._noise_seeds(current_iter)
        arguments = self.masks.begin(self.lq, seeds, current_iter, self._forward)
        parts = zip(
            self.lq.tensor_split(sections), self.gt.tensor_split(sections), arguments, strict=True
        )
        values: defaultdict[str, Any] = defaultdict(float)
        for part, (lq, gt, on_masks) in enumerate(parts, 1):
            # Processes meet once, when the gradients of all parts have been added up.
            alone = self.opt["dist"] and part < sections
            share = len(lq) / len(self.lq)
            with cast(Any, self.net_g).no_sync() if alone else nullcontext():
                out = self._forward(lq, on_masks)
                losses = self._losses(out, lq, gt, current_iter)
                (share * torch.stack(list(losses.values())).sum()).backward()
            with torch.no_grad():
                losses["spa_density"] = out.spa_mask.float().mean()
                losses["kept"] = kept_computation(out.spa_mask, out.ch_mask).mean()
            self.masks.see(out, share)
            for name, value in losses.items():
                values[name] += share * value.detach()
        return values

    def model_ema(self, decay: float = 0.999) -> None:
        """Average the parameters, and keep the curves of the network itself with them."""
        super().model_ema(decay)
        curve = self._bare().density_curve
        self.net_g_ema.density_curve = None if curve is None else curve.clone()

    def _forward(self, lq: torch.Tensor, on_masks: dict[str, Any]) -> MaskedOutput:
        with self._autocast():  # the layout of the input becomes that of all features
            return cast(MaskedOutput, self.net_g(self._laid_out(lq), return_masks=True, **on_masks))

    def _laid_out(self, lq: torch.Tensor) -> torch.Tensor:
        layout = self.train_options.memory_format(self.device.type)
        return lq.contiguous(memory_format=layout)

    def _losses(
        self, out: MaskedOutput, lq: torch.Tensor, gt: torch.Tensor, current_iter: int
    ) -> dict[str, torch.Tensor]:
        losses, reference = {}, gt
        if self.cri_pix:
            losses["l_pix"] = self.cri_pix(out.sr.float(), gt)
        if self.net_t is not None and self.cri_teacher is not None:
            with torch.no_grad(), self._autocast():
                reference = self.net_t(self._laid_out(lq)).float()
            losses["l_teacher"] = self.cri_teacher(out.sr.float(), reference)
        return losses | self.masks.losses(out, reference, lq, current_iter)

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
