"""Processes that know each other by certificates."""

from __future__ import annotations

import pytest
from millstream.cluster import ClusterConfig, ClusterError, init_tls

from tests.cluster.authority import NOT_YET, OVER, VALID, Authority
from tests.cluster.conftest import distrust, endings, missed
from tests.cluster.flows import EXPECTED, SUMS, lines_in
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
        ended = endings([*first, *second], timeout=2 + 6)
    assert ended == distrust(cluster, 2)
    assert not lines_in(cluster.folder)


def unusable(number, reason):
    """How a process ends whose own certificate can't be used."""
    name = f"process-{number}"
    message = (
        f"the certificate `tls/{name}.pem` can't be used: {reason}; each process needs "
        "a certificate that the authority in `tls/ca.pem` signed, for "
        f"`{name}.millstream` or `millstream-cluster`"
    )
    return 64, f"millstream: {message}\n"


def processes_of_an_authority(cluster, *dates):
    authority = Authority(cluster.folder / "tls")
    for number, each in enumerate(dates):
        authority.certify(number, each)
    options = ("--tls", "tls", "--join-timeout", "2")
    return cluster.started(len(dates), cluster.write(SUMS), *options)


def test_certificates_that_were_made_elsewhere(cluster):
    with processes_of_an_authority(cluster, VALID, VALID) as processes:
        assert endings(processes) == [(0, "")] * 2
    assert lines_in(cluster.folder) == EXPECTED


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        pytest.param(OVER, "it has expired", id="expired"),
        pytest.param(NOT_YET, "it is not valid yet", id="not-yet"),
    ],
)
def test_certificate_at_another_time_is_refused(cluster, number, dates, reason):
    """The process says so before it joins, so that the other one misses it."""
    of_each = [VALID, VALID]
    of_each[number] = dates
    with processes_of_an_authority(cluster, *of_each) as processes:
        ended = endings(processes, timeout=2 + 6)
    heard = ["can't reach it: nobody listens there", "it has not come"]
    address = cluster.address(number)
    missing = missed(2, f"process {number} at {address} ({heard[number]})")
    assert ended[number] == unusable(number, reason)
    assert ended[1 - number] == (75, missing)
    assert not lines_in(cluster.folder)


def test_expired_certificates_of_launched_processes(cluster):
    """Each of them says so, or has been stopped since the other one did."""
    authority = Authority(cluster.folder / "tls")
    for number in range(2):
        authority.certify(number, OVER)
    flow = cluster.write(SUMS)
    command = ("-m", "millstream.run", flow, "-p", "2", "--tls", "tls")
    code, out, err = finished(*command, folder=cluster.folder)
    assert (code, out) == (64, "")
    said = {unusable(number, "it has expired")[1] for number in range(2)}
    assert err
    assert set(err.splitlines(keepends=True)) <= said
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
