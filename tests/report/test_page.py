from __future__ import annotations

import base64
import hashlib
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from smsr_plugin.report.lq_images import LqImage
from smsr_plugin.report.measurements import histogram, measure
from smsr_plugin.report.page import Context, make_section, render
from smsr_plugin.report.rendering import about, count, fixed, giga, ms, percent
from smsr_plugin.report.speed import PartTimes
from smsr_plugin.timing import Summary

VOID = {"meta", "img", "input"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{ 7*7 }}.png"


class Page(HTMLParser):
    """The elements of a page; a tag that is closed out of turn fails."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def text(self):
        words = (data for tag, data in self.texts if tag not in ("script", "style"))
        return re.sub(r"\s+", " ", " ".join(words))


@pytest.fixture(scope="module")
def context(subject):
    return Context.of(subject, "weights.pt")


@pytest.fixture(scope="module")
def section(measurements):
    return make_section(measurements, "SMSR")


@pytest.fixture(scope="module")
def page(section, context):
    return Page(render([section], context))


def test_the_page_says_what_was_measured(page, measurements, context):
    text = page.text()
    m = measurements.figures
    for value in (
        "photo.png",
        "weights.pt",
        "28×20",
        "becomes 56×40",
        percent(m.kept),
        f"{m.psnr_sr:.2f}\u202fdB".replace("\u202f", " "),
        f"bicubic {m.psnr_bicubic:.2f}",
        f"Block 2, density {m.spa_density[1]:.2f}",
        context.machine["cpu"],
        "the ground truth",
    ):
        assert re.sub(r"\s+", " ", value) in text
    shares = histogram(m.zero_shares.important)
    assert f"0.50 … 0.55 {shares[10]:.3f}" in text
    rows = re.findall(r"−4 ([\d.]+) ", text)
    assert f"{m.curve.points[1].density:.3f}" in rows


def test_the_page_loads_nothing(page):
    for tag, attrs in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attrs.get(name)
            here = value is None or value.startswith(("data:image/", "#"))
            assert here or (tag, name) == ("a", "href")  # which is followed, not loaded
    style = "".join(data for tag, data in page.texts if tag == "style")
    assert "url(" not in style
    assert "@import" not in style
    policy = page.all("meta")[1]["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_the_policy_allows_the_pages_own_script_alone(page):
    (script,) = (data for tag, data in page.texts if tag == "script")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.all("meta")[1]["content"]
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)


def test_pictures_and_charts_have_words_for_those_who_do_not_see_them(page):
    assert len(page.all("img")) == (1 + 3 + 3) + 3 + 4  # slider, masks, detail
    assert all(attrs["alt"] for attrs in page.all("img"))
    charts = [attrs for attrs in page.all("svg") if attrs.get("role") == "img"]
    assert len(charts) == 4 + 2 + 2 * 3 or len(charts) == 4 + 1 + 2 * 3  # without native kernels
    assert all(attrs["aria-label"] for attrs in charts)
    (slider,) = (attrs for attrs in page.all("input") if attrs["type"] == "range")
    assert slider["aria-label"]


def test_links_lead_somewhere_and_ids_are_unique(section, context):
    page = Page(render([section, replace(section, name="other.png"), section], context))
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for attrs in page.all("a")]
    inside = [link.removeprefix("#") for link in links if link.startswith("#")]
    assert set(inside) <= set(ids)
    assert {f"image-{number}" for number in (1, 2, 3)} | {"overview", "view-3"} < set(inside)
    assert {name for name in ids if name.startswith("word-")} < set(inside)  # each word is linked
    assert set(links) - {f"#{name}" for name in ids} == {"https://arxiv.org/abs/2006.09603"}
    assert f"mean {section.figures.density:.2f}" in re.sub(" +", " ", page.text())


def test_names_are_text_whatever_they_hold(section, context):
    plain = Page(render([section, section], context))
    hostile = replace(section, name=HOSTILE)
    page = Page(render([hostile, hostile], replace(context, weights=HOSTILE)))
    assert HOSTILE in page.text()
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]


def test_names_in_alternative_texts_are_text_as_well(measurements, context):
    image = replace(measurements.image, name=HOSTILE, notes=(HOSTILE,))
    page = Page(render([make_section(replace(measurements, image=image), "SMSR")], context))
    assert any(HOSTILE in attrs["alt"] for attrs in page.all("img"))
    assert len(page.all("img")) == 14
    assert len(page.all("script")) == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (7, 11)])
@pytest.mark.parametrize("value", [0, None])
def test_small_and_flat_images_have_a_page(subject, context, size, value):
    lq = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    if value is not None:
        lq[:] = value
    image = LqImage("small.png", lq, None, size)
    section = make_section(measure(subject, image, runs=1), "SMSR")
    text = render([section], context)
    Page(text)
    paths = re.findall(r' d="([^"]*)"', text)
    assert all(re.fullmatch(r"(M[-\d. HVLhvzZa]+)*", path) for path in paths)
    assert not re.search(r"\b(nan|inf|None)\b", Page(text).text())


def test_without_kernels_the_page_says_what_is_missing(section, context):
    plain = replace(section, figures=replace(section.figures, parts=None))
    text = Page(render([plain], replace(context, kernels=None))).text()
    assert "known only where the native kernels run" in text
    assert "plain PyTorch" in text


def test_times_that_differ_too_much_are_not_shown(section, context):
    curve = section.figures.curve
    wild = tuple(replace(point, times=Summary(7.654, 6.0, 9.0)) for point in curve.points)
    parts = PartTimes(({"masks": 7.654},) * 2, {"head": 7.654}, Summary(7.654, 6.0, 9.0))
    figures = replace(section.figures, curve=replace(curve, points=wild, runs=15), parts=parts)
    page = Page(render([replace(section, figures=figures)] * 2, context))
    text = page.text()
    assert "not shown: 15 runs differed by 39 %" in text
    assert "No times are shown where 15 runs, in turns, differed by more than 10 %" in text
    assert "The time of each block is not shown: over several runs it differed by 39 %" in text
    assert "765" not in text
    steady = tuple(replace(point, times=Summary(7.654, 7.6, 7.7)) for point in curve.points)
    parts = replace(parts, whole=Summary(7.654, 7.6, 7.7))
    figures = replace(section.figures, curve=replace(curve, points=steady), parts=parts)
    text = Page(render([replace(section, figures=figures)], context)).text()
    assert "time 7654 ms 7654 ms with every pixel" in text
    assert "not shown" not in text.partition("How it was measured")[0]


@pytest.mark.parametrize(
    ("load", "cores", "busy"), [(0.9, 2, False), (1.1, 2, True), (1.1, 4, False)]
)
def test_a_busy_machine_is_told_of(section, context, load, cores, busy):
    machine = {**context.machine, "load_average": [load, 0.0, 0.0], "cores_usable": cores}
    text = Page(render([section], replace(context, machine=machine))).text()
    assert ("The machine had other work" in text) is busy
    assert f"first run: {load:.2f}" in text


def test_a_load_that_the_system_does_not_tell_is_left_out(section, context):
    context = replace(context, machine={**context.machine, "load_average": None})
    text = Page(render([section], context)).text()
    assert "The machine had other work" not in text
    assert "Load average" not in text


def test_a_part_of_an_image_is_called_so(section, context):
    text = Page(render([replace(section, whole_size=(4000, 3000))], context)).text()
    assert "the middle of 4000×3000" in text


def test_numbers_are_written_for_people():
    assert [fixed(value, 2) for value in (1 / 3, None, math.nan, math.inf)] == [
        "0.33",
        "–",
        "–",
        "∞",
    ]
    values = [0, 0.012345, 2.6702, 31.73, 701.6, 12345.6, None]
    assert [about(v) for v in values] == ["0", "0.0123", "2.67", "31.7", "702", "12346", "–"]
    assert percent(0.294) == "29\u202f%"
    assert percent(None) == "–"
    assert giga(36.9e9) == "36.9\u202fG"
    assert ms(0.0123) == "12.3\u202fms"
    assert [count(number, "run") for number in (1, 3)] == ["1 run", "3 runs"]
