"""Certificates as an authority makes them that knows nothing of us: by `openssl`.

Unlike those of `python -m millstream.cluster init-tls`, they can be over already.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

CONFIG = """
[ca]
default_ca = authority
[authority]
database = index
new_certs_dir = .
rand_serial = yes
certificate = ca.pem
private_key = ca-key.pem
default_md = default
policy = policy
[policy]
commonName = supplied
[req]
prompt = no
distinguished_name = name
x509_extensions = of_authority
req_extensions = of_process
[name]
commonName = ${ENV::NAME}
[of_authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[of_process]
subjectAltName = DNS:${ENV::NAME}
extendedKeyUsage = serverAuth, clientAuth
"""

NEW_KEY = ("-newkey", "ed25519", "-nodes")
OVER = ("-startdate", "20240101000000Z", "-enddate", "20240201000000Z")
NOT_YET = ("-startdate", "20480101000000Z", "-enddate", "20490101000000Z")
VALID = ("-startdate", "20240101000000Z", "-enddate", "20490101000000Z")


class Authority:
    """Makes certificates in a folder, with the names that `--tls` looks for."""

    def __init__(self, folder):
        if shutil.which("openssl") is None:
            pytest.fail("`openssl` is not installed")
        folder.mkdir()
        self.folder = folder
        (folder / "config").write_text(CONFIG)
        (folder / "index").touch()
        whole = ("-keyout", "ca-key.pem", "-out", "ca.pem")
        self._openssl("req", "-x509", *NEW_KEY, *whole, name="authority")

    def certify(self, number, dates=VALID):
        """Make the certificate of a process."""
        name = f"process-{number}"
        domain = f"{name}.millstream"
        asked = ("-keyout", f"{name}-key.pem", "-out", "request")
        self._openssl("req", "-new", *NEW_KEY, *asked, name=domain)
        signed = ("-in", "request", "-out", f"{name}.pem", "-extensions", "of_process")
        self._openssl("ca", "-batch", "-notext", *signed, *dates, name=domain)

    def _openssl(self, command, *args, name):
        subprocess.run(
            ["openssl", command, "-config", "config", *args],  # noqa: S607
            cwd=self.folder,
            env={**os.environ, "NAME": name},
            check=True,
            capture_output=True,
        )
