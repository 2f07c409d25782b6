//! Clusters, as Python asks for them.

use std::path::{Path, PathBuf};

use millstream_engine::cluster::{
    Address, ClusterId, Fingerprint, Limits, ProcessIndex, Secret, Security, Settings, make_tls,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::callables::describe;
use crate::error::cluster_error;
use crate::time::span;

/// The part of this process in the cluster that `addresses` and the rest describe; none if it is
/// the only one.
pub(crate) fn cluster(
    flow: &Bound<'_, PyAny>,
    workers: usize,
    addresses: Option<&Bound<'_, PyAny>>,
    process_id: Option<&Bound<'_, PyAny>>,
    config: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<Settings>> {
    let py = flow.py();
    let addresses = match addresses {
        None => Vec::new(),
        Some(addresses) => addresses_of(addresses)?,
    };
    let process = process_of(process_id, addresses.len())?;
    if addresses.len() < 2 {
        return Ok(None);
    }
    let fingerprint: u64 = py
        .import("millstream._fingerprint")?
        .call_method1("fingerprint", (flow,))?
        .extract()?;
    let mut settings = Settings::new(
        process,
        addresses,
        u32::try_from(workers)?,
        ClusterId(flow.getattr("flow_id")?.extract()?),
        Fingerprint(fingerprint),
    );
    if let Some(config) = config {
        configure(&mut settings, config)?;
    }
    Ok(Some(settings))
}

/// What a `ClusterConfig` says.
fn configure(settings: &mut Settings, config: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = config.py();
    let path = |name: &str| config.getattr(name)?.extract::<Option<PathBuf>>();
    settings.insecure = config.getattr("insecure")?.extract()?;
    settings.limits = Limits {
        deadline: span(&config.getattr("join_timeout")?, "join_timeout")?,
        silence: span(&config.getattr("peer_timeout")?, "peer_timeout")?,
        ..Limits::default()
    };
    if let Some(file) = path("secret_file")? {
        let secret = Secret::read(&file).map_err(|error| cluster_error(py, &error.into()))?;
        settings.security = Security::Secret(secret);
    } else if let Some(directory) = path("tls_dir")? {
        let process = settings.process;
        settings.security = Security::Tls {
            ca: directory.join("ca.pem"),
            certificate: directory.join(format!("process-{process}.pem")),
            key: directory.join(format!("process-{process}-key.pem")),
        };
    }
    Ok(())
}

fn addresses_of(addresses: &Bound<'_, PyAny>) -> PyResult<Vec<Address>> {
    if addresses.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(
            "`addresses` must be a list of `host:port`; got one `str`",
        ));
    }
    addresses
        .try_iter()?
        .map(|address| {
            let text: String = address?.extract()?;
            text.parse()
                .map_err(|error| PyValueError::new_err(format!("{error}")))
        })
        .collect()
}

fn process_of(process_id: Option<&Bound<'_, PyAny>>, count: usize) -> PyResult<ProcessIndex> {
    let Some(process_id) = process_id else {
        return Ok(ProcessIndex(0));
    };
    let index = process_id.extract::<u32>().ok();
    match index.filter(|index| (*index as usize) < count.max(1)) {
        Some(index) => Ok(ProcessIndex(index)),
        None if count < 2 => Err(PyValueError::new_err(format!(
            "without `addresses` there is only process 0; got {}",
            describe(process_id)
        ))),
        None => Err(PyValueError::new_err(format!(
            "with {count} addresses, the process is one of 0 to {}; got {}",
            count - 1,
            describe(process_id)
        ))),
    }
}

/// Makes an authority, and certificates for so many processes, in a new directory.
#[pyfunction]
pub(crate) fn init_tls(py: Python<'_>, directory: PathBuf, processes: u32) -> PyResult<()> {
    let make = |directory: &Path| make_tls(directory, processes);
    py.detach(|| make(&directory))
        .map_err(|error| cluster_error(py, &error.into()))
}
