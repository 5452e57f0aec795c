"""The released x2 weights reach their measured quality through BasicSR's own test pipeline."""

import json
from pathlib import Path

import pytest
from commands import run_test
from option_files import write_options

from smsr_plugin.training.options.file import read_option_file

TEST_FILE = Path(__file__).parents[1] / "smsr_plugin/training/options/templates/test_x2.yml"


@pytest.mark.reference
@pytest.mark.slow
@pytest.mark.parametrize("converter", [None, {"type": "to_sparse"}], ids=["dense", "sparse"])
def test_set5(test_data, tmp_path, converter):
    opt = read_option_file(TEST_FILE)
    opt["datasets"] = {"test_1": opt["datasets"]["test_1"]}
    for role in ("gt", "lq"):
        root = opt["datasets"]["test_1"][f"dataroot_{role}"]
        opt["datasets"]["test_1"][f"dataroot_{role}"] = root.replace(
            "datasets", str(test_data / "data")
        )
    opt["path"]["pretrain_network_g"] = str(test_data / "weights/smsr_x2_official.pt")
    opt["num_gpu"] = 0
    opt["val"].update(save_img=False, pbar=False, converter=converter)
    options = write_options(tmp_path / "set5.yml", opt)
    assert run_test(["-opt", str(options), "--root", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results" / opt["name"] / "metrics.json").read_text())
    assert results["Set5"]["psnr"] == pytest.approx(37.991, abs=0.002)
    assert results["Set5"]["spa_density"] == pytest.approx(0.366, abs=0.001)
