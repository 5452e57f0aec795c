from __future__ import annotations

import pytest
from basicsr.utils.registry import ARCH_REGISTRY, Registry

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.training import registration
from smsr_plugin.training.registration import ENTRIES, register_all


def test_every_entry_is_found_under_its_name():
    register_all()
    register_all()  # again, as two runs in one process do
    for registry, entry in ENTRIES:
        assert registry.get(entry.__name__) is entry
    assert [entry.__name__ for _, entry in ENTRIES] == [
        "SMSR",
        "RLFN",
        "MaskedRLFN",
        "MaskedSRVGGNetCompact",
        "IMDN",
        "PAN",
        "CARN",
        "SPAN",
        "SMSRModel",
        "SparsityLoss",
        "DetailLoss",
        "CheckedPairedImageDataset",
        "to_sparse",
    ]
    assert ARCH_REGISTRY.get("SMSR") is SMSR


def test_what_another_module_registered_may_stay_if_it_is_the_same(monkeypatch):
    registry = Registry("arch")
    registry.register(SMSR)
    monkeypatch.setattr(registration, "ENTRIES", ((registry, SMSR),))
    register_all()
    assert registry.get("SMSR") is SMSR


def test_another_object_under_one_of_the_names_is_an_error(monkeypatch):
    registry = Registry("arch")
    registry.register(type("SMSR", (), {"__module__": "other_plugin"}))
    monkeypatch.setattr(registration, "ENTRIES", ((registry, SMSR),))
    with pytest.raises(RuntimeError, match=r"SMSR.*other_plugin.*already registered"):
        register_all()
