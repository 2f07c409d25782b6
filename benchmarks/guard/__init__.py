"""Guards the cost of an item against growing unnoticed: ``make bench-guard``.

Seconds differ from run to run and from machine to machine; instructions hardly do. So
some workloads run under callgrind with N items and with twice as many. The difference
over N is what an item costs in instructions, without what a run costs once. It is
compared with ``baseline.json``, which ``make guard-baseline`` writes anew.

The interpreter is part of what is counted. How it was built makes a difference, so a
plain loop is counted too: as much as that one costs more than it did, the others may.
Another minor version of Python has another bytecode: it is not compared.
"""
