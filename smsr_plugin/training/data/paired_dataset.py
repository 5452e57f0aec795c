"""BasicSR's paired data set, naming the image at fault when data cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.data.transforms import augment, paired_random_crop

from smsr_plugin.data.lmdb_store import open_lmdb, read_keys
from smsr_plugin.images.files import DataError
from smsr_plugin.images.header import GREY, Header
from smsr_plugin.images.pixels import Pixels, to_unit
from smsr_plugin.images.rgb import decode_with_header
from smsr_plugin.training.data.client import ROOTS, ImageClient, Loaded, tensor_of
from smsr_plugin.training.data.data_order import draw_by_detail
from smsr_plugin.training.data.pairs import pair_paths
from smsr_plugin.training.options.datasets import CheckedTrainingPairs, EvaluationPairs
from smsr_plugin.training.options.values import built, fields


class CheckedPairedImageDataset(PairedImageDataset):
    """`PairedImageDataset` with the same options, which says what is wrong with which image.

    One option more, `detail_draws`: in training, each patch is the one with most detail of so many,
    by chance (see `draw_by_detail`); 1 draws evenly.

    Images must have 8 bits and no transparency. Grey ones are refused in training, where they are
    most likely there by mistake; in validation they become three equal channels, because standard
    test sets hold some. In training, gt must be exactly `scale` times as large as lq; in
    validation it may exceed that by less than `scale` pixels, which are cut off.

    Two data sets of one process may share an LMDB, and used ones can be pickled.

    Raises:
        DataError: At construction, if options are missing or the roots do not hold paired data;
            at access, if an image is missing, cut short, damaged, or of a wrong kind or size.
    """

    def __init__(self, opt: Mapping[str, Any]) -> None:
        # The parent writes into its options; the caller may build a second data set from them.
        opt = deepcopy(dict(opt))
        try:
            _check_options(opt)
            opt |= {option: str(Path(opt[option])) for option in ROOTS.values()}
            # All that the parent's constructor sets and that is read here; its search for pairs is
            # not wanted.
            self.opt, self.paths, self.file_client = opt, pair_paths(opt), None
            if not self.paths:
                raise DataError(f"there are no image pairs in {opt['dataroot_gt']}")
        except (AssertionError, ValueError, OSError) as error:
            raise DataError(f"data set {opt.get('name', '(unnamed)')}: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        # An open LMDB does not cross into another process.
        return self.__dict__ | {"file_client": None}

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return what the parent does: lq and gt (3, H, W), RGB, 0…1, and their paths or keys."""
        if self.file_client is None:
            self.file_client = ImageClient(self.opt, self._decode)
        paths = {role: self.paths[index][f"{role}_path"] for role in ROOTS}
        loaded = {role: self.file_client.load(path, role) for role, path in paths.items()}
        if fault := self._fault(loaded["gt"], loaded["lq"]):
            raise DataError(f"{loaded['gt'].name} and {loaded['lq'].name}: {fault}")
        gt, lq = loaded["gt"].rgb, loaded["lq"].rgb
        if self.opt["phase"] == "train":
            gt, lq = self._patch(gt, lq, paths["gt"])
        else:
            gt = gt[: lq.shape[0] * self.opt["scale"], : lq.shape[1] * self.opt["scale"]]
        return {
            "lq": tensor_of(lq, self.opt),
            "gt": tensor_of(gt, self.opt),
            "lq_path": paths["lq"],
            "gt_path": paths["gt"],
        }

    def _decode(self, content: bytes, name: str) -> tuple[Pixels, Header]:
        rgb, header = decode_with_header(content, name)
        if header.colour == GREY and self.opt["phase"] == "train":
            raise DataError(f"{name}: is grey, but training expects RGB; convert or remove it")
        return rgb, header

    def _patch(self, gt: Pixels, lq: Pixels, name: str) -> tuple[Pixels, Pixels]:
        """Draw a patch of a pair, turned and mirrored by chance."""
        gt_size, scale = self.opt["gt_size"], self.opt["scale"]
        if (draws := self.opt.get("detail_draws", 1)) > 1:
            size = gt_size // scale
            top, left = draw_by_detail(to_unit(lq), size, draws)
            lq = lq[top : top + size, left : left + size]
            gt = gt[top * scale : (top + size) * scale, left * scale : (left + size) * scale]
            pair: Any = (gt, lq)
        else:
            pair = paired_random_crop(gt, lq, gt_size, scale, name)
        turned: Any = augment(list(pair), self.opt["use_hflip"], self.opt["use_rot"])
        return turned[0], turned[1]

    def _fault(self, gt: Loaded, lq: Loaded) -> str | None:
        """Say why two images are no pair, None if they are."""
        fault = self._size_fault(gt.rgb.shape[:2], lq.rgb.shape[:2])
        if fault is not None or gt.header.orientation == lq.header.orientation:
            return fault
        stored = (image.header.stored_size[::-1] for image in (gt, lq))
        if self._size_fault(*stored):  # only turned upright they fit
            return None
        return (
            f"the EXIF orientation of gt is {gt.header.orientation} and that of lq "
            f"{lq.header.orientation}: whether lq was made of gt as it is seen cannot be told; "
            "save gt as it is seen, without the tag, and make lq of that"
        )

    def _size_fault(self, gt: tuple[int, ...], lq: tuple[int, ...]) -> str | None:
        scale, training = self.opt["scale"], self.opt["phase"] == "train"
        sizes = f"gt is {gt[0]}×{gt[1]} and lq {lq[0]}×{lq[1]} (height×width)"
        excess = [gt[axis] - scale * lq[axis] for axis in (0, 1)]
        if not all(0 <= pixels < (1 if training else scale) for pixels in excess):
            return f"{sizes}, which does not fit scale {scale}"
        if training and min(gt) < self.opt["gt_size"]:
            return f"{sizes}, smaller than the patches of gt_size {self.opt['gt_size']}"
        return None


