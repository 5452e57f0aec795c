"""Feed damaged files of every format to the readers, and see that all they do is refuse them.

    python scripts/fuzz_readers.py --minutes 15 --seed 1

Whole files are damaged at random: bytes changed, cut out, repeated; inside a zip or a PNG also with
the checksums made right again, so that the damage gets further in. A reader may return or raise
its documented error. Anything else is a finding: another exception, a process that dies, more than
5 s of CPU, 256 MiB of resident memory beyond what was there when the case began, or a file that it
made; at 20 s and at 1 GiB of addresses a case is ended. The most that any case of a format took is
printed. A case depends on the seed and its number alone; `--keep DIR` keeps the files of the
findings. The exit code is 0 without findings.
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

#: To start a process takes as long as a thousand cases.
CASES_PER_PROCESS = 25_000
CPU_SECONDS = 20
#: Of silence: a process that does not even wait for a core hangs.
WALL_SECONDS = 120
MEMORY = 1 << 30
#: What a case may take: seconds of CPU, MiB.
SECONDS, MEBIBYTES = 5.0, 256.0


class Tally:
    """What happened, and the most that a case of each format took."""

    def __init__(self) -> None:
        self.outcomes, self.findings = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        self.seconds, self.mebibytes = Counter[str](), Counter[str]()

    def cost(self, kind: str, seconds: float, mebibytes: float) -> str:
        """Take account of a case; return what is wrong with that, or nothing."""
        self.seconds[kind] = max(self.seconds[kind], seconds)
        self.mebibytes[kind] = max(self.mebibytes[kind], mebibytes)
        if seconds > SECONDS:
            return f"took more than {SECONDS:g} s of CPU"
        return f"took more than {MEBIBYTES:g} MiB" if mebibytes > MEBIBYTES else ""

    def line(self, kind: str) -> str:
        return f"longest {self.seconds[kind]:.2f} s, most {self.mebibytes[kind]:.0f} MiB"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, metavar="N")
    parser.add_argument("--cases", type=int, default=sys.maxsize, metavar="N", help="at most")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="for the files of findings")
    parser.add_argument("--worker", type=int, nargs=2, metavar=("FIRST", "LAST"), help="internal")
    args = parser.parse_args()
    if args.worker:
        return work(args.seed, *args.worker, args.keep)
    return supervise(args)


def supervise(args: argparse.Namespace) -> int:
    """Run worker after worker, count what they tell, and notice how they die."""
    tally = Tally()
    end, case = time.monotonic() + args.minutes * 60, 0
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end and case < args.cases:
            inside = Path(folder) / "inside"
            shutil.rmtree(inside, ignore_errors=True)
            inside.mkdir()
            last = min(case + CASES_PER_PROCESS, args.cases)
            case = run_worker(args, case, last, end, inside, tally)
            if {path.name for path in Path(folder).iterdir()} != {"inside"}:
                tally.findings["any", "wrote outside its folder"] += 1
    for (kind, outcome), count in sorted(tally.outcomes.items()):
        print(f"{kind:<12} {outcome:<16} {count:8,}")
    for kind in sorted(tally.seconds):
        print(f"{kind:<12} {tally.line(kind)}")
    print(f"{case:,} cases, seed {args.seed}, {sum(tally.findings.values())} findings")
    for (kind, what), count in tally.findings.items():
        print(f"FINDING {kind}, {count} times: {what}")
    return 1 if tally.findings else 0


def run_worker(args, case: int, last: int, end: float, inside: Path, tally: Tally) -> int:
    """Run cases in a process of their own; return the number of the next one."""
    command = [sys.executable, __file__, "--seed", str(args.seed), "--worker", str(case), str(last)]
    if args.keep is not None:
        command += ["--keep", str(args.keep.resolve())]
    process = subprocess.Popen(
        command, cwd=inside, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    kind, number, stopped = "start", case - 1, False
    while told_or_busy(process):
        line = process.stdout.readline()
        if not line:
            break
        what, *rest = line.rstrip("\n").split("\t")
        if what == "begin":
            number, kind = int(rest[0]), rest[1]
        elif what == "end":
            tally.outcomes[kind, rest[0]] += 1
        else:
            wrong = tally.cost(kind, *map(float, rest)) if what == "cost" else rest[0]
            if wrong:
                tally.findings[kind, wrong] += 1
                print(f"case {number}, {kind}: {wrong}", flush=True)
        if time.monotonic() > end and what == "end":
            stopped = True
            break
    process.kill()
    code = process.wait()
    if not stopped and number + 1 < last:
        death = "hung" if code == -signal.SIGKILL else f"died, code {code}"
        keep(args.keep, inside / "case", number, kind)
        tally.findings[kind, death] += 1
        print(f"case {number}, {kind}: {death}", flush=True)
    return number + 1


def told_or_busy(process: subprocess.Popen[str]) -> bool:
    """Wait until a worker tells something; False if it is silent without being at work.

    Its own timer ends one that is at work for too long.
    """
    while not select.select([process.stdout], [], [], WALL_SECONDS)[0]:
        status = Path(f"/proc/{process.pid}/stat").read_text()
        if status.rpartition(")")[2].split()[0] not in ("R", "T"):
            return False
    return True


def keep(folder: Path | None, case: Path, number: int, kind: str) -> None:
    if folder is not None and case.exists():
        shutil.copytree(case, folder / f"{number}-{kind}", dirs_exist_ok=True)


def work(seed: int, first: int, last: int, kept: Path | None) -> int:
    """Do cases `first` … `last` − 1 in the current folder, telling of each on stdout."""
    from fuzzed_formats import FORMATS, damaged

    from smsr_plugin.machine import peak_mib, reset_peak, resident_mib

    tell = os.fdopen(os.dup(1), "w", buffering=1)  # readers may write to stdout as well
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ["SMSR_MAX_PIXELS"] = "1000000"
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, whatever it does
    names = sorted(FORMATS)
    for number in range(first, last):
        name = names[number % len(names)]
        form = FORMATS[name]
        files = damaged(form.files, f"{seed}:{number}")
        shutil.rmtree("case", ignore_errors=True)
        Path("case").mkdir()
        for file, content in files.items():
            Path("case", file).write_bytes(content)
        tell.write(f"begin\t{number}\t{name}\n")
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        before = (resident_mib() or 0) if reset_peak() else None
        start = time.process_time()
        try:
            form.read(Path("case"))
            outcome = "end\tread"
        except form.errors as error:
            outcome = "end\trefused" if "\n" not in str(error) else "finding\tmore than one line"
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            outcome = f"finding\t{type(error).__name__} at {where}: {' '.join(str(error).split())}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        seconds = time.process_time() - start
        taken = 0 if before is None else (peak_mib() or 0) - before
        tell.write(f"cost\t{seconds}\t{max(0, taken)}\n")
        if seconds > SECONDS or taken > MEBIBYTES:
            keep(kept, Path("case"), number, name)
        made = {str(path) for place in (".", "case") for path in Path(place).iterdir()}
        if made := made - {"case", *(f"case/{file}" for file in files)}:
            keep(kept, Path("case"), number, name)
            tell.write(f"finding\tmade {made}\n")
        if outcome.startswith("finding"):
            keep(kept, Path("case"), number, name)
        tell.write(f"{outcome}\n")
        if outcome.startswith("finding"):
            tell.write("end\tfinding\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
