"""Measurements: ``make bench``.

Each run is a process of its own, which makes its data, then measures its own CPU
seconds, wall-clock seconds and memory around the work, and prints them as JSON with
what came out. A workload is one module here, or one constant of it: how its data is
made, the dataflow that every engine runs, the loop that one would write by hand for
the stream, calling the same functions, and where it is natural the same on columns.

Before anything is timed, every engine runs once on the same items, and the digests of
all results must be equal; that is the warm-up, too. Then the engines take turns, so
that a noisy machine is noisy for all of them; medians count, and of those only the
ratios. Slow engines get fewer items: figures are per item.
"""
