#!/usr/bin/env bash
# Versions: av 19.0.2 on Python 3.12.1; it needs 3.12 or later (PYTHON names one), and no numpy.
# PyAV 19 gives dates and rates as AVRational, "an exact rational number" that is a numbers.Rational, where PyAV 18
# gave fractions.Fraction. int(), round(), abs(), // and % of one raise TypeError, though numbers.Rational asks for
# them: int(stream.average_rate) no longer works. Products of two that do not fit 32 bits are rounded, as its
# description says, but down to 0 and without an error (1/90000 squared). With a Fraction the result is exact.
# Expected before the run: what fractions.Fraction gives, or an error where it does not fit. Exits 1 when this changes.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python=${PYTHON:-}
for name in python3.14 python3.13 python3.12 python3; do  # a name may be there for a version that is not
  [ -n "$python" ] || { "$name" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && python=$name; } || true
done
[ -n "$python" ] || { echo "Python 3.12 or later is needed: PYTHON=... $0" >&2; exit 2; }
"$python" -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check av==19.0.2
cd "$dir"
"$dir/venv/bin/python" - <<'P'
import io
import numbers
import sys
from fractions import Fraction

import av

container = av.open(io.BytesIO(), "w", format="nut")
stream = container.add_stream("mpeg4", rate=Fraction(30000, 1001))
codec = stream.codec_context
codec.time_base = Fraction(1, 90000)
unit, rate = codec.time_base, codec.framerate
exact = Fraction(unit) * Fraction(unit)
print(f"{type(unit).__name__}, a numbers.Rational: {isinstance(unit, numbers.Rational)}")
print(f"{unit} × {unit}: {unit * unit}, exactly {exact}; with a Fraction: {unit * Fraction(unit)}")
print(f"1001/24000 × {unit}: {av.AVRational(1001, 24000) * unit}, exactly {Fraction(1001, 24000) * Fraction(unit)}")
refused = []
for name, ask in {
    "int": int, "round": round, "abs": abs, "//": lambda x: x // 1, "%": lambda x: x % 1
}.items():
    try:
        print(f"{name} of {rate}: {ask(rate)}")
    except TypeError as error:
        print(f"{name} of {rate}: {error}; of the Fraction {ask(Fraction(rate))}")
        refused.append(name)
same = (
    isinstance(unit, numbers.Rational)
    and unit * unit == 0
    and unit * Fraction(unit) == exact
    and refused == ["int", "round", "abs", "//", "%"]
)
sys.exit(not same)
P
