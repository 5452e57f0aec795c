"""The JSON schema and docs/options.md say what the types say."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from option_files import REMOVED, changed

from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.options.file import parse_yaml, read_option_file
from smsr_plugin.training.options.reference import reference
from smsr_plugin.training.options.schema import schema, schema_text
from smsr_plugin.training.options.typed import typed
from smsr_plugin.training.registration import register_all

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "smsr_plugin/training/options/templates").glob("*.yml"))
#: In the form of BasicSR's own files, by the keys that it documents.
FORMS = sorted((Path(__file__).parent / "forms").glob("*.yml"))


@pytest.fixture(autouse=True)
def _registered():
    register_all()


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    text = (ROOT / "smsr_plugin/training/options/schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft7Validator(json.loads(text))


def is_training(file: Path) -> bool:
    return not file.stem.startswith("test")


def errors(validator, options: dict[str, Any]) -> list[str]:
    return [error.message for error in validator.iter_errors(options)]


def test_the_schema_is_current_and_a_schema():
    text = (ROOT / "smsr_plugin/training/options/schema.json").read_text(encoding="utf-8")
    assert text == schema_text(), "smsr options --schema > smsr_plugin/training/options/schema.json"
    jsonschema.Draft7Validator.check_schema(schema())


def test_the_reference_is_current():
    text = (ROOT / "docs/options.md").read_text(encoding="utf-8")
    assert text == reference(), "smsr options --reference > docs/options.md"


@pytest.mark.parametrize("file", [*SHIPPED, *FORMS], ids=lambda file: file.stem)
def test_every_option_file_fits_schema_and_types(validator, file):
    options = read_option_file(file)
    assert errors(validator, options) == []
    assert list(typed(options, is_training(file))) == list(options)


def test_the_forms_are_of_several_networks_and_both_programs():
    assert {is_training(file) for file in FORMS} == {True, False}
    networks = {read_option_file(file)["network_g"]["type"] for file in FORMS}
    assert {"EDSR", "MSRResNet", "ECBSR", "RCAN", "SwinIR", "RRDBNet"} <= networks


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_shipped_file_names_the_schema(file):
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../schema.json"
    assert (file.parent / "../schema.json").resolve().is_file()


@pytest.mark.parametrize("file", [*SHIPPED, *FORMS], ids=lambda file: file.stem)
def test_editors_read_the_same_values(file):
    """Their parsers follow YAML 1.2, where `1e-4` is a number and `yes` a text."""
    found = parse_yaml(file.read_bytes(), str(file))
    plain = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert found == plain  # so no value depends on which of the two is followed


@pytest.mark.parametrize(
    "changes",
    [
        {"nam": "x"},
        {"name": REMOVED},
        {"num_gpu": "all"},
        {"scale": 0},
        {"model_type": "SRModl"},
        {"train:optim_g:lr": "fast"},
        {"train:optim_g:lr": REMOVED},
        {"train:scheduler:milestone": [1]},
        {"train:scheduler:milestones": 6},
        {"train:total_iter": 2.5},
        {"train:warmup_iter": "soon"},
        {"train:ema_decay": 1},
        {"train:pixel_opt:weight": 1},
        {"train:pixel_opt:reduction": "none"},
        {"train:pixel_opt:type": "L1"},
        {"train:gan_opt": {"type": "GANLoss", "gan_type": "vanilla"}},
        {"train:tau_min": 0.4},
        {"val:metrics:psnr:test_y_chanel": True},
        {"val:metrics:psnr:test_y_channel": "false"},
        {"val:metrics:psnr:crop_border": REMOVED},
        {"val:converter": {"type": "to_sparse", "treshold": 2}},
        {"val:save_img": REMOVED},
        {"logger:wandb:projekt": "x"},
        {"logger:tb_masks": 1},
        {"datasets:train:use_hflip": "yes"},
        {"datasets:train:gt_size": REMOVED},
        {"datasets:train:gtsize": 1},
        {"datasets:train:io_backend": {"type": "memcached"}},
        {"datasets:train:filename_tmpl": "../{}"},
        {"datasets:valid": {}},
        {"datasets:val:name": "a/b"},
        {"datasets:val:type": "Paired"},
        {"path:models": "x"},
        {"network_g:num_fea": 1},
        {"network_g:type": "EDRS"},
        {"network_g:num_in_ch": REMOVED},
        {"dist_params:backend": "mpi"},
    ],
)
def test_schema_and_types_refuse_the_same(validator, changes):
    whole = read_option_file(Path(__file__).parent / "forms/train_edsr.yml")
    options = changed(deepcopy(whole), changes)
    assert errors(validator, options)
    with pytest.raises(OptionError):
        typed(options, is_train=True)


def test_keys_of_smsr_are_for_its_model_alone(validator):
    options = read_option_file(ROOT / "smsr_plugin/training/options/templates/x2_cpu.yml")
    assert not errors(validator, options)
    for wrong in ({"train:masks:densty": 1}, {"train:accumulate": 0}, {"train:tau": 1}):
        assert errors(validator, changed(deepcopy(options), wrong))
    assert errors(validator, {**options, "model_type": "SRModel"})


def test_models_and_data_sets_that_are_not_told_may_have_more_keys(validator):
    options = read_option_file(Path(__file__).parent / "forms/train_edsr.yml")
    assert not errors(validator, changed(options, {"model_type": "EDVRModel", "train:tsa_iter": 1}))
    more = {"datasets:train:type": "REDSDataset", "datasets:train:num_frame": 5}
    assert not errors(validator, changed(options, more))
    assert errors(validator, changed(options, {"datasets:train:batch_size_per_gpu": 0}))
