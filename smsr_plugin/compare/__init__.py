"""Networks and engines against each other: quality, cost, time and memory.

The parent process starts one worker process for each engine, lets them take turns run by run, and
gathers times, peak memory and output differences. How the figures are taken is told in
docs/benchmarks/README.md and, in detail, where each is taken.

No inference library is needed to import this package: each is imported by its own workers only,
and one that is absent or fails is reported as not available.
"""
