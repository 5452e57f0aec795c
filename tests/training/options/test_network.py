from __future__ import annotations

from pathlib import Path

import pytest

from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.options.file import OptionNetwork, read_option_network

SHIPPED = sorted(
    (Path(__file__).parents[3] / "smsr_plugin/training/options/templates").glob("*.yml")
)


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "net.yml").write_text(text)
        return tmp_path / "net.yml"

    return write


def test_what_is_said_of_the_generator(write):
    file = write(
        "scale: 3\nnetwork_g: {type: EDSR, num_feat: 8}\n"
        "path: {pretrain_network_g: a/b.pth, param_key_g: params, strict_load_g: true}\n"
    )
    expected = OptionNetwork("EDSR", {"num_feat": 8}, 3, Path("a/b.pth"), "params")
    assert read_option_network(file) == expected
    for rest in ("", "path: ~\n", "path: {pretrain_network_g: ~}\n"):
        file = write("network_g: {type: PAN}\n" + rest)
        assert read_option_network(file) == OptionNetwork("PAN", {}, None, None, None)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_shipped_option_files_describe_an_smsr(file):
    found = read_option_network(file)
    assert found.name == "SMSR"
    assert found.scale in (2, 3, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scale: 2\n", "expected a section network_g with a type"),
        ("network_g: SMSR\n", "expected a section network_g with a type"),
        ("network_g: {num_feat: 3}\n", "expected a section network_g with a type"),
        ("network_g: {type: PAN}\nscale: two\n", "scale: expected a whole number .*'two'"),
        ("network_g: {type: PAN}\nscale: true\n", "scale: expected a whole number .*True"),
        ("network_g: {type: PAN}\npath: {pretrain_network_g: 3}\n",
         "pretrain_network_g: expected text or ~, got 3"),
    ],
)  # fmt: skip
def test_what_is_no_network_is_told(write, text, message):
    with pytest.raises(OptionError, match=message) as caught:
        read_option_network(write(text))
    assert "net.yml" in str(caught.value)
