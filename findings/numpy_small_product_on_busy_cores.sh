#!/usr/bin/env bash
# A product of (36, 9) by (9, 2304) in float64, 0.7 million multiply-adds, which takes NumPy a tenth of a millisecond,
# takes tens of milliseconds where the cores are busy: NumPy's OpenBLAS shares it among as many threads as there are
# cores and waits for each, while the scheduler lets other processes run. With OPENBLAS_NUM_THREADS=1 the same product
# beside the same processes takes a fraction of a millisecond. A load of weights made of such products is what showed it.
# Versions: numpy 2.4.6 with its wheel's OpenBLAS 0.3.31, Python 3.11 or later, Linux on two cores or more.
# Expected before the run: twice or three times as long, as three processes share two cores. Exits 1 when this changes.
set -euo pipefail
unset OPENBLAS_NUM_THREADS OMP_NUM_THREADS GOTO_NUM_THREADS
dir=$(mktemp -d)
busy=()
trap 'kill "${busy[@]}" 2>/dev/null || true; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6
cat > "$dir/product.py" <<'P'
import statistics, time
import numpy as np
a, b = np.random.rand(36, 9), np.random.rand(9, 2304)
a @ b
seconds = []
for _ in range(60):
    time.sleep(0.002)  # as between other work: the threads of the product have gone to sleep
    start = time.perf_counter()
    a @ b
    seconds.append(time.perf_counter() - start)
print(f"{1e3 * statistics.fmean(seconds):.3f}")
P
for _ in $(seq "$(nproc)"); do
  timeout 120 "$dir/venv/bin/python" -c 'while True: pass' & busy+=($!)
done
sleep 1
"$dir/venv/bin/python" -c 'import numpy; print("numpy", numpy.__version__); c = numpy.show_config(mode="dicts"); print("OpenBLAS", c["Build Dependencies"]["blas"]["version"])'
one=$(OPENBLAS_NUM_THREADS=1 "$dir/venv/bin/python" "$dir/product.py")
all=$("$dir/venv/bin/python" "$dir/product.py")
echo "milliseconds of a product beside busy processes, mean: $one with one thread, $all with the default"
awk -v one="$one" -v all="$all" 'BEGIN { exit !(all > 5 * one) }'
