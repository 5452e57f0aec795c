#!/usr/bin/env bash
# Run the README's two commands in a fresh clone of the last commit for each interpreter that is named,
# and print the rows of docs/install.md's table. Clones and logs stay under build/pythons.
#
#   bash scripts/pythons.sh python3.12 /opt/python3.13/bin/python3
#
# SMSR_EXTRAS=bench,spandrel,tensorboard installs what more of the tests need. Half an hour and some
# gigabytes for each; the exit status is 1 if a command failed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
unset PYTHONPATH # another checkout's package would be tried in place of the clone's
[ $# -gt 0 ] || { echo "error: name the interpreters: bash scripts/pythons.sh python3.13 …" >&2; exit 1; }

# Runs one of the two commands in the clone; sets `log` and `status`.
try() {
  log=$clone.$1.log status=0
  (cd "$clone" && PYTHON=$python bash "scripts/$1.sh") >"$log" 2>&1 </dev/null || status=$?
  [ $status = 0 ] || { failed=1; echo "scripts/$1.sh ended with status $status: $log" >&2; }
}

# What pytest's closing lines of a log count together: test.sh runs it twice.
counted() {
  grep -E '^=+ .*[0-9]+ (passed|failed|error|skipped).* =+$' "$1" |
    grep -oE '[0-9]+ (passed|failed|errors?|skipped)' |
    awk '{ n[$2] += $1 } END { for (kind in n) print n[kind], kind }' | sort -k 2 | paste -sd , | sed 's/,/, /g'
}

failed=0
echo "| Python | torch | tests | quickstart |"
echo "|---|---|---|---|"
for named; do
  python=$(command -v "$named") || { echo "error: there is no $named" >&2; exit 1; }
  version=$("$python" -c 'import platform; print(platform.python_version())')
  clone=$root/build/pythons/$version
  rm -rf "$clone"
  git clone --quiet "$root" "$clone"
  try quickstart
  quickstart=$([ $status = 0 ] && echo passes || echo fails)
  try test
  tests=$(counted "$log" || true)
  torch=$("$clone/.venv/bin/python" -c 'import torch; print(torch.__version__)' 2>/dev/null || echo –)
  echo "| $version | $torch | ${tests:-none ran} | $quickstart |"
done
exit $failed
