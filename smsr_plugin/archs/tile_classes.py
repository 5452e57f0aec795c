"""The classes of `tile_networks`; this is where PyTorch comes in."""

from __future__ import annotations

from smsr_plugin.archs.masked_rlfn_arch import MaskedRLFN
from smsr_plugin.archs.masked_srvgg_arch import MaskedSRVGGNetCompact
from smsr_plugin.archs.tile_masked import TileMasked

CLASSES: tuple[type[TileMasked], ...] = (MaskedRLFN, MaskedSRVGGNetCompact)
