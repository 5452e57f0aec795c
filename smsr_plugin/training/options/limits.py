"""Checks of options that could lead out of the run's folders, load code, or ask for too much.

As in `option_checks`, of which these are a part.
"""

from __future__ import annotations

import re

from basicsr.utils.registry import ARCH_REGISTRY

from smsr_plugin.training.errors import wrong
from smsr_plugin.training.network_size import check_network_size
from smsr_plugin.training.options.file import Options
from smsr_plugin.training.options.names import BASICSR_SUFFIX

#: Processes that load images, and repetitions of the images in an epoch.
MAX_WORKERS = 512
MAX_ENLARGE_RATIO = 1000
#: With one place for the name of an image; format strings can do more.
FILE_NAME_TEMPLATE = re.compile(r"[^{}/\\]*\{\}[^{}/\\]*")


def check_backends(opt: Options, is_train: bool) -> None:
    """Images come from files or LMDBs; BasicSR's memcached would import code from any folder."""
    for phase, dataset in opt["datasets"].items():
        backend = dataset.get("io_backend")
        if backend is None:
            continue
        key, advice = f"datasets.{phase}.io_backend", "write `type: disk` or `type: lmdb`"
        if not isinstance(backend, dict) or backend.get("type") not in ("disk", "lmdb"):
            raise wrong(key, "a section with type disk or lmdb", backend, advice)
        for name, value in backend.items():
            if name != "type":
                raise wrong(f"{key}.{name}", "only a type here", value, "remove it")


def check_file_names(opt: Options, is_train: bool) -> None:
    """What becomes part of the name of a result stays inside the folder of the results."""
    parts = {f"datasets.{phase}.name": d["name"] for phase, d in opt["datasets"].items()}
    suffix = (opt.get("val") or {}).get("suffix")
    if suffix:
        parts["val.suffix"] = suffix
    for key, value in parts.items():
        if not isinstance(value, str) or not value.strip(". ") or set(value) & set("/\\\0\r\n"):
            advice = "images are saved under it: use letters, digits, `-` and `_`"
            raise wrong(key, "part of a file name", value, advice)
    for phase, dataset in opt["datasets"].items():
        template = dataset.get("filename_tmpl", "{}")
        if not isinstance(template, str) or not FILE_NAME_TEMPLATE.fullmatch(template):
            key, advice = f"datasets.{phase}.filename_tmpl", "write e.g. '{}x2'"
            raise wrong(key, "a file name with one {}", template, advice)


def check_amounts(opt: Options, is_train: bool) -> None:
    """Networks fit into memory; workers and repetitions are as many as a machine can bear."""
    for section, keys in opt.items():
        if section.startswith("network_") and keys is not None:
            name, options = keys["type"], {k: v for k, v in keys.items() if k != "type"}
            registered = name if name in ARCH_REGISTRY else name + BASICSR_SUFFIX
            check_network_size(section, ARCH_REGISTRY.get(registered), options)
    loader = opt["datasets"].get("train", {}) if is_train else {}
    for key, most in (
        ("num_worker_per_gpu", MAX_WORKERS),
        ("dataset_enlarge_ratio", MAX_ENLARGE_RATIO),
    ):
        if loader.get(key, 0) > most:
            raise wrong(f"datasets.train.{key}", f"at most {most:,}", loader[key], "take less")
