"""What the tests of the kernels share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _only_where_the_kernel_is(request):
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if parameters.get("function") == "half_rows":
        kernels = pytest.importorskip("smsr_plugin._kernels", reason="no kernels were built")
        if not kernels.has_half():
            pytest.skip("this processor has no bfloat16 kernels")
