from __future__ import annotations

import os
import time
from copy import deepcopy
from pathlib import Path

import pytest

from smsr_plugin.training.options.errors import OptionError, wrong
from smsr_plugin.training.options.file import override, parse_yaml, read_option_file
from smsr_plugin.training.registration import register_all


def test_numbers_are_read_as_they_look():
    text = "[1e-4, !!float 2e-4, 5.e3, .5E+1, -1e2, 1_0e1, 3.92e-4, 1.5, 7, '1e-4', 1e-4x, e5]"
    assert parse_yaml(text, "x") == [
        1e-4, 2e-4, 5e3, 5.0, -100.0, 100.0, 3.92e-4, 1.5, 7, "1e-4", "1e-4x", "e5",
    ]  # fmt: skip


def test_dates_are_text():
    assert parse_yaml("name: 2024-02-31", "x") == {"name": "2024-02-31"}


def test_keys_keep_their_order():
    keys = ["z", "a", "m", "b"]
    assert list(parse_yaml("\n".join(f"{key}: 1" for key in keys), "x")) == keys


def test_sections_can_be_merged():
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}"
    assert parse_yaml(text, "x") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {marker}']",
        "!!python/object/new:os.system ['touch {marker}']",
        "!!python/object/apply:os.mkdir ['{marker}']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!made_up 1",
    ],
)
def test_tags_do_not_run_code(tmp_path, tag):
    marker = tmp_path / "marker"
    file = tmp_path / "evil.yml"
    file.write_text("name: x\ntrain:\n  value: " + tag.format(marker=marker))
    with pytest.raises(OptionError, match=r"evil\.yml, line 3: .*tag") as caught:
        read_option_file(file)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: 1\nb:\n  c: 1\n  d: 2\n  c: 3", "line 5: the key 'c' occurs twice"),
        (b"a: 1\non: 2", "line 2: a key must be text, got 'on'"),
        (b"? [a]\n: 1", "line 1: a key must be text, got a list"),
        (b"a: !!float two", "line 1: 'two' is not a valid float"),
        (b"a: !!int ''", "line 1: '' is not a valid int"),
        (b"a: !!bool perhaps", "line 1: 'perhaps' is not a valid bool"),
        (b'a: "x\\ny"', r"line 1: 'x\ny' holds a line end or a control character"),
        (b'a: "\\e[2J"', r"line 1: '\x1b[2J' holds a line end or a control character"),
        (b'"a\\L": 1', r"line 1: 'a\u2028' holds a line end or a control character"),
        (b"a: |\n  x\n  y", r"line 1: 'x\ny' holds a line end or a control character"),
        (b"a: !!timestamp 2024-02-29", "line 1: could not determine a constructor for the tag"),
        (b"a: !!binary aGVsbG8=", "line 1: could not determine a constructor for the tag"),
        (b"a: !!set {x, y}", "line 1: could not determine a constructor for the tag"),
        (b"a: !!omap [x: 1]", "line 1: could not determine a constructor for the tag"),
        (b"a: &a [*a]", "line 1: found unconstructable recursive node"),
        (b"a: [1", "line 1: "),
        (b"a: 1\n---\nb: 2", "line 2: "),
        (b"a: \xff\xfe", "not a text file"),
        (b"a: \x00", "not a text file"),
        (b"[" * 1500, "nested too deeply"),
        (b"", "expected sections"),
        (b"- 1", "expected sections"),
        (b"a: " + b"9" * 4000, "is not a valid int"),
        (b"a: 0x" + b"f" * 40, "is not a valid int"),
        (b"a: " + b":".join([b"1"] * 3000) + b".5", "is not a valid float"),
        (b'a: "\\U00110000"', "not a text file"),
        (b'a: "\\ud800"', "is not a valid str"),
        (b"a: " + b"[" * 300 + b"]" * 300 + b"\n? [b]\n: 1", "a key must be text"),
    ],
)
def test_what_is_no_option_file_is_one_clear_line(tmp_path, text, message):
    file = tmp_path / "options.yml"
    file.write_bytes(text)
    with pytest.raises(OptionError) as caught:
        read_option_file(file)
    assert str(file) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(OptionError, match=r"missing\.yml: No such file"):
        read_option_file(tmp_path / "missing.yml")
    with pytest.raises(OptionError, match="Is a directory"):
        read_option_file(tmp_path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1e-3", 1e-3), ("[1, 2]", [1, 2]), ("~", None), ("true", True), ("a=b", "a=b"), ("", None)],
)
def test_override_reads_values_as_the_file_does(value, expected):
    options = {"train": {"optim_g": {"lr": 1, "type": "Adam"}}}
    override(options, f"train:optim_g:lr={value}")
    assert options == {"train": {"optim_g": {"lr": expected, "type": "Adam"}}}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("train:total_itr=5", "train has no key 'total_itr' (did you mean total_iter?)"),
        ("trian:total_iter=5", "the option file has no key 'trian' (did you mean train?)"),
        ("name:x=5", "name has no key 'x'"),
        ("train:total_iter:x=5", "train:total_iter has no key 'x'"),
        ("total_iter", "expected section:key=value"),
        ("=5", "has no key ''"),
        ("name=!!python/object/apply:os.getcwd []", "could run code"),
        ("name=[", "line 1"),
    ],
)
def test_override_refuses_what_does_not_fit(entry, message):
    options = {"name": "x", "train": {"total_iter": 1}}
    with pytest.raises(OptionError) as caught:
        override(options, entry)
    assert message in str(caught.value)
    assert options == {"name": "x", "train": {"total_iter": 1}}


