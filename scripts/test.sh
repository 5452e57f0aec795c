#!/usr/bin/env bash
# Set up .venv and run the tests. Arguments go to pytest: bash scripts/test.sh tests/sparse -x
# SMSR_TEST_DATA names a folder of reference data and weights; tests that need it are skipped
# without it. Two processes or more share the tests; -n 0 keeps them in one, as -s and --pdb need.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_env.sh

shared=(-n auto --maxprocesses 4 --dist worksteal)
for argument; do
  if [ -e "${argument%%::*}" ]; then exec python -m pytest "${shared[@]}" "$@"; fi
done
# These send SIGINT to the process that they are in: among all the others it has ended the one that
# shares them, and pytest then calls the test failed.
signals=tests/training/run/test_interrupt.py
python -m pytest "${shared[@]}" --ignore "$signals" "$@"
python -m pytest "$@" "$signals" || [ $? = 5 ]  # 5: none was asked for
