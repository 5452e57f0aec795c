# Sourced by quickstart.sh and test.sh, from the root of the repository: makes .venv, or reuses it,
# and leaves its programs first in PATH. PYTHON chooses the interpreter of a new one, SMSR_EXTRAS
# (bench,spandrel) what is installed beside the extra test.

fail() { echo "error: $1" >&2; exit 1; }

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }

if [ ! -x .venv/bin/python ]; then
  for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    supported "$python" && break
    python=
  done
  [ -n "$python" ] || fail "Python 3.11, 3.12, 3.13 or 3.14 is needed; name it with PYTHON=/path/to/python3.x"
  echo "Making .venv with $("$python" --version)"
  "$python" -m venv .venv ||
    fail "cannot make .venv; on Debian and Ubuntu: apt install $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
else
  echo "Reusing .venv ($(.venv/bin/python --version))"
fi
PATH="$PWD/.venv/bin:$PATH"

# What is installed already costs a second to check; a change of what it was built from installs
# again.
installed=.venv/smsr_plugin.installed
sources=$(echo "${SMSR_EXTRAS:-}" | cat - setup.py smsr_plugin/sparse/csrc/* | cksum)
if [ "$sources" != "$(cat "$installed" 2>/dev/null)" ] || ! python -c 'import smsr_plugin.training, basicsr.version' 2>/dev/null; then
  # BasicSR's setup.py imports torch, cython and numpy. Without build isolation it takes those of
  # .venv; with it, pip would fetch another torch just to build.
  echo "Installing torch and torchvision (the longest step: minutes, and gigabytes with CUDA)"
  python -m pip install --quiet "torch>=2.6" "torchvision>=0.21"
  echo "Installing BasicSR"
  python -m pip install --quiet --upgrade "setuptools>=68" wheel cython numpy pybind11
  PYTHONPATH="$PWD/scripts/basicsr_build" python -m pip install --quiet --no-build-isolation "basicsr>=1.4.2,<1.5"
  echo "Building and installing smsr_plugin and its test tools"
  python -m pip install --quiet --no-build-isolation --editable ".[test${SMSR_EXTRAS:+,$SMSR_EXTRAS}]"
  echo "$sources" > "$installed"
fi
