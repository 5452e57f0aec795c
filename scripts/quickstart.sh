#!/usr/bin/env bash
# Set up .venv, then train a small SMSR x2 on a few photographs and compare it with bicubic.
# Everything lands in quickstart/; a second run keeps the data and trains anew.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_env.sh

out=quickstart
options=options/train/SMSR/train_SMSR_x2_demo.yml
test_options=options/test/SMSR/test_SMSR_x2_demo.yml
mkdir -p $out
say() { printf '\n\033[1m%s\033[0m\n' "$1"; }

say "1/5  Photographs and LMDBs"
python scripts/quickstart_photos.py $out/photos
prepare=(smsr prepare --root $out/datasets --scales 2
  --train-hr $out/photos/train --valid-hr $out/photos/valid --crop-size 128 --step 96)
"${prepare[@]}" | grep images

say "2/5  Training to iteration 500, where it stops (full log: $out/experiments/SMSR_x2_demo/)"
smsr train -opt $options --root $out --quiet --force_yml train:total_iter=500

say "3/5  Training resumed, to iteration 1000"
smsr train -opt $options --root $out --quiet --auto_resume

say "4/5  Testing: dense, then converted to sparse inference"
smsr test -opt $test_options --root $out --quiet --force_yml name=dense val:converter=~
smsr test -opt $test_options --root $out --quiet --force_yml name=sparse

say "5/5  Result"
python scripts/quickstart_table.py $out/photos/valid $out/results/{dense,sparse}/metrics.json
cat <<'END'

Look at the images in quickstart/results/sparse/visualization/, at the curves with
    .venv/bin/python -m tensorboard.main --logdir quickstart/tb_logger
and at README.md for DIV2K and the released weights.
END
