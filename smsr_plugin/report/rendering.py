"""Templates to one HTML text that needs nothing but itself, numbers and pictures as it has them."""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from io import BytesIO

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from smsr_plugin.images.mask_overlay import viridis
from smsr_plugin.images.pixels import Luma
from smsr_plugin.report.charts import threshold_text
from smsr_plugin.version import __version__

#: What stands for a number that does not exist.
UNKNOWN = "–"
#: The narrow space between a number and its unit, at which no line ends.
THIN = "\u202f"

#: What is compared must not be changed by the encoder; WebP without loss is a third smaller than
#: PNG, and every current browser shows it. Overlays and maps may lose a little.
LOSSLESS = {"lossless": True, "quality": 80, "method": 4}
LOSSY = {"quality": 85, "method": 4}
#: Of drawings there are many.
FEW_BYTES = {"quality": 60, "method": 4}
#: The largest side of a WebP image; larger ones become PNG.
MAX_SIDE = 16383
#: The share of a map's values that its colours tell apart; the rest have the last colour.
SHOWN = 0.995
THUMBNAIL = (144, 96)


def render(template: str, **values: object) -> str:
    """Return a page as HTML.

    Names of files are escaped; besides, a page forbids itself by its content security policy to
    load anything, and to run any script but its own.

    Args:
        template: A file in `templates/` that extends `base.html.j2`.
        values: What it shows.
    """
    script, style = _resource("script.js"), _resource("style.css")
    return (
        _environment()
        .get_template(template)
        .render(
            **values,
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            version=__version__,
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            style=Markup(style),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("smsr_plugin.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (about, count, fixed, giga, ms, percent):
        environment.filters[function.__name__] = function
    environment.filters["threshold"] = threshold_text
    return environment


def _resource(name: str) -> str:
    return resources.files("smsr_plugin.report").joinpath("templates", name).read_text("utf-8")


def fixed(value: float | None, digits: int) -> str:
    """Return a number with some digits after the point."""
    if value is None or math.isnan(value):
        return UNKNOWN
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """Return a share in 0…1 in percent."""
    return UNKNOWN if value is None else f"{value * 100:.0f}{THIN}%"


def about(value: float | None) -> str:
    """Return a number with three digits, or all those before the point."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{min(max(digits, 0), 6)}f}"


def giga(value: float) -> str:
    """Return a number of operations, in units of 10⁹."""
    return f"{about(value / 1e9)}{THIN}G"


def ms(seconds: float | None) -> str:
    """Return a time in milliseconds."""
    return UNKNOWN if seconds is None else f"{about(seconds * 1e3)}{THIN}ms"


def count(number: int, noun: str) -> str:
    """Return a number of things; the noun has a regular plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@dataclass(frozen=True)
class Embedded:
    """An image as the page holds it.

    Attributes:
        uri: Its data URI.
        width, height: In pixels.
        alt: What it shows, in words.
        top: The value of the last colour of a map, in grey levels.
    """

    uri: str
    width: int
    height: int
    alt: str
    top: float | None = None


def exact(image: NDArray[np.uint8], alt: str) -> Embedded:
    """Embed an image (H, W, 3) RGB without loss."""
    return _embedded(Image.fromarray(image), alt, LOSSLESS)


def overlay(image: NDArray[np.uint8], alt: str) -> Embedded:
    """Embed an image (H, W, 3) RGB in few bytes."""
    return _embedded(Image.fromarray(image), alt, LOSSY)


def drawing(image: Image.Image, alt: str) -> Embedded:
    """Embed an RGB image of Pillow in very few bytes."""
    return _embedded(image, alt, FEW_BYTES)


def thumbnail(image: NDArray[np.uint8], alt: str) -> Embedded:
    """Embed a small version of an image (H, W, 3) RGB."""
    small = Image.fromarray(image)
    small.thumbnail(THUMBNAIL)
    return _embedded(small, alt, LOSSY)


def grey(y: Luma, alt: str) -> Embedded:
    """Embed a luminance (H, W), in 0…255."""
    return _embedded(Image.fromarray(np.rint(y).clip(0, 255).astype(np.uint8)), alt, LOSSY)


def heat_map(values: Luma, alt: str) -> Embedded:
    """Embed non-negative values (H, W) in viridis, the colours of the masks."""
    top = float(np.quantile(values, SHOWN)) or float(values.max()) or 1.0
    shares = np.rint(np.minimum(values / top, 1) * 255).astype(np.uint8)
    return replace(overlay(viridis(shares), alt), top=top)


def _embedded(image: Image.Image, alt: str, options: dict[str, int | bool]) -> Embedded:
    stream, kind = BytesIO(), "webp" if max(image.size) <= MAX_SIDE else "png"
    image.save(stream, kind, **(options if kind == "webp" else {}))
    content = base64.b64encode(stream.getvalue()).decode("ascii")
    return Embedded(f"data:image/{kind};base64,{content}", image.width, image.height, alt)
