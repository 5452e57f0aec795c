"""Write the tables of README.md and of two pages in docs anew from the files of results.

    python scripts/docs_tables.py           # write
    python scripts/docs_tables.py --check   # exit code 1 if a page is not what would be written

A table lies between `<!-- table: NAME -->` and `<!-- end -->`; NAME is one of TABLES.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from smsr_plugin.compare.image_markdown import ratios
from smsr_plugin.compare.results import Comparison, Measurement
from smsr_plugin.compare.tables import seconds_text, table

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/benchmarks/README.md", "docs/models/README.md")
BLOCK = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
CROPS = ("rocket", "china", "flower", "small")

#: Rows of the times of the present kernels: what a row is called, and the label of its engine. One
#: that no image was timed with has none.
ENGINES = {
    "OpenVINO, dense twin, fp32": "openvino",
    "**SMSR sparse, fp32**": "ours",
    "OpenVINO, dense twin, bf16": "openvino-bf16",
    "**SMSR sparse, bf16**": "ours-bf16",
    "OpenVINO, dense twin, int8": "openvino-int8",
    "**SMSR sparse, int8**": "ours-int8",
}
#: Beside them, where it is told what kernels gained.
OLD = {"at 8c222e7, fp32": "old", "at 8c222e7, bf16": "old-bf16"}
#: Rows of the ratios: what it is called, and the question that it answers.
QUESTIONS = {
    "fp32, times faster than PyTorch": "ours fp32 against PyTorch, dense twin fp32",
    "fp32, than the fastest dense engine in fp32": (
        "ours fp32 against the fastest dense twin in fp32"
    ),
    "the faster of fp32 and bf16, than the fastest dense engine of any precision": (
        "our best against the fastest dense twin of any precision"
    ),
}
LIBRARIES = {
    "openvino": "OpenVINO",
    "ncnn": "ncnn",
    "pytorch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
}


def on_crop(image: str) -> Comparison:
    """Return the comparison of every engine that has an image."""
    for name in ("rocket", "china_flower_small"):
        path = ROOT / "docs/benchmarks/epyc" / name / "results.json"
        comparison = Comparison.from_json(path.read_text("utf-8"))
        if any(comparison.on("crops", image)):
            return comparison
    raise ValueError(f"no results of {image}")


def present(processor: str = "epyc") -> dict[str, dict[str, Measurement]]:
    """Return the measurements of the present kernels, by image and by label of the engine."""
    path = ROOT / "docs/benchmarks" / processor / "builds/results.json"
    found: dict[str, dict[str, Measurement]] = {}
    for network in Comparison.from_json(path.read_text("utf-8")).networks:
        for measurement in network.measurements:
            found.setdefault(measurement.image, {})[network.label] = measurement
    return found


def seconds_of(measurement: Measurement) -> float:
    """Return the median; ValueError if it was not timed."""
    if measurement.median is None:
        raise ValueError(f"{measurement.network} was not timed on {measurement.image}")
    return measurement.median


def times(
    images: Sequence[str] = (), engines: Mapping[str, str] = ENGINES, processor: str = "epyc"
) -> str:
    """Return the seconds of the engines on images, all if none is named."""
    by_image = present(processor)
    images = images or list(by_image)
    found = [by_image[image] for image in images]
    rows = [["density of the masks", *(f"{each['ours'].density:.2f}" for each in found)]]
    for name, label in engines.items():
        if not any(label in each for each in found):
            continue
        bold = "**" if name.startswith("**") else ""
        cells = [seconds_text(seconds_of(each[label])) for each in found]
        rows.append([name, *(f"{bold}{cell}{bold}" for cell in cells)])
    names = [image.replace("_", " ").replace("x", "×") for image in images]
    return f"{table(['', *names], rows)}\n"


def factors() -> str:
    """Return how many times as fast sparse inference is on each crop."""
    rows = []
    for name, question in QUESTIONS.items():
        answers = []
        for image in CROPS:
            found = ratios(on_crop(image), "crops", image)
            answers += [ratio for ratio in found if ratio.question == question]
        engines = [_library(answer.baseline) for answer in answers]
        which = "" if "PyTorch" in name else f" ({', '.join(dict.fromkeys(engines))})"
        rows.append([name + which, *(f"{answer.ratio:.1f}" for answer in answers)])
    return f"{table(['', *CROPS], rows)}\n"


def _library(label: str) -> str:
    library, _, precision = label.partition("-")
    return LIBRARIES[library] + (f" {precision}" if precision else "")


def gains() -> str:
    """Return the range of the factors over the photographs, as a sentence."""
    spans = []
    for half in ("", "-bf16"):
        found = [
            seconds_of(each[f"openvino{half}"]) / seconds_of(each[f"ours{half}"])
            for each in (present()[image] for image in CROPS[:3])
        ]
        spans.append(f"{min(found):.1f} to {max(found):.1f}")
    return (
        f"Sparse inference is {spans[0]} times as fast as the fastest dense engine in float32,\n"
        f"and {spans[1]} times where both use bfloat16.\n"
    )


def models(folder: str) -> str:
    """Return what the networks in the package reach, with links to their cards from a folder."""
    rows = []
    for path in sorted((ROOT / "docs/models").glob("smsr_x*.json")):
        card = json.loads(path.read_text("utf-8"))
        cells = [
            f"{own['psnr']:.2f} ({card['bicubic'][name]['psnr']:.2f}), {own['kept']:.0%}"
            for name, own in card["figures"].items()
        ]
        rows.append([f"[x{card['scale']}]({folder}{path.stem}.md)", *cells])
    return f"{table(['', *card['figures']], rows, cell=str)}\n"


#: How the networks in the package were run: what a row is called, by the label in the results.
FORMS = {
    "SMSR sparse": "sparse, fp32",
    "SMSR dense twin openvino": "dense twin in OpenVINO, fp32",
    "SMSR sparse bf16": "sparse, bf16",
    "SMSR dense twin openvino bf16": "dense twin in OpenVINO, bf16",
}


def model_seconds() -> str:
    """Return PSNR and the mean seconds of an image of the networks in the package, by set."""
    rows, sets = [], ("Set5", "Set14", "B100")
    for scale in (2, 3, 4):
        path = ROOT / f"docs/benchmarks/epyc/models/x{scale}/results.json"
        comparison = Comparison.from_json(path.read_text("utf-8"))
        for network in comparison.networks:
            if network.label not in FORMS:
                continue
            cells = []
            for name in sets:
                found = [m for m in network.measurements if m.set_name == name]
                psnr = fmean(m.quality.psnr_y for m in found if m.quality)
                seconds = fmean(m.median for m in found if m.median)
                cells.append(f"{psnr:.2f}, {seconds_text(seconds)}")
            rows.append(
                [
                    f"[x{scale}](../benchmarks/epyc/models/x{scale}/results.md)",
                    FORMS[network.label],
                    *cells,
                ]
            )
    return f"{table(['', '', *sets], rows, cell=str)}\n"


TABLES: dict[str, Callable[[], str]] = {
    "seconds": lambda: times(CROPS[:3]),
    "gain": gains,
    "seconds on all images": lambda: times(engines=ENGINES | OLD),
    "seconds on all images, Xeon": lambda: times(engines=ENGINES | OLD, processor="xeon"),
    "seconds on all images, Zen 3": lambda: times(engines=ENGINES | OLD, processor="zen3"),
    "times as fast, EPYC": factors,
    "models": lambda: models("docs/models/"),
    "models, here": lambda: models(""),
    "seconds of the models": model_seconds,
}


def renewed(text: str) -> str:
    """Return a page with its tables as the results have them."""
    return BLOCK.sub(lambda block: block[1] + TABLES[block[2]]() + block[3], text)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    changed = []
    for page in PAGES:
        text = (ROOT / page).read_text("utf-8")
        if renewed(text) != text:
            changed.append(page)
            if not check:
                (ROOT / page).write_text(renewed(text), "utf-8")
    for page in changed:
        print(f"{page}: {'not as the results have it' if check else 'written'}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
