"""SMSR for spandrel: any program that loads its models with spandrel can load SMSR checkpoints.

import smsr_plugin.spandrel

smsr_plugin.spandrel.install()
model = spandrel.ModelLoader().load_from_file("SMSR_X2.pt")
sr = model(lq)
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.checkpoints.keys import WRAPPER_PREFIX, our_name
from smsr_plugin.checkpoints.network import build, interpret
from smsr_plugin.sparse import SparseNetwork, to_sparse
from smsr_plugin.sparse.network import weights_state

try:
    import spandrel
except ImportError as error:
    raise ImportError(
        "smsr_plugin.spandrel needs spandrel; install it with `pip install spandrel` "
        "(extra [spandrel])"
    ) from error

ARCH_ID = "SMSR"
#: Keys that together only an SMSR has.
TELLING_KEYS = (
    "head.0.weight",
    "blocks.0.ch_mask",
    "blocks.0.convs.0.weight",
    "blocks.0.spa_mask.deconv.weight",
    "tail.0.weight",
)
PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def install(
    *, sparse: bool = True, registry: spandrel.ArchRegistry = spandrel.MAIN_REGISTRY
) -> None:
    """Make spandrel know SMSR checkpoints of every kind that `smsr_plugin.load` reads.

    Calling it again changes nothing but `sparse`, for models that are loaded afterwards.

    Args:
        sparse: On the CPU, in float32 and bfloat16, compute only what the masks keep. The images
            are the same up to rounding. Elsewhere, or if False, the masked-dense network runs.
        registry: Where to register; by default what every `spandrel.ModelLoader` uses.

    Raises:
        RuntimeError: If the registry holds another architecture of this name.
    """
    support = registry.get(ARCH_ID)
    if support is None:
        # First in line, because `detect` is exact, and those of other architectures may not be.
        others = tuple(support.architecture.id for support in registry)
        registry.add(spandrel.ArchSupport.from_architecture(SMSRArch(sparse), before=others))
    elif isinstance(support.architecture, SMSRArch):
        support.architecture.sparse = sparse
    else:
        raise RuntimeError(
            f"spandrel's registry already holds another {ARCH_ID}: {support.architecture!r}"
        )


class SMSRArch(spandrel.Architecture[SMSR]):
    """How spandrel recognises and loads an SMSR.

    Args:
        sparse: See `install`.
    """

    def __init__(self, sparse: bool = True) -> None:
        super().__init__(id=ARCH_ID, detect=is_smsr)
        self.sparse = sparse

    def load(self, state_dict: spandrel.StateDict) -> spandrel.ImageModelDescriptor[SMSR]:
        """Load a state dict that `is_smsr` accepts.

        Raises:
            smsr_plugin.checkpoints.CheckpointError: If it does not hold an SMSR after all.
        """
        # Tensors made in inference mode, in which some programs do everything, hide their changes.
        with torch.inference_mode(False):
            net = build(interpret(state_dict))
        config = net.config
        return spandrel.ImageModelDescriptor(
            net,
            net.state_dict(),
            architecture=self,
            purpose="SR",
            tags=[f"{config.num_feat}nf", f"{config.num_block}nb", f"{config.num_layer}nl"],
            # Features of the released weights come near float16's 65504 on a fine checkerboard.
            supports_half=False,
            supports_bfloat16=True,
            scale=config.upscale,
            input_channels=config.num_in_ch,
            output_channels=config.num_out_ch,
            # Channel attention pools over each tile in place of the image, which changes little.
            tiling=spandrel.ModelTiling.SUPPORTED,
            call_fn=SparseOnCPU() if self.sparse else None,
        )


def is_smsr(state_dict: Mapping[str, object]) -> bool:
    """Tell by its keys whether a state dict is an SMSR's, under our names or the released ones."""
    if not all(isinstance(key, str) for key in state_dict):
        return False
    names = {our_name(WRAPPER_PREFIX.sub("", key, count=1)) for key in state_dict}
    return names.issuperset(TELLING_KEYS)


class SparseOnCPU:
    """Runs a model: its sparse form on the CPU, else as it is. The sparse form is made once."""

    def __init__(self) -> None:
        self._sparse: SparseNetwork | None = None
        self._made_from: object = None

    def __call__(self, model: SMSR, image: Tensor) -> Tensor:
        """Super-resolve a batch that is on the device, and of the dtype, of the model."""
        weight = next(model.parameters())
        devices, dtypes = {image.device.type, weight.device.type}, {image.dtype, weight.dtype}
        if devices != {"cpu"} or len(dtypes) > 1 or image.dtype not in PRECISIONS:
            return model(image)
        state = weights_state([*model.parameters(), *model.buffers()])
        if self._sparse is None or self._made_from != state:
            self._sparse, self._made_from = to_sparse(model, PRECISIONS[image.dtype]), state
        return self._sparse(image)
