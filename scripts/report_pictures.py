"""Take the pictures of docs/report of a page that `smsr report` wrote; needs Chromium, selenium."""

from __future__ import annotations

import base64
import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from selenium import webdriver

#: Width of the screen, device pixels per pixel, colour scheme; where the picture begins, as a
#: selector of CSS, and its height.
SHOTS = {
    "desktop_light.png": (1120, 1, "light", "body", 2540),
    "phone_dark.png": (390, 1.5, "dark", "article > section:nth-of-type(3)", 2235),
}
#: Pixels above the beginning.
MARGIN = 24


def main() -> None:
    page, folder = Path(sys.argv[1]), Path(sys.argv[2])
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        for name, shot in SHOTS.items():
            image = screenshot(driver, page, *shot)
            # 256 colours, dithered, are enough to see what a page looks like.
            image.quantize(256).save(folder / name, optimize=True)
            print(f"{folder / name}: {(folder / name).stat().st_size / 1e3:.0f} kB")
    finally:
        driver.quit()


def screenshot(
    driver: webdriver.Chrome,
    page: Path,
    width: int,
    ratio: float,
    scheme: str,
    start: str,
    height: int,
) -> Image.Image:
    """Return a part of the page as a screen of some width shows it."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": ratio, "mobile": ratio > 1}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    driver.get(page.resolve().as_uri())
    element = driver.find_element("css selector", start)
    top = max(0, element.rect["y"] - MARGIN)
    clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
    options = {"clip": clip, "captureBeyondViewport": True}
    content = driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"]
    return Image.open(BytesIO(base64.b64decode(content))).convert("RGB")


if __name__ == "__main__":
    main()
