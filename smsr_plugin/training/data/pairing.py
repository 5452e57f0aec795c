"""Which lq image belongs to which gt image, by their names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from basicsr.utils import scandir


def paired_paths_from_folder(
    folders: Sequence[str], keys: Sequence[str], filename_tmpl: str
) -> list[dict[str, str]]:
    """Return the paths of all pairs, in the order of the second folder.

    Takes the place of BasicSR's function of this name, whose time grows with the square of the
    number of images (a minute and a half for 64,000), and which does not say what to do.

    Args:
        folders: Of lq and of gt.
        keys: What they are called in the result: `lq` is `lq_path`.
        filename_tmpl: What lq images are called, without extension; `{}` is the name of gt's.

    Raises:
        ValueError: If an image has no partner.
    """
    (lq_folder, gt_folder), (lq, gt) = map(Path, folders), keys
    lq_names, gt_names = (list(scandir(str(folder))) for folder in (lq_folder, gt_folder))
    known = set(lq_names)
    paths = []
    for gt_name in gt_names:
        path = Path(gt_name)
        lq_name = f"{filename_tmpl.format(path.stem)}{path.suffix}"
        if lq_name not in known:
            advice = _advice(path, known, filename_tmpl)
            raise ValueError(f"{lq_folder} holds no {lq_name} for {gt_folder / gt_name}; {advice}")
        pair = {f"{lq}_path": str(lq_folder / lq_name), f"{gt}_path": str(gt_folder / gt_name)}
        paths.append(pair)
    if len(lq_names) > len(gt_names):
        wanted = {Path(pair[f"{lq}_path"]).name for pair in paths}
        extra = min(known - wanted)
        raise ValueError(
            f"{lq_folder} holds {len(lq_names)} files and {gt_folder} {len(gt_names)}: there is no "
            f"gt image for {extra}; remove it, or add its partner"
        )
    return paths


def _advice(gt: Path, lq_names: Collection[str], filename_tmpl: str) -> str:
    """Say what to do where a gt image has no partner under the name that it should have."""
    if not lq_names:
        return "it holds no files at all"
    expected = filename_tmpl.format(gt.stem)
    others = sorted(name for name in lq_names if Path(name).stem == expected)
    if others:
        return f"there is {others[0]}: lq images need the extension of gt images"
    similar = sorted(name for name in lq_names if gt.stem in Path(name).stem)
    if similar:
        template = Path(similar[0]).stem.replace(gt.stem, "{}", 1)
        return f"there is {similar[0]}: write filename_tmpl: '{template}' for such names"
    return f"it holds {min(lq_names)}, …: filename_tmpl says how lq images are called"
