"""Measurements: ``make bench``.

Each run is a process of its own, which makes its data, then measures its own CPU
seconds, wall-clock seconds and peak memory around the run of the dataflow, and
prints them as JSON with a digest of the result. Engines take turns, so that a noisy
machine is noisy for all of them; medians count, and of those only the ratios.
"""
