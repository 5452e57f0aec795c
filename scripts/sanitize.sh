#!/usr/bin/env bash
# Build the native kernels with sanitizers under build/, and run their tests on that build. The
# installed kernels are not touched. The first error ends the run. Minutes; Linux only.
#
#   bash scripts/sanitize.sh address   memory errors and undefined behaviour
#   bash scripts/sanitize.sh thread    data races
#
# Further arguments go to pytest, in place of tests/sparse/native. PYTHON and CXX name another
# interpreter or another GCC.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

fail() { echo "error: $1" >&2; exit 1; }

# The full path of a file that belongs to the compiler, or nothing.
file_of_compiler() {
  local path
  path=$("$compiler" -print-file-name="$1")
  if [ -e "$path" ]; then realpath "$path"; fi
}

# Sets what the rest needs: flags, link, marks (symbols of the runtime) and runtime (what is loaded
# before Python).
choose_address() {
  flags="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-wrapv"
  link="-fsanitize=address,undefined"
  marks="__asan_init __ubsan_handle"
  runtime=$(file_of_compiler libasan.so)
  [ -n "$runtime" ] || fail "$compiler has no libasan.so; install GCC's libasan and libubsan"
  # Python is not linked with libstdc++, which must be there when AddressSanitizer starts.
  runtime+=" $(file_of_compiler libstdc++.so)"
}

choose_thread() {
  flags="-fsanitize=thread"
  link="-fsanitize=thread"
  marks="__tsan_init"
  runtime=$(file_of_compiler libtsan.so)
  [ -n "$runtime" ] || fail "$compiler has no libtsan.so; install GCC's libtsan"
  runtime+=" $(file_of_compiler libstdc++.so)"
  [ "$(nproc)" -gt 1 ] || fail "thread needs two processors: one thread has nobody to race with"
}

compiler=${CXX:-g++}
command -v "$compiler" >/dev/null || fail "there is no $compiler; on Debian: apt install g++"
case $("$compiler" --version) in *clang*) fail "GCC is needed; $compiler is Clang" ;; esac
kind=${1:-}
case $kind in
  address | thread) "choose_$kind" ;;
  *) fail "name a sanitizer: bash scripts/sanitize.sh address|thread [arguments of pytest]" ;;
esac
shift
[ $# -gt 0 ] || set -- tests/sparse/native
for argument; do # from relative to absolute paths, since the tests run elsewhere
  shift
  case $argument in
    tests/*) set -- "$@" "$root/$argument" ;;
    *) set -- "$@" "$argument" ;;
  esac
done

python=$(command -v "${PYTHON:-.venv/bin/python}" || command -v python3) ||
  fail "there is no Python; make .venv with scripts/test.sh, or set PYTHON"
python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
"$python" -c 'import hypothesis, numpy, pybind11, pytest, setuptools, torch' ||
  fail "$python lacks a package; make .venv with scripts/test.sh, or set PYTHON"

build=$root/build/sanitize-$kind
rm -rf "$build"
mkdir -p "$build"
echo "Building with $("$compiler" --version | head -n 1)"
# setuptools reads CFLAGS or CXXFLAGS, by its version. Optimisation remains that of setup.py.
flags+=" -g -fno-omit-frame-pointer"
CC=$compiler CXX=$compiler CFLAGS=$flags CXXFLAGS=$flags LDFLAGS=$link \
  "$python" setup.py --quiet build --build-lib "$build/lib" --build-temp "$build/temp" \
  >"$build/log" 2>&1 || true
kernels=$(compgen -G "$build/lib/smsr_plugin/_kernels.*") ||
  { tail -n 30 "$build/log" >&2; fail "the kernels were not built; see $build/log"; }
for mark in $marks; do
  grep -q "$mark" "$kernels" || fail "$kernels was built without $mark; see $build/log"
done

# From another folder, so that the source tree does not provide smsr_plugin.
cd "$build/lib"
sanitized_python() {
  LD_PRELOAD=$runtime PYTHONPATH=$PWD PYTHONDONTWRITEBYTECODE=1 \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
    UBSAN_OPTIONS=print_stacktrace=1 \
    TSAN_OPTIONS=halt_on_error=1 \
    "$python" "$@"
}
probe=$(sanitized_python - "$kernels" <<'PYTHON'
import sys

import numpy as np

from smsr_plugin import _kernels

assert _kernels.__file__ == sys.argv[1], f"{_kernels.__file__} was loaded"
_kernels.list_active(8, 8, np.zeros((10, 18), np.uint8), threads=2)
print("Testing", _kernels.__file__, "on", *_kernels.available())
PYTHON
) || fail "the sanitized kernels cannot be used"
echo "$probe"
# Left out: what limits the address space, of which sanitizers reserve more; and, for threads, a test
# whose random lists name pixels twice, which two threads may then write at once.
checks=tests/sparse/native/test_checks.py
left_out=(--deselect "$checks::test_more_threads_than_the_system_has_do_not_end_the_process"
  --deselect "$checks::test_no_memory_is_an_error_on_every_thread")
[ "$kind" = address ] || left_out+=(--deselect "$checks::test_no_combination_of_arguments_crashes")
# Reports go past pytest's capture, to be seen when they end the process.
sanitized_python -m pytest -c "$root/pyproject.toml" --rootdir "$root" -p no:cacheprovider \
  -p no:faulthandler --capture=sys -q "${left_out[@]}" "$@"
echo "No errors were found."
