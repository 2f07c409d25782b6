"""Processes that know each other by certificates."""

from __future__ import annotations

import pytest
from millstream.cluster import ClusterConfig, ClusterError, init_tls

from tests.cluster.conftest import endings
from tests.cluster.test_processes import EXPECTED, SUMS, lines_in
from tests.processes import finished


def made(cluster, name, count="2"):
    """Certificates, as the command makes them."""
    folder = cluster.folder / name
    code, _, err = finished(
        "-m",
        "millstream.cluster",
        "init-tls",
        str(folder),
        count,
        folder=cluster.folder,
    )
    assert (code, err) == (0, "")
    return folder


def test_certificates_are_for_their_owner_only(cluster):
    folder = made(cluster, "tls", "3")
    names = sorted(path.name for path in folder.iterdir())
    processes = [f"process-{n}{kind}.pem" for n in range(3) for kind in ("-key", "")]
    assert names == sorted(["ca.pem", "ca-key.pem", *processes])
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_processes_with_certificates_run(cluster):
    folder = made(cluster, "tls")
    flow = cluster.write(SUMS)
    with cluster.started(2, flow, "--tls", str(folder)) as processes:
        assert endings(processes) == [(0, "")] * 2
    assert lines_in(cluster.folder) == EXPECTED


def test_certificates_of_another_authority_are_refused(cluster):
    ours, others = made(cluster, "ours"), made(cluster, "others")
    flow = cluster.write(SUMS)
    options = ("--join-timeout", "2", "--tls")
    with (
        cluster.started(2, flow, *options, str(ours), only=[0]) as first,
        cluster.started(2, flow, *options, str(others), only=[1]) as second,
    ):
        ended = endings([*first, *second])
    assert all(code != 0 and err.count("\n") == 1 for code, err in ended), ended
    assert "certificate" in ended[1][1]
    assert not lines_in(cluster.folder)


def test_missing_certificates_are_named(cluster):
    flow = cluster.write(SUMS)
    with cluster.started(2, flow, "--tls", "nowhere", only=[0]) as processes:
        ((code, err),) = endings(processes)
    assert code == 64
    assert "nowhere/ca.pem" in err


def test_directory_that_is_taken_is_refused(tmp_path):
    (tmp_path / "something").touch()
    with pytest.raises(ClusterError) as raised:
        init_tls(tmp_path, 2)
    assert str(tmp_path) in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["something"]


def test_either_a_secret_or_certificates():
    with pytest.raises(ValueError, match="give either `secret_file` or `tls_dir`"):
        ClusterConfig(secret_file="a", tls_dir="b")  # noqa: S106 # A file name.
