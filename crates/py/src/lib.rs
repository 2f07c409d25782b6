//! The extension module `millstream._engine`: where Python meets the engine.
//!
//! Python objects become items, callables and connectors become the engine's
//! logic, the engine's errors become exceptions. This is the only crate that knows
//! Python, and the only one with `unsafe` code.

mod advice;
mod callables;
mod cluster;
mod error;
mod families;
mod garbage;
mod getter;
mod host;
mod key;
mod log;
mod logic;
mod native;
mod packed;
mod plan;
mod recovery;
mod rows;
mod run;
mod saved;
mod thread;
mod time;
mod tracing;
mod watch;
mod worker_threads;

use pyo3::prelude::*;

/// The engine of millstream; use the public modules of the package instead.
#[pymodule(name = "_engine", gil_used = false)]
mod engine {
    use pyo3::exceptions::PyRuntimeWarning;
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::cluster::init_tls;
    #[pymodule_export]
    use crate::recovery::{
        backup_store, export_store, import_store, init_store, inspect_store, repartition_store,
        verify_store,
    };
    #[pymodule_export]
    use crate::run::{cli_main, cluster_main, drain, physical, run_main};
    #[pymodule_export]
    use crate::watch::{Watch, api_address};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        if cfg!(debug_assertions) {
            PyErr::warn(
                module.py(),
                &module.py().get_type::<PyRuntimeWarning>(),
                c"this is a debug build of millstream, many times slower than a release build; don't measure it",
                1,
            )?;
        }
        Ok(())
    }
}
