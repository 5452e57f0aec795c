#!/usr/bin/env bash
# Set up .venv, then train a small SMSR x2 on a few photographs and compare it with bicubic.
# Everything lands in quickstart/. Stopped, the same command goes on; a run after one that came to its end
# keeps the data and trains anew.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup_env.sh

out=quickstart
options=$out/x2_demo.yml
test_options=$out/test_x2_demo.yml
mkdir -p $out
smsr options x2_demo > $options
smsr options test_x2_demo > $test_options
say() { printf '\n\033[1m%s\033[0m\n' "$1"; }

report=$out/report.html go_on=()
[ -e $report ] || go_on=(--auto_resume)
rm -f $report
trap 'say "Stopped; the same command goes on."; exit 130' INT

say "1/6  Photographs and LMDBs"
python scripts/quickstart_photos.py $out/photos
prepare=(smsr prepare --root $out/datasets --scales 2
  --train-hr $out/photos/train --valid-hr $out/photos/valid --crop-size 128 --step 96)
"${prepare[@]}" | grep images

say "2/6  Training to iteration 500, where it stops (full log: $out/experiments/SMSR_x2_demo/)"
smsr train -opt $options --root $out --quiet "${go_on[@]}" --force_yml train:total_iter=500

say "3/6  Training resumed, to iteration 1000"
smsr train -opt $options --root $out --quiet --auto_resume

say "4/6  Testing: dense, then converted to sparse inference"
smsr test -opt $test_options --root $out --quiet --force_yml name=dense val:converter=~
smsr test -opt $test_options --root $out --quiet --force_yml name=sparse

say "5/6  Result"
python scripts/quickstart_table.py $out/photos/valid \
  $out/experiments/SMSR_x2_demo/models/net_g_latest.pth $out/results/{dense,sparse}/metrics.json

say "6/6  A photograph, enlarged by the weights that come with the package"
smsr upscale $out/photos/valid/astronaut.png -o $out/larger --masks $out/larger/masks
smsr report $out/photos/valid/astronaut.png -o $report
cat <<'END'

Open quickstart/report.html: where the network computed, what that saved and what it cost. The curves of
the training are shown by
    .venv/bin/python -m tensorboard.main --logdir quickstart/tb_logger
README.md goes on with DIV2K, and with your own photographs.
END
