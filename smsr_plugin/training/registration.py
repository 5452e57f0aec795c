"""The one place where this package's classes enter BasicSR's registries."""

from __future__ import annotations

from typing import Any

from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    MODEL_REGISTRY,
    Registry,
)

from smsr_plugin.archs.carn_arch import CARN
from smsr_plugin.archs.imdn_arch import IMDN
from smsr_plugin.archs.mask_losses import DetailLoss, SparsityLoss
from smsr_plugin.archs.pan_arch import PAN
from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.span_arch import SPAN
from smsr_plugin.archs.tile_classes import CLASSES
from smsr_plugin.sparse import to_sparse
from smsr_plugin.training.data.paired_dataset import CheckedPairedImageDataset
from smsr_plugin.training.model.smsr_model import SMSRModel
from smsr_plugin.training.options.names import CONVERTER_REGISTRY

#: (registry, object); each is found in option files under its own `__name__`.
ENTRIES: tuple[tuple[Registry, Any], ...] = (
    (ARCH_REGISTRY, SMSR),
    (ARCH_REGISTRY, RLFN),
    *((ARCH_REGISTRY, network) for network in CLASSES),
    (ARCH_REGISTRY, IMDN),
    (ARCH_REGISTRY, PAN),
    (ARCH_REGISTRY, CARN),
    (ARCH_REGISTRY, SPAN),
    (MODEL_REGISTRY, SMSRModel),
    (LOSS_REGISTRY, SparsityLoss),
    (LOSS_REGISTRY, DetailLoss),
    (DATASET_REGISTRY, CheckedPairedImageDataset),
    (CONVERTER_REGISTRY, to_sparse),
)


def register_all() -> None:
    """Register every entry that is not yet registered.

    Raises:
        RuntimeError: If something else already holds one of the names.
    """
    for registry, entry in ENTRIES:
        name = entry.__name__
        if name not in registry:
            registry.register(entry)
        elif (present := registry.get(name)) is not entry:
            raise RuntimeError(
                f"cannot register smsr_plugin's {name}: {present!r} of module "
                f"{present.__module__} is already registered under this name; rename or do not "
                "import that one (after importlib.reload, restart Python)"
            )
