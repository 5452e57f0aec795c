"""Data sets of images in BasicSR, by the reader of all commands, naming the image at fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.data.single_image_dataset import SingleImageDataset
from basicsr.data.transforms import augment, paired_random_crop
from basicsr.utils import rgb2ycbcr
from torch import Tensor
from torchvision.transforms.functional import normalize

from smsr_plugin.data.lmdb_store import META_INFO, open_lmdb, read_entry, read_keys
from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.files import DataError
from smsr_plugin.images.picture import GREY, Header
from smsr_plugin.images.pixels import Pixels, to_unit
from smsr_plugin.images.reading import content_of, decode, read_header
from smsr_plugin.images.rgb import decode_with_header
from smsr_plugin.names import printable
from smsr_plugin.staging import open_regular
from smsr_plugin.training.data.data_order import draw_by_detail
from smsr_plugin.training.data.pairs import pair_paths
from smsr_plugin.training.options.datasets import CheckedTrainingPairs, EvaluationPairs
from smsr_plugin.training.options.values import built, fields

#: The options that name the folder or LMDB of each role.
ROOTS = {"gt": "dataroot_gt", "lq": "dataroot_lq"}
#: From the content of an image, and what errors call it, to (H, W, 3) and what its file says.
Decode = Callable[[bytes, str], tuple[Pixels, Header]]


def decode_any(content: bytes, name: str) -> tuple[Pixels, Header]:
    """Decode an image of any depth to RGB; grey becomes three equal channels, opacity is dropped.

    Raises:
        DataError: If it is none, damaged, or of a kind that is refused.
    """
    try:
        header = read_header(BytesIO(content))
        picture = decode(content)
    except ImageError as error:
        raise DataError(f"{name}: {error}") from error
    colour = picture.colour.repeat(3, 2) if picture.is_grey else picture.colour
    return np.require(colour, requirements=["C", "W"]), header


class Loaded(NamedTuple):
    """An image: how errors call it, its pixels (H, W, 3), upright, and what its file says."""

    name: str
    rgb: Pixels
    header: Header


class ImageClient:
    """Stands for BasicSR's FileClient, and decodes as well.

    Args:
        opt: The options of the data set: `io_backend`, and some of `ROOTS`.
        decode: What decodes.
    """

    def __init__(self, opt: Mapping[str, Any], decode: Decode = decode_any) -> None:
        self._roots = {role: opt[key] for role, key in ROOTS.items() if opt.get(key) is not None}
        self._decode = decode
        self._lmdbs = None
        if opt["io_backend"]["type"] == "lmdb":
            self._lmdbs = {role: open_lmdb(Path(root)) for role, root in self._roots.items()}

    def name(self, path: str, role: str) -> str:
        """Return how errors call an image."""
        if self._lmdbs is None:
            return f"{role} image {printable(path)}"
        return f"{role} image {path!r} of {self._roots[role]}"

    def load(self, path: str, role: str) -> Loaded:
        """Read and decode an image.

        Raises:
            DataError: If it is missing, cut short, damaged, or of a wrong kind.
        """
        name = self.name(path, role)
        return Loaded(name, *self._decode(self._read(path, role, name), name))

    def _read(self, path: str, role: str, name: str) -> bytes:
        if self._lmdbs is None:
            try:
                with open_regular(Path(path)) as file:  # a list of files may name a device
                    return content_of(file)
            except OSError as error:
                raise DataError(f"{name}: cannot be read ({error.strerror})") from error
            except ImageError as error:
                raise DataError(f"{name}: {error}") from error
        content = read_entry(self._lmdbs[role], path)
        if content is None:
            raise DataError(f"{name}: {META_INFO} lists it, but the LMDB does not hold it")
        return content


def tensor_of(rgb: Pixels, opt: Mapping[str, Any]) -> Tensor:
    """Return an image (H, W, 3) as (C, H, W), float32, 0…1.

    Args:
        rgb: The image.
        opt: The options of the data set; `color: y` makes one channel of luma, and `mean` and `std`
            normalise.
    """
    pixels = to_unit(rgb)
    if opt.get("color") == "y":
        pixels = rgb2ycbcr(pixels, y_only=True)[..., None]
    tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32))
    mean, std = opt.get("mean"), opt.get("std")
    if mean is not None or std is not None:
        channels = tensor.shape[0]
        normalize(tensor, mean or [0.0] * channels, std or [1.0] * channels, inplace=True)
    return tensor


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
        roots = [Path(opt[option]) for option in ROOTS.values()]
        if lonely := read_keys(roots[0]) ^ read_keys(roots[1]):
            raise DataError(
                f"{len(lonely)} images are in only one of {roots[0]} and {roots[1]}, "
                f"such as {min(lonely)!r}"
            )


class NamedPairedImageDataset(CheckedPairedImageDataset):
    """PairedImageDataset: as CheckedPairedImageDataset, but images of any depth are taken.

    Grey becomes three equal channels, in training as well, and opacity is left out.
    """

    def _decode(self, content: bytes, name: str) -> tuple[Pixels, Header]:
        return decode_any(content, name)


class NamedSingleImageDataset(SingleImageDataset):
    """SingleImageDataset; `meta_info_file: ~` is the same as no list.

    BasicSR's own takes red for blue where `color` is `y`.
    """

    def __init__(self, opt: Mapping[str, Any]) -> None:
        opt = deepcopy(dict(opt))
        if opt.get("meta_info_file") is None:
            opt.pop("meta_info_file", None)
        if opt["io_backend"]["type"] == "lmdb":
            open_lmdb(Path(opt["dataroot_lq"]))
        super().__init__(opt)
        self._keys, self._client = opt, None

    def __getstate__(self) -> dict[str, Any]:
        # An open LMDB does not cross into another process.
        return self.__dict__ | {"_client": None}

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return lq (C, H, W), 0…1, and its path or key.

        Raises:
            DataError: If the image is missing, damaged, or of a kind that is refused.
        """
        if self._client is None:
            self._client = ImageClient(self._keys)
        path = cast(Any, self).paths[index]
        return {"lq": tensor_of(self._client.load(path, "lq").rgb, self._keys), "lq_path": path}


#: In place of BasicSR's, by their `type`.
NAMED = {
    "PairedImageDataset": NamedPairedImageDataset,
    "SingleImageDataset": NamedSingleImageDataset,
}