def _check_options(opt: Mapping[str, Any]) -> None:
    missing = [option for option in ("scale", "phase") if opt.get(option) is None]
    if missing:
        raise DataError(f"options are missing: {', '.join(missing)}")
    scale, training = opt["scale"], opt["phase"] == "train"
    if not isinstance(scale, int) or scale < 1:
        raise DataError(f"scale must be a whole number above 0, got {scale!r}")
    section = CheckedTrainingPairs if training else EvaluationPairs
    known = {item.name for item in fields(section)} & opt.keys()
    plain = {key: str(opt[key]) if isinstance(opt[key], Path) else opt[key] for key in known}
    built("options", plain, section)
    if training and opt["gt_size"] % scale:
        raise DataError(f"gt_size {opt['gt_size']} is not a multiple of scale {scale}")
    kind = opt["io_backend"]["type"]
    for option in ROOTS.values():
        root = Path(opt[option])
        if not root.is_dir():
            raise DataError(f"{option}: {root} is not a folder")
        if kind == "lmdb":
            if root.suffix != ".lmdb":
                raise DataError(f"{option}: {root} does not end in .lmdb (io_backend is lmdb)")
            open_lmdb(root)
        elif root.suffix == ".lmdb":
            raise DataError(f"{option}: {root} is an LMDB, but io_backend is {kind!r}")
        elif not any(path.is_file() for path in root.iterdir()):
            raise DataError(f"{option}: {root} holds no files")
    if kind == "lmdb":
        _check_same_keys(*(Path(opt[option]) for option in ROOTS.values()))


def _check_same_keys(*roots: Path) -> None:
    gt, lq = map(read_keys, roots)
    if gt ^ lq:
        raise DataError(
            f"{len(gt ^ lq)} images are in only one of {roots[0]} and {roots[1]}, "
            f"such as {min(gt ^ lq)!r}"
        )
