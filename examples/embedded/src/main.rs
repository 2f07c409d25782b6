//! A Rust program that starts a Python interpreter and runs a dataflow in it.
//!
//! Rust builds the readings and converts each of them; Python says what happens to
//! them; the result comes back as Rust values. `VIRTUAL_ENV` names the environment
//! that millstream is installed in. Readings given as `SENSOR=NUMBER` take the place
//! of the built-in ones.

use std::env;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::ffi::c_str;
use pyo3::prelude::*;

const FLOW: &CStr = c_str!(include_str!("../flow.py"));

/// The largest number that the sensors' 12 bits can hold.
const LARGEST: i64 = 4095;

const USAGE: u8 = 2;
const PYTHON_ERROR: u8 = 70;

type Reading = (String, i64);
type Temperature = (String, f64);

fn main() -> ExitCode {
    let readings = match readings(env::args().skip(1)) {
        Ok(readings) => readings,
        Err(why) => {
            eprintln!("embedded: {why}");
            return ExitCode::from(USAGE);
        }
    };
    // The first `attach` starts the interpreter.
    Python::attach(|py| match warmest(py, readings) {
        Ok(temperatures) => {
            for (sensor, celsius) in temperatures {
                println!("{sensor}: {celsius:.1} °C");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            error.print(py);
            ExitCode::from(PYTHON_ERROR)
        }
    })
}

fn readings(arguments: impl Iterator<Item = String>) -> Result<Vec<Reading>, String> {
    let given: Vec<Reading> = arguments
        .map(|argument| reading(&argument))
        .collect::<Result<_, _>>()?;
    if given.is_empty() {
        let built_in = [
            ("cellar", 1220),
            ("roof", 1480),
            ("cellar", 1241),
            ("roof", 1391),
        ];
        return Ok(built_in.map(|(sensor, raw)| (sensor.into(), raw)).into());
    }
    Ok(given)
}

fn reading(argument: &str) -> Result<Reading, String> {
    argument
        .split_once('=')
        .and_then(|(sensor, raw)| Some((sensor.into(), raw.parse().ok()?)))
        .ok_or_else(|| format!("a reading must be `SENSOR=NUMBER`; got `{argument}`"))
}

/// Calls the Python function of the same name with Rust values and a Rust function.
fn warmest(py: Python<'_>, readings: Vec<Reading>) -> PyResult<Vec<Temperature>> {
    add_site_packages(py)?;
    let flow = PyModule::from_code(py, FLOW, c"examples/embedded/flow.py", c"flow")?;
    let to_celsius = wrap_pyfunction!(to_celsius, py)?;
    flow.getattr("warmest")?
        .call1((readings, to_celsius))?
        .extract()
}

/// What the dataflow calls for every reading. An `Err` becomes a Python exception.
#[pyfunction]
fn to_celsius(raw: i64) -> PyResult<f64> {
    if !(0..=LARGEST).contains(&raw) {
        return Err(PyValueError::new_err(format!(
            "a raw reading must be from 0 to {LARGEST}; got {raw}"
        )));
    }
    #[expect(clippy::cast_precision_loss, reason = "12 bits are exact in a float")]
    let raw = raw as f64;
    Ok(raw / 20.0 - 50.0)
}

/// An embedded interpreter knows of no virtual environment; this tells it.
///
/// `site.addsitedir` also follows the `.pth` files there, by which a project that is
/// being worked on is installed.
fn add_site_packages(py: Python<'_>) -> PyResult<()> {
    let folder = site_packages(py)?;
    py.import("site")?.call_method1("addsitedir", (folder,))?;
    Ok(())
}

fn site_packages(py: Python<'_>) -> PyResult<PathBuf> {
    let environment = env::var_os("VIRTUAL_ENV").ok_or_else(|| {
        PyRuntimeError::new_err(
            "`VIRTUAL_ENV` is not set; set it to the environment that millstream is installed in",
        )
    })?;
    let version = py.version_info();
    let python = format!("python{}.{}", version.major, version.minor);
    let folder = Path::new(&environment)
        .join("lib")
        .join(&python)
        .join("site-packages");
    if !folder.is_dir() {
        return Err(PyRuntimeError::new_err(format!(
            "`VIRTUAL_ENV` names an environment without `{}`; this program is linked to {python}, \
             so the environment must be of that version",
            folder.display()
        )));
    }
    Ok(folder)
}
