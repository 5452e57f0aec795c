"""Every image named is found once, and every conflict is told before anything is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from smsr_plugin.upscaling import RequestError
from smsr_plugin.upscaling.inputs import Job, Naming, plan


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Return a folder with images (nothing here reads them) and make it the current one."""
    monkeypatch.chdir(tmp_path)
    names = "in/a.jpg in/b.PNG in/c.gif in/deep/a.jpg in/deep/er/d.tiff in/notes.txt in/.e.png"
    for name in [*names.split(), "in/.hidden/f.png", "other/a.jpg"]:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def targets(arguments: list[str], recursive: bool = False, **naming) -> list[str]:
    jobs = plan(arguments, Naming(Path("out"), **naming), recursive).jobs
    return [job.target.as_posix() for job in jobs]


def test_a_folder_is_its_images_in_order(folder):
    assert targets(["in"]) == ["out/a.jpg", "out/b.PNG", "out/c.png"]


def test_folders_inside_keep_their_place(folder):
    expected = ["out/a.jpg", "out/b.PNG", "out/c.png", "out/deep/a.jpg", "out/deep/er/d.tiff"]
    assert targets(["in"], recursive=True) == expected


def test_files_and_patterns(folder):
    assert targets(["in/notes.txt", "in/*.jpg"]) == ["out/notes.png", "out/a.jpg"]
    assert targets(["in/**/*.tiff"]) == ["out/d.tiff"]
    assert targets([str(folder / "in" / "*.gif")]) == ["out/c.png"]
    assert targets(["in", "in/a.jpg"]) == ["out/a.jpg", "out/b.PNG", "out/c.png"]


def test_a_name_with_signs_of_a_pattern_is_a_name_first(folder):
    (folder / "in" / "[1].png").touch()
    assert targets(["in/[1].png"]) == ["out/[1].png"]


@pytest.mark.parametrize(
    ("ext", "names"),
    [("png", "a.png b.png c.png"), ("jpg", "a.jpg b.jpg c.jpg"), ("tiff", "a.tiff b.tiff c.tiff")],
)
def test_suffix_and_extension(folder, ext, names):
    named = [f"out/{name.replace('.', '_x2.')}" for name in names.split()]
    assert targets(["in"], suffix="_x2", ext=ext) == named


def test_masks_lie_beside_one_another(folder):
    naming = Naming(Path("out"), "_x2", masks=Path("masks"))
    jobs = plan(["in/deep"], naming, recursive=True).jobs
    assert [job.masks for job in jobs] == [
        Path("masks/a_x2_masks.png"),
        Path("masks/er/d_x2_masks.png"),
    ]
    assert jobs[0].outputs == (Path("out/a_x2.jpg"), Path("masks/a_x2_masks.png"))


def test_a_single_image_can_have_its_own_name(folder):
    out = Path("new/picture.webp")
    assert plan(["in/a.jpg"], Naming(out)).jobs == [Job(Path("in/a.jpg"), out)]
    masked = plan(["in/a.jpg"], Naming(out, masks=Path("m"))).jobs
    assert masked[0].masks == Path("m/picture_masks.png")
    for arguments, naming, message in (
        (["in"], Naming(out), "give one file to enlarge"),
        (["in/a.jpg", "in/b.PNG"], Naming(out), "give one file to enlarge"),
        (["in/a.jpg"], Naming(out, suffix="_x2"), "leave out the suffix"),
        (["in/a.jpg"], Naming(out, ext="png"), "leave out the suffix and extension"),
    ):
        with pytest.raises(RequestError, match=message):
            plan(arguments, naming)


def test_a_folder_may_be_named_like_an_image(folder):
    (folder / "out.png").mkdir()
    assert plan(["in/a.jpg"], Naming(Path("out.png"))).jobs[0].target == Path("out.png/a.jpg")


