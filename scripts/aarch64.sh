#!/usr/bin/env bash
# Cross-build the native kernels for 64-bit Arm under build/aarch64 and run their tests there, under
# QEMU's user-mode emulation; nothing outside that folder is touched. An hour or two, a gigabyte; Debian or
# Ubuntu on x86-64.
#
#   bash scripts/aarch64.sh          the tests of tests/sparse/native
#   bash scripts/aarch64.sh count    instructions of each kernel, beside those on x86-64
#
# Other arguments go to pytest, in place of tests/sparse/native. CPU names another processor of QEMU's.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
here=$root/build/aarch64
cpu=${CPU:-max,sve=off} # with BF16; emulating SVE takes PyTorch many times as long
python=$(command -v "${PYTHON:-$root/.venv/bin/python}" || command -v python3)

fail() { echo "error: $1" >&2; exit 1; }
for tool in aarch64-linux-gnu-g++ qemu-aarch64 mmdebstrap; do
  command -v $tool >/dev/null ||
    fail "there is no $tool: apt install g++-aarch64-linux-gnu qemu-user mmdebstrap"
done
mkdir -p "$here"

# Debian's Python for Arm: its packages unpacked, none of their scripts run.
system=$here/system
if [ ! -e "$system/usr/bin/python3.11" ]; then
  echo "Unpacking Debian's Python for arm64"
  mmdebstrap --quiet --variant=extract --architectures=arm64 \
    --include=python3,libpython3.11-dev,libstdc++6,libgomp1 bookworm "$system"
fi

# Wheels for Arm. PyTorch without its dependencies: pip would take those of this machine's processor.
site=$here/site
if [ ! -e "$site/complete" ]; then
  echo "Fetching wheels for arm64"
  fetch=("$python" -m pip install --quiet --no-compile --upgrade --target "$site"
    --python-version 3.11 --implementation cp --only-binary=:all: --platform=manylinux2014_aarch64)
  for glibc in 17 24 26 27 28; do fetch+=("--platform=manylinux_2_${glibc}_aarch64"); done
  "${fetch[@]}" numpy scipy pillow safetensors tifffile tqdm argcomplete pytest hypothesis pybind11 \
    setuptools filelock typing-extensions sympy networkx jinja2 fsspec
  "${fetch[@]}" --no-deps torch==2.9.1 torchvision==0.24.1
  touch "$site/complete"
fi

# A Python that starts like any other, so that tests can start it too.
emulated=$here/python
cat >"$emulated" <<WRAPPER
#!/bin/sh
export PYTHONHOME="$system/usr"
exec qemu-aarch64 -cpu $cpu -L "$system" -0 "$emulated" "$system/usr/bin/python3.11" "\$@"
WRAPPER
chmod +x "$emulated"

echo "Building with $(aarch64-linux-gnu-g++ --version | head -n 1)"
include=$system/usr/include
flags="-isystem $include -isystem $include/python3.11"
(cd "$root" && PYTHONPATH=$site CC=aarch64-linux-gnu-g++ CXX=aarch64-linux-gnu-g++ \
  LDSHARED="aarch64-linux-gnu-g++ -shared" LDCXXSHARED="aarch64-linux-gnu-g++ -shared" \
  CFLAGS=$flags CXXFLAGS=$flags \
  "$emulated" setup.py --quiet build --build-lib "$here/lib" --build-temp "$here/temp") \
  >"$here/log" 2>&1 || true
kernels=$(compgen -G "$here/lib/smsr_plugin/_kernels.*") ||
  { tail -n 30 "$here/log" >&2; fail "the kernels were not built; see $here/log"; }
echo "Testing $(basename "$kernels") on QEMU's $cpu"

# From another folder, so that the source tree does not provide smsr_plugin.
cd "$here/lib"
export PYTHONPATH=$PWD:$site PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
if [ "${1:-}" = count ]; then
  gcc -shared -fPIC -O2 -o "$here/count.so" "$root/scripts/instructions/plugin.c"
  script=$root/scripts/instructions/kernels.py
  for isa in baseline neon_bf16; do
    counts="$here/Arm $isa.txt"
    QEMU_PLUGIN=$here/count.so "$emulated" "$script" run $isa >"$counts" 2>&1 || fail "see $counts"
  done
  packages=$(PYTHONPATH= "$python" -c 'import numpy; print(numpy.__path__[0].removesuffix("/numpy"))')
  for isa in baseline avx2; do # of the kernels that were built for this machine
    counts="$here/x86-64 $isa.txt"
    PYTHONPATH=$root:$packages qemu-x86_64 -cpu max -plugin "$here/count.so" \
      "$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')" \
      "$script" run $isa >"$counts" 2>&1 || fail "see $counts"
  done
  PYTHONPATH= "$python" "$script" table "$here/"{Arm\ baseline,Arm\ neon_bf16,x86-64\ baseline,x86-64\ avx2}.txt
  exit
fi
[ $# -gt 0 ] || set -- tests/sparse/native
for argument; do # from relative to absolute paths
  shift
  case $argument in
    tests/*) set -- "$@" "$root/$argument" ;;
    *) set -- "$@" "$argument" ;;
  esac
done
# Left out: what measures seconds, and what limits the address space, of which QEMU takes its share.
checks=tests/sparse/native/test_checks.py
"$emulated" -m pytest -c "$root/pyproject.toml" --rootdir "$root" -p no:cacheprovider -p no:xdist -q \
  --ignore="$root/tests/sparse/native/test_busy_machine.py" \
  --deselect "$checks::test_more_threads_than_the_system_has_do_not_end_the_process" \
  --deselect "$checks::test_no_memory_is_an_error_on_every_thread" "$@"
