from __future__ import annotations

import pytest
import torch
from networks import tiny_smsr


@pytest.fixture
def net():
    return tiny_smsr(img_range=255.0).float()


@pytest.fixture
def image():
    return torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def write(tmp_path):
    def write(content, name="net.pth", **options):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path, **options)
        return path

    return write
