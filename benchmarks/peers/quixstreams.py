from benchmarks.peers import Prepare

JOBS: dict[str, Prepare] = {}
