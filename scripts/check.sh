#!/usr/bin/env bash
# What a change has to pass: bash scripts/check.sh [lint] [types] [docs] [tests]; without arguments
# all of it. The tools come from .venv (pip install -e ".[dev]").
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH

lint() { ruff check . && ruff format --check . && lint-imports; }
types() { pyright; }
docs() {  # tables and pages that are made are as they would be made now
  python scripts/docs_tables.py --check &&
    python -m smsr_plugin options --schema | diff smsr_plugin/training/options/schema.json - &&
    python -m smsr_plugin options --reference | diff docs/options.md -
}
tests() { bash scripts/test.sh; }

for part in ${@:-lint types docs tests}; do
  echo "== $part"
  "$part"
done