SET5 = {"type": "PairedImageDataset"}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("scale=4", {"scale": 4}),
        ("train:ema_decay=0.9", {"train": {"total_iter": 1, "ema_decay": 0.9}}),
        ("val:pbar=true", {"val": {"pbar": True}}),
        ("logger:wandb:project=x", {"logger": {"wandb": {"project": "x"}}}),
        ("datasets:val_2:color=y", {"datasets": {"val_2": {**SET5, "color": "y"}}}),
        ("network_g:num_feat=8", {"network_g": {"type": "SMSR", "num_feat": 8}}),
        ("path:pretrain_network_t=t.pth", {"path": {"pretrain_network_t": "t.pth"}}),
        ("val:metrics:psnr:type=x", {"val": {"metrics": {"psnr": {"type": "x"}}}}),
        ("train:masks:density=0.4", {"train": {"total_iter": 1, "masks": {"density": 0.4}}}),
    ],
)
def test_override_takes_every_known_key(entry, expected):
    register_all()
    options = {
        "model_type": "SMSRModel",
        "network_g": {"type": "SMSR"},
        "datasets": {"val_2": dict(SET5)},
        "train": {"total_iter": 1},
        "val": None,
    }
    override(options, entry)
    assert {key: options[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("network_g:num_fea=8", "network_g has no key 'num_fea' (did you mean num_feat?)"),
        ("val:pbr=1", "val has no key 'pbr' (did you mean pbar?); it is not in the option file"),
        ("train:masks:densty=1", "train:masks has no key 'densty' (did you mean density?)"),
        ("logger:wandb:x:y=1", "logger:wandb has no key 'x'"),
        ("train:optim_g:lr:x=1", "train:optim_g:lr has no key 'x'"),
    ],
)
def test_override_suggests_the_nearest_known_key(entry, message):
    register_all()
    options = {"model_type": "SMSRModel", "network_g": {"type": "SMSR"}}
    options |= {"train": {"optim_g": {"type": "Adam", "lr": 1}}}
    before = deepcopy(options)
    with pytest.raises(OptionError) as caught:
        override(options, entry)
    assert message in str(caught.value)
    assert options == before


def test_override_keys_do_not_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = 'name"]=__import__("os").mkdir("marker");opt["name=1'
    with pytest.raises(OptionError, match="has no key"):
        override({"name": "x"}, entry)
    override(options := {"name": "x"}, 'name=[__import__("os").mkdir("marker")]')
    assert options == {"name": ['__import__("os").mkdir("marker")']}
    assert not any(tmp_path.iterdir())


def test_overrides_apply_to_the_file(tmp_path: Path):
    file = tmp_path / "options.yml"
    file.write_text("name: x\ntrain: {total_iter: 5}")
    options = read_option_file(file, ["name=y", "train:total_iter=6"])
    assert options == {"name": "y", "train": {"total_iter": 6}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: " + "1:" * 500_000 + "1", "is not a valid int"),  # of base 60
        ("a: " + "1:" * 500_000 + "1.5", "is not a valid float"),
        ("a: " + "9" * 1_000_000, "is not a valid int"),
        ("a: 0." + "9" * 1_000_000 + "e5", "is not a valid float"),
        ("a: [" + "1," * 500_000 + "]", "more than 20,000 values are refused"),
        ("\n".join(f"k{n}: 1" for n in range(100_000)), "more than 20,000 values are refused"),
        ("[" * 1_000_000, "nested too deeply"),
    ],
    ids=["base 60", "base 60 float", "digits", "decimals", "list", "section", "depth"],
)
def test_files_of_a_megabyte_are_refused_at_once(text, message):
    start = time.process_time()
    with pytest.raises(OptionError) as caught:
        parse_yaml(text, "x.yml")
    assert time.process_time() - start < 4
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def nested_aliases(line: str, levels: int = 9) -> bytes:
    """Return a text in which each level names the one before ten times: 10⁹ values in the end."""
    texts = ["a0: &a0 {x0: 1}"]
    for level in range(1, levels + 1):
        names = ", ".join([f"*a{level - 1}"] * 10)
        texts.append(line.format(level=level, names=names))
    return "\n".join(texts).encode()


@pytest.mark.parametrize(
    "line", ["a{level}: &a{level} [{names}]", "a{level}: &a{level} {{<<: [{names}]}}"]
)
def test_aliases_do_not_multiply_values_without_end(line):
    start = time.process_time()
    with pytest.raises(OptionError, match="aliases repeat values; more than 20,000"):
        parse_yaml(nested_aliases(line), "x.yml")
    assert time.process_time() - start < 5


def test_a_few_aliases_are_fine():
    found = parse_yaml(nested_aliases("a{level}: &a{level} [{names}]", levels=2), "x.yml")
    assert found["a2"] == [[{"x0": 1}] * 10] * 10


def test_a_very_large_file_is_refused_before_it_is_parsed(tmp_path):
    file = tmp_path / "large.yml"
    with file.open("wb") as stream:
        stream.write(b"a: 1\n")
        stream.truncate(100_000_000)
    with pytest.raises(OptionError, match="expected an option file of up to 1,048,576 bytes"):
        read_option_file(file)


def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.yml")
    for path in (tmp_path / "pipe.yml", Path("/dev/zero")):
        with pytest.raises(OptionError, match="it is a pipe, a socket or a device"):
            read_option_file(path)


def test_values_are_cut_where_they_are_long():
    assert len(str(wrong("key", "a number", "x" * 10**6, "write one"))) < 300
