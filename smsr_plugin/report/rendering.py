"""Templates to one HTML text that needs nothing but itself, and how numbers are written there."""

from __future__ import annotations

import base64
import hashlib
import math
from datetime import UTC, datetime
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from smsr_plugin.report.charts import threshold_text
from smsr_plugin.version import __version__

#: What stands for a number that does not exist.
UNKNOWN = "–"
#: The narrow space between a number and its unit, at which no line ends.
THIN = "\u202f"


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