def test_results_inside_the_input_are_not_enlarged_again(folder):
    for name in ("in/out/a.jpg", "in/masks/a_masks.png"):
        (folder / name).parent.mkdir()
        (folder / name).touch()
    jobs = plan(["in"], Naming(Path("in/out"), masks=Path("in/masks")), recursive=True).jobs
    assert len(jobs) == 5


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("none.png", "^none.png does not exist$"),
        ("in/*.bmp", r"^no file matches in/\*.bmp$"),
        ("in/dee*", r"^no file matches in/dee\*$"),
        ("empty", "^empty holds no images; --recursive looks into its folders$"),
    ],
)
def test_what_names_nothing_is_an_error(folder, argument, message):
    (folder / "empty").mkdir()
    with pytest.raises(RequestError, match=message):
        plan(["in", argument], Naming(Path("out")))


def test_a_dangling_link_is_not_passed_over(folder):
    (folder / "in" / "z.png").symlink_to("nowhere.png")
    assert targets(["in"])[-1] == targets(["in/z.png"])[-1] == "out/z.png"


def test_inputs_are_never_overwritten(folder):
    for arguments, naming in (
        (["in"], Naming(Path("in"))),
        (["in/a.jpg"], Naming(Path("in/a.jpg"))),
        (["in/a.jpg"], Naming(Path("in/deep/../a.jpg"))),
    ):
        with pytest.raises(RequestError, match="would replace the input in/"):
            plan(arguments, naming)
    assert plan(["in"], Naming(Path("in"), "_x2")).jobs[0].target == Path("in/a_x2.jpg")


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_inputs_are_never_overwritten_by_another_name(folder, link):
    (folder / "out").mkdir()
    getattr(folder / "out" / "a.jpg", link)(folder / "in" / "a.jpg")
    with pytest.raises(RequestError, match=r"would replace the input in/a\.jpg"):
        plan(["in"], Naming(Path("out")))


def test_two_results_of_one_name_are_an_error(folder):
    (folder / "in" / "b.gif").touch()
    for arguments, naming, recursive in (
        (["in", "other"], Naming(Path("out")), False),
        (["in"], Naming(Path("out")), False),  # b.PNG and b.gif are two names
        (["in"], Naming(Path("out"), ext="png"), False),
        (["in/**/*.jpg"], Naming(Path("out")), False),
    ):
        if naming.ext == "same" and arguments == ["in"]:
            assert len(plan(arguments, naming, recursive).jobs) == 4
            continue
        with pytest.raises(RequestError, match="would both be written to out/"):
            plan(arguments, naming, recursive)


def test_a_result_and_a_mask_of_one_name_are_an_error(folder):
    (folder / "in" / "a_masks.png").touch()
    with pytest.raises(RequestError, match=r"would both be written to out/a_masks\.png"):
        plan(["in"], Naming(Path("out"), masks=Path("out")))


def test_a_folder_in_the_place_of_a_result_is_an_error(folder):
    (folder / "out" / "a.jpg").mkdir(parents=True)
    with pytest.raises(RequestError, match=r"^out/a.jpg, to be written for in/a.jpg, is a folder$"):
        plan(["in"], Naming(Path("out")))


def test_a_file_in_the_place_of_a_folder_is_an_error(folder):
    for naming in (Naming(Path("in/notes.txt")), Naming(Path("out"), masks=Path("in/notes.txt"))):
        with pytest.raises(RequestError, match=r"^in/notes.txt is not a folder$"):
            plan(["in/a.jpg"], naming)


def test_nothing_is_written_outside_the_folder(folder):
    with pytest.raises(RequestError, match="must not name a folder"):
        plan(["in"], Naming(Path("out"), suffix="/../../a"))
    (folder / "out").mkdir()
    (folder / "out" / "deep").symlink_to(folder / "other")
    with pytest.raises(RequestError, match=r"^out/deep leads out of out$"):
        plan(["in"], Naming(Path("out")), recursive=True)
    assert targets(["in/../in/../in/deep/a.jpg"]) == ["out/a.jpg"]
