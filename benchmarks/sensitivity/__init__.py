"""How good what edgeprune does to a net is, beside its peers: ``make bench-sensitivity``.

A list of cells (task, method, amount, seed). Each is a few minutes on two cores, writes its own
file under ``benchmarks/results/sensitivity/`` when it is done, and is skipped while what it was
made from is unchanged; so an interrupted night goes on where it stopped. ``docs/sensitivity.md``
and its plots are made from those files alone.

    python -m benchmarks.sensitivity             # all that is not there yet, then the page
    python -m benchmarks.sensitivity --quick     # one seed, the small nets
    python -m benchmarks.sensitivity --list      # the cells, and which are done
    python -m benchmarks.sensitivity --only 'lenet-300-100/*'
"""
