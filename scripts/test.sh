#!/usr/bin/env bash
# Set up .venv and run the tests. Arguments go to pytest: bash scripts/test.sh tests/sparse -x
# SMSR_TEST_DATA names a folder of reference data and weights; tests that need it are skipped
# without it. Two processes or more share the tests; -n 0 keeps them in one, as -s and --pdb need.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_env.sh
unset PYTHONDONTWRITEBYTECODE # tests start Python often, which would compile the package each time
python -m pytest -n auto --maxprocesses 4 --dist worksteal "$@"
