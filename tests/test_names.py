"""Names from strangers cannot forge lines, reach the terminal's controls, or act in tables."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import pytest

from smsr_plugin.names import code_span, csv_cell, printable, printable_lines, table_cell


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("photo 1.png", "photo 1.png"),
        ("Größe-日本-🌲.png", "Größe-日本-🌲.png"),
        ("a\nsmsr: error: forged", r"a\nsmsr: error: forged"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\x9b2J", r"\x9b2J"),  # the one-byte form of the same
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("a\udcff.png", r"a\udcff.png"),
        (Path("a/b\t.png"), r"a/b\t.png"),
    ],
)
def test_names_are_one_visible_line(name, shown):
    assert printable(name) == shown
    assert printable(printable(name)) == shown


def test_texts_keep_their_lines():
    text = "Validation\n\t # psnr: 30\n"
    assert printable_lines(text) == text
    assert printable_lines("a\n\x1b[2J\tb\r") == "a\n\\x1b[2J\tb\\r"


def test_cells_of_tables_are_text():
    assert table_cell(r"a|b\|c") == r"a&#124;b\&#124;c"
    assert table_cell("![x](data:,)") == "!&#91;x](data:,)"
    assert table_cell("<script>`z`") == "&lt;script>'z'"
    assert table_cell("a\nb") == r"a\nb"


def test_code_is_code_to_its_end():
    assert code_span("smsr x[1]|`<b>`\n") == r"`smsr x[1]|'<b>'\n`"


@pytest.mark.parametrize("name", ["=1+2", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0"])
def test_cells_of_csv_files_are_no_formulas(name):
    stream = StringIO()
    csv.writer(stream).writerow([csv_cell(name)])
    assert next(csv.reader([stream.getvalue()])) == [f"'{name}"]
    assert csv_cell("butterfly") == "butterfly"
    assert csv_cell(-1.5) == -1.5
