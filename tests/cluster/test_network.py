"""Processes of two hosts, and a network between them that fails.

Each host is a network namespace of its own, which takes root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager

import pytest

from tests.cluster.conftest import GONE, HERE, UNHEARD, assert_lost, endings
from tests.cluster.flows import (
    ENDLESS,
    EXPECTED,
    IDLE,
    SUMS,
    lines_in,
    wait_for_output,
)
from tests.processes import started

ADDRESSES = "10.213.7.1:2101;10.213.7.2:2101"


NO_WAY = r"connection broken: Invalid argument \(os error 22\)"
"""What a host says at last whose own rules let all get lost that it sends."""


def sh(command):
    ran = subprocess.run(command.split(), check=True, capture_output=True, text=True)
    return ran.stdout


class Network:
    """Two hosts with a cable between them."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.hosts = [f"millstream-{os.getpid()}-{number}" for number in range(2)]

    def __enter__(self):
        for host in self.hosts:
            sh(f"ip netns add {host}")
        one, other = self.hosts
        sh(f"ip link add cable netns {one} type veth peer name cable netns {other}")
        for number, host in enumerate(self.hosts, start=1):
            sh(f"ip -n {host} address add 10.213.7.{number}/24 dev cable")
            sh(f"ip -n {host} link set cable up")
            sh(f"ip -n {host} link set lo up")
        return self

    def __exit__(self, *_):
        for host in self.hosts:
            sh(f"ip netns delete {host}")

    @contextmanager
    def started(self, flow, *options):
        """A process on each host."""
        with ExitStack() as stack:
            yield [
                stack.enter_context(
                    started(
                        *("-m", "millstream.run", flow, "-i", str(number)),
                        *("-a", ADDRESSES, *options),
                        folder=self.cluster.folder,
                        command=("ip", "netns", "exec", host),
                        PYTHONPATH=str(HERE),
                    )
                )
                for number, host in enumerate(self.hosts)
            ]

    def cut(self, host):
        """Let what a host sends get lost on the way, without a word."""
        other = f"10.213.7.{2 - host}"
        nobody = f"{other} lladdr 02:00:00:00:00:99"
        sh(f"ip -n {self.hosts[host]} neigh replace {nobody} dev cable nud permanent")

    def ports(self):
        """Of the second host, the ports that its connections to the first have."""
        command = f"ip netns exec {self.hosts[1]} ss -Htn state established"
        lines = sh(command).splitlines()
        return [line.split()[2].rpartition(":")[2] for line in lines]

    def cut_connection(self, host, port):
        """Let what a host sends by one of them get lost."""
        end = ("dport", "sport")[host]
        where = f"ip -n {self.hosts[host]} rule add ipproto tcp"
        sh(f"{where} {end} {port} pref 1 blackhole")


@pytest.fixture
def network(cluster):
    if shutil.which("ip") is None:
        pytest.fail("`ip` is not installed; `make test` does that")
    if os.geteuid() != 0 and "CI" not in os.environ:
        pytest.skip("namespaces of networks take root")
    with Network(cluster) as network:
        yield network


@pytest.fixture
def secret(cluster):
    path = cluster.folder / "secret"
    path.write_text("a secret of two hosts")
    return ("--secret-file", str(path))


def test_hosts_share_the_work(cluster, network, secret):
    with network.started(cluster.write(SUMS), *secret) as processes:
        assert endings(processes) == [(0, "")] * 2
    assert lines_in(cluster.folder) == EXPECTED


@pytest.mark.parametrize(
    "hosts", [[0, 1], [0], [1]], ids=["both-ways", "from-first", "from-second"]
)
def test_cut_off_process_is_lost(cluster, network, secret, hosts):
    flow = cluster.write(ENDLESS)
    with network.started(flow, *secret, "--peer-timeout", "2") as processes:
        wait_for_output(cluster, processes)
        for host in hosts:
            network.cut(host)
        begun = time.monotonic()
        ended = endings(processes)
    assert time.monotonic() - begun < 2 + 6
    for number, ending in enumerate(ended):
        assert_lost(ending, 1 - number, UNHEARD)


@pytest.mark.parametrize("flow", [ENDLESS, IDLE], ids=["busy", "idle"])
@pytest.mark.parametrize("hosts", [[0, 1], [0], [1]], ids=["both", "first", "second"])
@pytest.mark.parametrize("number", range(2))
def test_one_connection_that_is_cut_is_noticed(
    cluster, network, secret, *, flow, hosts, number
):
    """There are two, for data and for all else; the other one goes on."""
    flow = cluster.write(flow)
    with network.started(flow, *secret, "--peer-timeout", "2") as processes:
        wait_for_output(cluster, processes)
        ports = network.ports()
        assert len(ports) == 2
        for host in hosts:
            network.cut_connection(host, ports[number])
        begun = time.monotonic()
        ended = endings(processes)
    assert time.monotonic() - begun < 2 + 6
    for process, ending in enumerate(ended):
        assert_lost(ending, 1 - process, f"{UNHEARD}|{NO_WAY}|{GONE}")


def test_network_without_a_secret_is_refused(cluster, network):
    with network.started(cluster.write(SUMS)) as processes:
        ended = endings(processes)
    assert [code for code, _ in ended] == [64, 64]
    assert not lines_in(cluster.folder)
