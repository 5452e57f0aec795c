from __future__ import annotations

from pathlib import Path

import pytest

from smsr_plugin.networks.find import NetworkError, parse_network


@pytest.mark.parametrize(
    ("text", "source", "file", "options", "run"),
    [
        ("EDSR", "EDSR", None, {}, {}),
        ("a/b.pth", "a/b.pth", None, {}, {}),
        ("PAN=a/b.pth", "PAN", "a/b.pth", {}, {}),
        ("RLFN-S=x.pth,img_range=255", "RLFN-S", "x.pth", {"img_range": "255"}, {}),
        ("n.pt,precision=bf16,threshold=-1", "n.pt", None, {},
         {"precision": "bf16", "threshold": "-1"}),
        ("a,b.pth,label=A, B=c", "a,b.pth", None, {}, {"label": "A, B=c"}),
        ("X,c=[1,2],d=e", "X", None, {"c": "[1,2]", "d": "e"}, {}),
    ],
)  # fmt: skip
def test_arguments_are_taken_apart(text, source, file, options, run):
    found = parse_network(text)
    assert (found.source, found.file) == (source, file and Path(file))
    assert (found.options, found.run) == (options, run)


def test_a_file_with_an_equals_sign_is_a_file(tmp_path):
    path = tmp_path / "a=b.pth"
    path.touch()
    assert parse_network(f"{path},form=twin").source == str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the name of a network or a file first"),
        ("X,backend=fast", "backend must be one of native, reference, got 'fast'"),
        ("X,precision=fp16", "precision must be one of fp32, bf16, int8, got 'fp16'"),
        ("X,form=dense", "form must be one of sparse, masked, twin, got 'dense'"),
        ("X,num_feat=1,num_feat=2", "num_feat is given twice"),
        ("X,label=", "label has no value"),
    ],
)
def test_what_is_not_of_the_form_is_refused(text, message):
    with pytest.raises(NetworkError, match=message):
        parse_network(text)


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/at/home")
    assert parse_network("~/net.pth").source == "/at/home/net.pth"
    found = parse_network("RLFN=~/net.pth,label=~/x")
    assert (found.file, found.run) == (Path("/at/home/net.pth"), {"label": "~/x"})
