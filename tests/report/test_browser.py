"""The page in a browser: what its script does, and how it looks where people read it."""

from __future__ import annotations

import base64
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from smsr_plugin.report.history import Drawn, History, Point
from smsr_plugin.report.page import Context, make_section, render
from smsr_plugin.report.rendering import exact
from smsr_plugin.report.training_page import render_training

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
if not CHROMIUM or not DRIVER:
    pytest.skip("there is no chromium with its chromedriver", allow_module_level=True)

PHONE, DESKTOP = (360, 740), (1280, 900)
COLOURS = {"bicubic": (200, 30, 30), "sr": (30, 160, 60), "gt": (40, 60, 200)}
#: Of the lq image, of a mask, and of the mask over the image in grey.
LQ, MASK = (210, 120, 60), (253, 231, 37)
GREY = round(0.2126 * LQ[0] + 0.7152 * LQ[1] + 0.0722 * LQ[2])
SEEN = {
    **COLOURS,
    "lq": LQ,
    "mask": MASK,
    "mask over lq": tuple(round(0.6 * part + 0.4 * GREY) for part in MASK),
}


@pytest.fixture(scope="module")
def page(subject, measurements, tmp_path_factory):
    """Return a page of two images; the first one's pictures are plain colours, told apart."""
    section = make_section(measurements, "SMSR")

    def plain(colour, alt):
        return exact(np.full((400, 600, 3), colour, np.uint8), alt)

    images = [layer for layer in section.layers if not layer.is_mask]
    layers = [
        replace(layer, picture=plain(colour, layer.key))
        for layer, colour in zip(images, COLOURS.values(), strict=True)
    ]
    layers += [replace(m, picture=plain(MASK, m.key)) for m in section.layers if m.is_mask]
    first = replace(section, layers=tuple(layers), lq=plain(LQ, "lq"))
    path = tmp_path_factory.mktemp("page") / "page.html"
    context = Context.of(subject, "weights.pt")
    path.write_text(render([first, section], context), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium, page):
    """Return a browser that shows the page as on a desktop, in light colours."""
    show(chromium, DESKTOP, "light")
    chromium.get_log("browser"), chromium.get_log("performance")
    chromium.get(page.as_uri())
    return chromium


