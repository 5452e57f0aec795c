"""Preparation end to end on small images: contents, resuming, and what it refuses."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from smsr_plugin.data.lmdb_store import LmdbWriter, find_fault, read_meta_info
from smsr_plugin.data.outputs import State
from smsr_plugin.data.prepare import Prepared, Request, own_name, prepare
from smsr_plugin.data.sub_images import Grid
from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.files import DataError

GRID = Grid(crop_size=24, step=12)
TRAIN = {"0001.png": (50, 38), "0002.png": (24, 24)}
VALID = {"0801.png": (29, 31), "0802.png": (40, 24)}


@pytest.fixture
def root(tmp_path, make_images) -> Path:
    """Return a root with the official HR folders."""
    make_images(tmp_path / "DIV2K_train_HR", TRAIN)
    make_images(tmp_path / "DIV2K_valid_HR", VALID)
    return tmp_path


def small_request(root: Path, **options) -> Request:
    return Request(**{"root": root, "scales": (2, 3), "grid": GRID, "progress": False, **options})


def states(prepared: Prepared) -> dict[str, State]:
    return {output.path.name: state for output, state in prepared.outputs}


def pixels(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def read_lmdb(folder: Path) -> dict[str, np.ndarray]:
    assert find_fault(folder) is None
    with lmdb.open(str(folder), readonly=True, lock=False) as env, env.begin() as txn:
        return {bytes(k).decode(): np.array(Image.open(BytesIO(v))) for k, v in txn.cursor()}


def snapshot(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_training_gets_sub_images_of_aligned_pairs(root):
    prepare(small_request(root))
    hr = pixels(root / "DIV2K_train_HR" / "0001.png")
    # 50×38 is cropped to 48×36; the sub-images start at rows 0, 12, 24 and columns 0, 12.
    corners = [(top, left) for top in (0, 12, 24) for left in (0, 12)]
    names = {1: "HR_sub", 2: "LR_bicubic_X2_sub", 3: "LR_bicubic_X3_sub"}
    for scale, name in names.items():
        image = hr if scale == 1 else downscale(hr, scale)
        found = read_lmdb(root / f"DIV2K_train_{name}.lmdb")
        assert sorted(found) == [f"0001_s{i:03d}" for i in range(1, 7)] + ["0002_s001"]
        for i, (top, left) in enumerate(corners, start=1):
            expected = image[top // scale : (top + 24) // scale, left // scale :][:, : 24 // scale]
            np.testing.assert_array_equal(found[f"0001_s{i:03d}"], expected)


def test_validation_gets_whole_images(root):
    prepare(small_request(root))
    hr = {Path(name).stem: pixels(root / "DIV2K_valid_HR" / name) for name in VALID}
    found = {name: read_lmdb(root / f"DIV2K_valid_{name}.lmdb") for name in ("HR", "LR_bicubic_X3")}
    assert found["HR"].keys() == found["LR_bicubic_X3"].keys() == hr.keys()
    for key, image in hr.items():
        np.testing.assert_array_equal(found["HR"][key], image)
        np.testing.assert_array_equal(found["LR_bicubic_X3"][key], downscale(image, 3))


def test_given_lr_images_are_used(root, make_images):
    given = make_images(
        root / "DIV2K_train_LR_bicubic" / "X2", {"0001x2.png": (25, 19), "0002x2.png": (12, 12)}
    )
    prepare(small_request(root))
    lr = pixels(given / "0001x2.png")
    found = read_lmdb(root / "DIV2K_train_LR_bicubic_X2_sub.lmdb")
    np.testing.assert_array_equal(found["0001_s002"], lr[:12, 6:18])
    made = read_lmdb(root / "DIV2K_train_LR_bicubic_X3_sub.lmdb")
    hr = pixels(root / "DIV2K_train_HR" / "0002.png")
    np.testing.assert_array_equal(made["0002_s001"], downscale(hr, 3))


def test_given_lr_images_must_be_complete_and_fit(root, make_images):
    make_images(root / "DIV2K_valid_LR_bicubic" / "X2", {"0801x2.png": (15, 15)})
    with pytest.raises(DataError) as error:
        prepare(small_request(root))
    assert "0801x2.png is 15×15 (height×width), but 0801.png at scale 2 is 14×15" in str(
        error.value
    )
    assert "0802x2.png, the X2 image of 0802.png, is missing" in str(error.value)


def test_other_folders_of_images_and_grey_ones_work(tmp_path, make_images):
    photos = make_images(tmp_path / "photos", {"a.bmp": (36, 36)})
    Image.fromarray(np.full((30, 40), 7, np.uint8)).save(photos / "grey.png")
    root = tmp_path / "new" / "root"
    results = prepare(small_request(root, train_hr=photos))
    assert set(states(results)) == {
        "photos_train_HR_sub.lmdb",
        "photos_train_LR_bicubic_X2_sub.lmdb",
        "photos_train_LR_bicubic_X3_sub.lmdb",
    }
    grey = read_lmdb(root / "photos_train_HR_sub.lmdb")["grey_s001"]
    assert grey.shape == (24, 24, 3)
    assert (grey == 7).all()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("photos", "photos"),
        ("Set5/HR", "Set5"),
        ("my photos!/train", "my_photos"),
        ("日本", "images"),
    ],
)
def test_data_are_called_as_their_folder(tmp_path, make_images, folder, name):
    assert own_name(tmp_path / folder) == name
    photos = make_images(tmp_path / folder, {"a.png": (36, 36)})
    prepare(small_request(tmp_path / "root", valid_hr=photos, scales=(2,)))
    assert read_lmdb(tmp_path / f"root/{name}_valid_HR.lmdb").keys() == {"a"}
    prepare(small_request(tmp_path / "root", valid_hr=photos, scales=(2,), name="mine"))
    assert read_lmdb(tmp_path / "root/mine_valid_LR_bicubic_X2.lmdb").keys() == {"a"}
    for wrong in ("", "../x", "a b"):
        with pytest.raises(ValueError, match="the name must be of letters"):
            small_request(tmp_path, name=wrong)


def test_small_images_are_left_out_if_asked_for_and_the_smallest_is_named(root, make_images):
    small = {"small.png": (23, 99), "smaller.png": (40, 20), "s3.png": (23, 23)}
    make_images(root / "DIV2K_train_HR", small)
    message = (
        r"^3 images are too small, the smallest .*smaller\.png: 40×20 \(height×width\), but at "
        "least 24×24 is needed; --skip-small leaves them out, a smaller --crop-size fits$"
    )
    with pytest.raises(DataError, match=message):
        prepare(small_request(root))
    prepared = prepare(small_request(root, skip_small=True))
    (note,) = prepared.notes
    assert note.startswith("left out, 3 images are too small, the smallest ")
    assert len(read_lmdb(root / "DIV2K_train_HR_sub.lmdb")) == 7  # as without them
    for path in (root / "DIV2K_train_HR").glob("000?.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"^3 images are too small"):  # none is left
        prepare(small_request(root, skip_small=True))


def test_folders_inside_are_named_or_searched(root, make_images):
    make_images(root / "DIV2K_valid_HR" / "inside", {"0801.png": (24, 26)})
    (root / "DIV2K_valid_HR" / "phone.heic").touch()
    prepared = prepare(small_request(root))
    assert [note.partition(": ")[0] for note in prepared.notes] == [
        "left out, of kinds that are not read",
        "left out, folders inside, which only --recursive searches",
    ]
    assert read_lmdb(root / "DIV2K_valid_HR.lmdb").keys() == {"0801", "0802"}
    prepared = prepare(small_request(root, recursive=True, overwrite=True))
    assert len(prepared.notes) == 1
    found = read_lmdb(root / "DIV2K_valid_HR.lmdb")
    assert found.keys() == {"0801", "0802", "inside_0801"}
    assert (found["inside_0801"] == pixels(root / "DIV2K_valid_HR/inside/0801.png")).all()


def test_photographs_are_prepared_as_they_are_seen(tmp_path):
    stored = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "photos").mkdir()
    Image.fromarray(stored).save(tmp_path / "photos" / "a.png", exif=exif)
    prepare(small_request(tmp_path, valid_hr=tmp_path / "photos", scales=(2,)))
    seen = np.rot90(stored, -1)
    assert (read_lmdb(tmp_path / "photos_valid_HR.lmdb")["a"] == seen).all()
    lq = read_lmdb(tmp_path / "photos_valid_LR_bicubic_X2.lmdb")["a"]
    assert (lq == downscale(np.ascontiguousarray(seen), 2)).all()


def test_dots_in_names_become_underscores(tmp_path, make_images):
    make_images(tmp_path / "DIV2K_valid_HR", {"my.photo.1.png": (24, 24)})
    prepare(small_request(tmp_path))
    assert list(read_meta_info(tmp_path / "DIV2K_valid_HR.lmdb")) == ["my_photo_1"]


@pytest.mark.parametrize("names", [("a.jpg", "a.png"), ("a.b.png", "a_b.png")])
def test_names_that_share_a_key_are_refused(tmp_path, make_images, names):
    make_images(tmp_path / "DIV2K_valid_HR", dict.fromkeys(names, (24, 24)))
    with pytest.raises(DataError, match=rf"{names[1]} and {names[0]} would share the key 'a"):
        prepare(small_request(tmp_path))


def test_a_name_with_the_end_of_a_line_is_named_in_one_line(tmp_path, make_images):
    make_images(tmp_path / "DIV2K_valid_HR", {"a\nb.png": (30, 30)})
    with pytest.raises(DataError, match=r"a\\nb\.png: the name must be plain ASCII") as error:
        prepare(small_request(tmp_path))
    assert "\n" not in str(error.value)


def test_all_bad_headers_are_named_at_once_and_nothing_is_written(root, make_images):
    folder = make_images(root / "DIV2K_train_HR", {"small.png": (23, 99), "é.png": (30, 30)})
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("hello")
    Image.new("RGBA", (30, 30)).save(folder / "alpha.png")
    before = snapshot(root)
    with pytest.raises(DataError) as error:
        prepare(small_request(root))
    for fault in (
        "alpha.png: expected an 8-bit",
        "empty.png: the file is empty",
        "small.png is 23×99 (height×width), but at least 24×24 is needed; --skip-small leaves",
        "text.jpg: is damaged or not an image of a known kind",
        "é.png: the name must be plain ASCII",
    ):
        assert fault in str(error.value)
    assert snapshot(root) == before


def test_long_lists_of_faults_are_counted(tmp_path, make_images):
    folder = make_images(tmp_path / "DIV2K_train_HR", {"a.png": (30, 30)})
    for number in range(8):
        (folder / f"{number:02d}.png").touch()
    with pytest.raises(DataError, match=r"04\.png: the file is empty; and 3 more$"):
        prepare(small_request(tmp_path))


@pytest.mark.parametrize("workers", [1, 2])
def test_all_images_that_cannot_be_decoded_are_named_at_once(root, make_images, workers):
    folder = root / "DIV2K_train_HR"
    make_images(folder, {"0003.png": (30, 30)})
    for name in ("0001.png", "0003.png"):
        os.truncate(folder / name, (folder / name).stat().st_size - 5)
    before = snapshot(root)
    with pytest.raises(DataError, match=r"0001\.png: the PNG is cut short; .*0003\.png: the PNG"):
        prepare(small_request(root, workers=workers))
    assert snapshot(root) == before


def test_several_workers_make_the_same(root):
    prepare(small_request(root))
    alone = snapshot(root)
    prepare(small_request(root, workers=2, overwrite=True))
    together = snapshot(root)
    assert alone.keys() == together.keys()
    for name in alone:
        if name.endswith("meta_info.txt"):
            assert together[name] == alone[name]
    for folder in root.glob("*.lmdb"):
        assert find_fault(folder) is None


def test_a_second_run_keeps_everything_and_more_scales_are_added(root):
    assert set(states(prepare(small_request(root))).values()) == {State.MISSING}
    before = snapshot(root)
    assert set(states(prepare(small_request(root))).values()) == {State.WHOLE}
    assert snapshot(root) == before
    found = states(prepare(small_request(root, scales=(2, 3, 4), folders=True)))
    assert {name for name, state in found.items() if state is State.MISSING} == {
        "DIV2K_train_HR_sub",
        "X2_sub",
        "X3_sub",
        "X4_sub",
        "DIV2K_train_LR_bicubic_X4_sub.lmdb",
        "DIV2K_valid_LR_bicubic_X4.lmdb",
    }
    after = snapshot(root)
    assert {name: after[name] for name in before} == before


def test_images_that_are_newer_than_what_is_kept_are_noted(root):
    assert prepare(small_request(root)).notes == []
    assert prepare(small_request(root)).notes == []
    made = (root / "DIV2K_train_HR_sub.lmdb/meta_info.txt").stat().st_mtime
    os.utime(root / "DIV2K_train_HR/0002.png", (made + 10, made + 10))
    (note,) = prepare(small_request(root, scales=(2, 3, 4))).notes
    assert note.startswith(f"1 image is newer than {root}/DIV2K_train_")
    assert note.endswith("which is kept, the first " + f"{root}/DIV2K_train_HR/0002.png: " + (
        "--overwrite makes all anew"
    ))  # fmt: skip
    assert prepare(small_request(root, overwrite=True)).notes == []


def test_reduced_copies_that_are_called_as_another_image_are_refused(root, make_images):
    for reduced in ((0.8, 0.8001), (0.8,)):
        if len(reduced) == 1:
            make_images(root / "DIV2K_train_HR", {"0001_r800.png": (50, 38)})
        with pytest.raises(DataError, match=r"reduced copies would be called as another .* 0001_r"):
            prepare(small_request(root, reduced=reduced))
    assert prepare(small_request(root, reduced=(0.9, 0.7))).outputs


def shorten_meta_info(folder: Path) -> None:
    lines = (folder / "meta_info.txt").read_text().splitlines(keepends=True)
    (folder / "meta_info.txt").write_text("".join(lines[:-1]))


def cut_data(folder: Path) -> None:
    os.truncate(folder / "data.mdb", (folder / "data.mdb").stat().st_size // 2)


def cut_entry(folder: Path) -> None:
    with lmdb.open(str(folder), lock=False) as env, env.begin(write=True) as txn:
        txn.put(b"0001_s003", txn.get(b"0001_s003")[:-3])


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize("break_it", [shorten_meta_info, cut_data, cut_entry, empty])
def test_a_broken_lmdb_is_made_again(root, break_it):
    prepare(small_request(root))
    folder = root / "DIV2K_train_LR_bicubic_X2_sub.lmdb"
    before = read_lmdb(folder)
    break_it(folder)
    found = states(prepare(small_request(root)))
    assert found.pop(folder.name) is State.BROKEN
    assert set(found.values()) == {State.WHOLE}
    after = read_lmdb(folder)
    assert after.keys() == before.keys()
    assert all((after[key] == before[key]).all() for key in before)


def test_a_broken_folder_is_made_again(root):
    prepare(small_request(root, folders=True))
    before = snapshot(root)
    os.truncate(root / "DIV2K_train_HR_sub" / "0001_s002.png", 99)
    (root / "DIV2K_train_LR_bicubic" / "X3_sub" / "0002_s001.png").unlink()
    found = states(prepare(small_request(root, folders=True)))
    assert {name for name, s in found.items() if s is State.BROKEN} == {
        "DIV2K_train_HR_sub",
        "X3_sub",
    }
    assert snapshot(root) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_an_interrupted_run_leaves_no_trace_and_can_be_repeated(root, monkeypatch, error):
    before = snapshot(root)
    put, calls = LmdbWriter.put, []

    def failing_put(self, entries):
        calls.append(entries)
        if len(calls) == 5:  # the second image
            raise error
        put(self, entries)

    with monkeypatch.context() as patch:
        patch.setattr(LmdbWriter, "put", failing_put)
        with pytest.raises((KeyboardInterrupt, OSError)):
            prepare(small_request(root, folders=True))
    assert snapshot(root) == before
    assert not list(root.rglob("*.tmp"))
    prepare(small_request(root, folders=True))
    assert find_fault(root / "DIV2K_train_HR_sub.lmdb") is None


def test_what_a_finished_split_has_written_survives_a_failure_of_the_next(root):
    image = root / "DIV2K_valid_HR" / "0802.png"
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 1  # the header is whole, the pixels are not
    image.write_bytes(content)
    with pytest.raises(DataError, match=r"0802\.png"):
        prepare(small_request(root))
    assert find_fault(root / "DIV2K_train_HR_sub.lmdb") is None
    assert not list(root.glob("DIV2K_valid_*.lmdb"))


def other_settings(root: Path) -> Path:
    prepare(small_request(root, grid=Grid(12, 12)))
    return root / "DIV2K_train_HR_sub.lmdb"


def other_images(root: Path) -> Path:
    (root / "DIV2K_train_HR_sub.lmdb").mkdir()
    with LmdbWriter(root / "DIV2K_train_HR_sub.lmdb") as writer:
        writer.put([("face", b"", (9, 9, 3))])
    return root / "DIV2K_train_HR_sub.lmdb"


def other_files(root: Path) -> Path:
    (root / "DIV2K_train_HR_sub").mkdir()
    (root / "DIV2K_train_HR_sub" / "thesis.txt").touch()
    return root / "DIV2K_train_HR_sub"


def a_file(root: Path) -> Path:
    (root / "DIV2K_valid_HR.lmdb").touch()
    return root / "DIV2K_valid_HR.lmdb"


@pytest.mark.parametrize("occupy", [other_settings, other_images, other_files, a_file])
def test_what_is_not_ours_is_replaced_only_on_demand(root, occupy):
    taken = occupy(root)
    before = snapshot(root)
    with pytest.raises(
        DataError, match=f"{taken.name}: there already|{taken.name}, .*there already"
    ):
        prepare(small_request(root, folders=True))
    assert snapshot(root) == before
    prepare(small_request(root, folders=True, overwrite=True))
    assert set(states(prepare(small_request(root, folders=True))).values()) == {State.WHOLE}


def test_nothing_to_prepare_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"nothing to prepare: .* neither DIV2K_train_HR nor"):
        prepare(small_request(tmp_path))


def test_a_named_folder_must_exist(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        prepare(small_request(tmp_path, valid_hr=tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": (5,)}, "scales must be some of"),
        ({"scales": ()}, "scales must be some of"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"grid": Grid(25, 12)}, "crop_size 25 is not a multiple of scale 2"),
    ],
)
def test_bad_requests_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        small_request(tmp_path, **options)


def test_reduced_copies_of_training_images_are_taken_as_well(root):
    prepare(small_request(root, reduced=(0.8, 0.5)))
    entries = read_lmdb(root / "DIV2K_train_HR_sub.lmdb")
    # 0002 (24×24) is too small to be reduced, 0001 (50×38) to be halved.
    assert {key.rsplit("_s", 1)[0] for key in entries} == {"0001", "0002", "0001_r800"}
    hr = Image.open(root / "DIV2K_train_HR" / "0001.png")
    reduced = np.array(hr.resize((round(38 * 0.8), 40), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(entries["0001_r800_s001"], reduced[:24, :24])
    lq = read_lmdb(root / "DIV2K_train_LR_bicubic_X2_sub.lmdb")
    expected = downscale(reduced, 2)[:12, :12]
    np.testing.assert_array_equal(lq["0001_r800_s001"], expected)
    assert set(read_lmdb(root / "DIV2K_valid_HR.lmdb")) == {"0801", "0802"}  # whole, as they are


@pytest.mark.parametrize("reduced", [(0.0,), (1.0,), (0.5, 0.5), (float("nan"),)])
def test_factors_that_reduce_nothing_are_refused(root, reduced):
    with pytest.raises(ValueError, match="reduced must be different factors"):
        small_request(root, reduced=reduced)