def show(driver, size, scheme):
    """Emulate a screen of some width and height, and the colours its owner prefers."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},  # else it scrolls under a click
    ]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def find(driver, selector):
    return driver.find_element("css selector", selector)


def choose(driver, selector, value):
    """Choose an entry of a list, as its user would."""
    find(driver, f'{selector} option[value="{value}"]').click()


def seen(driver, *shares):
    """Return which pictures the viewer shows at shares of its width."""
    box = driver.execute_script(
        "const b = document.querySelector('.frame').getBoundingClientRect();"
        "return {x: b.x + scrollX, y: b.y + scrollY + b.height / 4, width: b.width, height: 1}"
    )
    options = {"clip": {**box, "scale": 1}, "captureBeyondViewport": True}
    content = driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"]
    row = np.array(Image.open(BytesIO(base64.b64decode(content))).convert("RGB"))[0].astype(int)
    found = []
    for share in shares:
        pixel = row[int(share * (len(row) - 1))]
        distances = {key: np.abs(pixel - colour).max() for key, colour in SEEN.items()}
        nearest = min(distances, key=distances.__getitem__)
        assert distances[nearest] < 12, (pixel, share)
        found.append(nearest)
    return found


def test_the_page_loads_without_complaint_and_without_the_network(browser, page):
    assert "2 images" in browser.title
    assert browser.get_log("browser") == []
    messages = [entry["message"] for entry in browser.get_log("performance")]
    requests = [text for text in messages if '"Network.requestWillBeSent"' in text]
    outside = [
        text for text in requests if page.as_uri() not in text and '"url":"data:' not in text
    ]
    assert requests
    assert outside == []
    complete = "return [...document.images].every(i => i.hidden || (i.complete && i.naturalWidth))"
    assert browser.execute_script(complete)


def test_keys_move_the_line_and_what_is_seen(browser):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    assert seen(browser, 0.1, 0.4, 0.6, 0.9) == 2 * ["bicubic"] + 2 * ["sr"]
    slider = find(browser, "[data-slider]")
    slider.send_keys(*([keys.ARROW_RIGHT] * 20))
    assert slider.get_attribute("value") == "70"
    assert slider.get_attribute("aria-valuetext") == "70 % bicubic"
    assert seen(browser, 0.6, 0.8) == ["bicubic", "sr"]
    slider.send_keys(keys.HOME)
    assert seen(browser, 0.1, 0.9) == ["sr", "sr"]
    slider.send_keys(keys.END)
    assert seen(browser, 0.1, 0.9) == ["bicubic", "bicubic"]


def test_the_pointer_drags_the_line_to_where_it_is(browser):
    frame = find(browser, ".frame")
    actions = webdriver.ActionChains(browser, duration=50)
    actions.move_to_element(frame).click_and_hold()
    actions.move_by_offset(round(-0.3 * frame.size["width"]), 0).release().perform()
    assert abs(int(find(browser, "[data-slider]").get_attribute("value")) - 20) <= 1
    assert seen(browser, 0.1, 0.3) == ["bicubic", "sr"]


def test_other_versions_can_be_chosen(browser):
    choose(browser, '[data-side="left"]', "gt")
    assert seen(browser, 0.1, 0.9) == ["gt", "sr"]
    assert find(browser, '[data-tag="left"]').text == "ground truth"
    choose(browser, '[data-side="right"]', "gt")
    assert seen(browser, 0.1, 0.9) == ["gt", "gt"]
    choose(browser, '[data-side="left"]', "sr")
    assert seen(browser, 0.1, 0.9) == ["sr", "gt"]


def test_masks_lie_over_the_image_or_alone_or_give_way_to_it(browser):
    veils = find(browser, "[data-veils]")
    assert not veils.is_displayed()
    choose(browser, '[data-side="right"]', "block-2")
    assert veils.is_displayed()
    assert seen(browser, 0.1, 0.4, 0.6, 0.9) == 2 * ["bicubic"] + 2 * ["mask over lq"]
    for value, wanted in (("alone", "mask"), ("image", "lq"), ("over", "mask over lq")):
        find(browser, f'[name="veil-1"][value="{value}"] + span').click()
        assert seen(browser, 0.4, 0.6) == ["bicubic", wanted]
    choose(browser, '[data-side="left"]', "blocks")
    assert seen(browser, 0.1, 0.9) == ["mask over lq"] * 2
    choose(browser, '[data-side="left"]', "sr")
    choose(browser, '[data-side="right"]', "gt")
    assert not veils.is_displayed()
    assert seen(browser, 0.1, 0.9) == ["sr", "gt"]


def test_a_click_on_a_mask_shows_it_under_the_slider(browser):
    find(browser, 'a[href="#view-1"][data-show="block-1"]').click()
    assert find(browser, '[data-tag="right"]').text == "block 1"
    assert seen(browser, 0.1, 0.9) == ["bicubic", "mask over lq"]
    other = browser.find_elements("css selector", '[data-tag="right"]')[1]
    assert other.get_attribute("textContent") == "SMSR"  # of the other image


def test_zoomed_in_the_picture_scrolls_beneath_the_line(browser):
    choose(browser, "[data-zoom]", "4")
    view = find(browser, ".view")
    width, zoomed, left = browser.execute_script(
        "const v = arguments[0]; return [v.clientWidth, v.scrollWidth, v.scrollLeft]", view
    )
    assert zoomed == 4 * 600
    assert left == pytest.approx((zoomed - width) / 2, abs=2)
    assert seen(browser, 0.4, 0.6) == ["bicubic", "sr"]
    browser.execute_script("arguments[0].scrollLeft = 100", view)
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert seen(browser, 0.4, 0.6) == ["bicubic", "sr"]
    frame, slider = find(browser, ".frame"), find(browser, "[data-slider]")
    beside = round(-0.4 * frame.size["width"])
    actions = webdriver.ActionChains(browser, duration=50)
    actions.move_to_element_with_offset(frame, beside, 0).click().perform()
    assert slider.get_attribute("value") == "50"  # the picture is there to be scrolled
    actions.move_to_element(frame).click_and_hold().move_by_offset(beside, 0).release().perform()
    assert seen(browser, 0.05, 0.4) == ["bicubic", "sr"]
    choose(browser, "[data-zoom]", "fit")
    assert browser.execute_script("return arguments[0].scrollWidth", view) == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_sideways_scrolling(browser, scheme):
    show(browser, PHONE, scheme)
    browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    choose(browser, "[data-zoom]", "4")
    choose(browser, '[data-side="right"]', "block-1")
    width, scroll = browser.execute_script(
        "const e = document.documentElement; return [e.clientWidth, e.scrollWidth]"
    )
    assert (width, scroll) == (PHONE[0], PHONE[0])
    # Nothing is cut off either: what is wider than the screen scrolls in a box of its own.
    beyond = browser.execute_script(
        "return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, .frame')"
        " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 90))"
    )
    assert beyond == []


def test_colours_follow_the_scheme_with_enough_contrast(browser):
    for scheme, is_dark in (("light", False), ("dark", True)):
        show(browser, DESKTOP, scheme)
        paper, ink, muted = browser.execute_script(
            "const s = e => getComputedStyle(document.querySelector(e));"
            "return [s('body').backgroundColor, s('body').color, s('.meta').color]"
        )
        paper, ink, muted = map(luminance, (paper, ink, muted))
        assert (paper < 0.1) is is_dark
        assert contrast(paper, ink) > 10
        assert contrast(paper, muted) > 4.5


def test_a_film_shows_the_masks_after_each_validation(chromium, tmp_path):
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    stream = BytesIO()
    Image.new("RGB", (32, 16), (250, 200, 30)).save(stream, "PNG")
    drawn = [Drawn(iteration, stream.getvalue()) for iteration in (100, 200, 300)]
    series = {"lr": [Point(100, 1e-3), Point(200, 1e-4)]}
    written = datetime(2026, 1, 2, tzinfo=UTC)
    history = History("tiny", "the log", written, 300, series, {"Set5, baby": drawn})
    path = tmp_path / "training.html"
    path.write_text(render_training(history), encoding="utf-8")
    for size in (DESKTOP, PHONE):
        show(chromium, size, "dark")
        chromium.get(path.as_uri())
        assert chromium.execute_script("return document.documentElement.scrollWidth") == size[0]
    said, slider = find(chromium, "output"), find(chromium, "[data-film] input")
    pictures = chromium.find_elements("css selector", "[data-film] img")
    assert [picture.is_displayed() for picture in pictures] == [False, False, True]
    slider.send_keys(keys.ARROW_LEFT)
    assert said.text == "200"
    assert [picture.is_displayed() for picture in pictures] == [False, True, False]
    slider.send_keys(keys.HOME)
    assert slider.get_attribute("aria-valuetext") == "100 iterations"
    assert chromium.get_log("browser") == []


def luminance(colour):
    """Return the relative luminance of `rgb(r, g, b)`, as WCAG defines it."""
    channels = np.array([int(part) for part in colour[4:-1].split(",")]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(a, b):
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)
