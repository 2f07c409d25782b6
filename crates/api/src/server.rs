//! The server: a thread of its own, with a runtime of its own.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::address::Address;
use crate::exposition::{Family, render};

/// What there is to show.
pub trait Source: Send + Sync + 'static {
    /// All figures.
    fn families(&self) -> Vec<Family>;

    /// Figures of somebody else, written down already. May take its time.
    fn others(&self) -> String;

    /// The steps, as JSON.
    fn dataflow(&self) -> String;

    /// Whether all workers run.
    fn readiness(&self) -> Readiness;
}

/// Whether all workers run, and why, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether they do.
    pub is_ready: bool,
    /// Why, in a few words.
    pub reason: &'static str,
}

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is a server already.
    #[error(
        "can't serve the HTTP API on `{0}`: another program uses that port; give another one, or 0 \
         for any that is free"
    )]
    Taken(Address),
    /// The address is of no use for another reason.
    #[error(
        "can't serve the HTTP API on `{address}`: {error}; give an address of this host, such as \
         127.0.0.1, or 0.0.0.0 for all of them"
    )]
    Unusable {
        /// The address.
        address: Address,
        /// The reason.
        error: io::Error,
    },
}

/// How long answers may take that are on their way when the server is to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How many requests for metrics are answered at once; others wait.
const AT_ONCE: usize = 2;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A server that runs; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It hears that the sender is gone.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there is not ours.
            let _ = thread.join();
        }
    }
}

/// Serves what a source gives, from when this returns.
pub fn serve(address: &Address, source: Arc<dyn Source>) -> Result<Server, ServeError> {
    let unusable = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => ServeError::Taken(address.clone()),
        _ => ServeError::Unusable {
            address: address.clone(),
            error,
        },
    };
    let listener = listen(address).map_err(unusable)?;
    let bound = listener.local_addr().map_err(unusable)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(AT_ONCE)
        .build()
        .map_err(unusable)?;
    let (stop, stopped) = oneshot::channel();
    let thread = thread::Builder::new()
        .name("millstream-api".to_owned())
        .spawn(move || run(runtime, listener, source, stopped))
        .map_err(unusable)?;
    Ok(Server {
        address: bound,
        stop: Some(stop),
        thread: Some(thread),
    })
}

fn listen(address: &Address) -> io::Result<TcpListener> {
    // A name may stand for several addresses: of these, the first is meant, and no other that
    // happens to be free.
    let mut resolved = (address.host(), address.port()).to_socket_addrs()?;
    let first = resolved
        .next()
        .ok_or_else(|| io::Error::other("the host has no address"))?;
    let listener = TcpListener::bind(first)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn run(
    runtime: Runtime,
    listener: TcpListener,
    source: Arc<dyn Source>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            return;
        };
        let (begin_end, ends) = oneshot::channel::<()>();
        let serving = axum::serve(listener, router(source)).with_graceful_shutdown(async {
            let _ = ends.await;
        });
        let served = tokio::spawn(serving.into_future());
        let _ = stopped.await;
        drop(begin_end);
        let _ = tokio::time::timeout(LAST_ANSWERS, served).await;
    });
    runtime.shutdown_timeout(LAST_ANSWERS);
}

type Shown = State<Arc<dyn Source>>;

fn router(source: Arc<dyn Source>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/dataflow", get(dataflow))
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
        .with_state(source)
}

async fn metrics(State(source): Shown) -> Response {
    // Whoever gives the figures may have to wait for the interpreter; health must not.
    let text = tokio::task::spawn_blocking(move || {
        let others = source.others();
        render(&source.families(), &others)
    });
    if let Ok(text) = text.await {
        return answer(StatusCode::OK, TEXT, text);
    }
    let body = json!({ "error": "the metrics can't be read" });
    answer(StatusCode::INTERNAL_SERVER_ERROR, JSON, body.to_string())
}

async fn live() -> Response {
    let body = json!({ "live": true });
    answer(StatusCode::OK, JSON, body.to_string())
}

async fn ready(State(source): Shown) -> Response {
    let Readiness { is_ready, reason } = source.readiness();
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({ "ready": is_ready, "reason": reason });
    answer(status, JSON, body.to_string())
}

async fn dataflow(State(source): Shown) -> Response {
    answer(StatusCode::OK, JSON, source.dataflow())
}

async fn nothing() -> Response {
    let body = json!({ "error": "there is nothing here" });
    answer(StatusCode::NOT_FOUND, JSON, body.to_string())
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::exposition::{Kind, Sample, Value};

    struct Fixed;

    impl Source for Fixed {
        fn families(&self) -> Vec<Family> {
            vec![Family {
                name: "items_total",
                help: "Items.",
                kind: Kind::Counter,
                samples: vec![Sample {
                    labels: Vec::new(),
                    value: Value::Count(3),
                }],
            }]
        }

        fn others(&self) -> String {
            "mine 1\n".to_owned()
        }

        fn dataflow(&self) -> String {
            "{}".to_owned()
        }

        fn readiness(&self) -> Readiness {
            Readiness {
                is_ready: false,
                reason: "stopping",
            }
        }
    }

    fn started() -> Server {
        serve(&"0".parse().unwrap(), Arc::new(Fixed)).unwrap()
    }

    fn ask(server: &Server, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        write!(
            stream,
            "{request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        (status.to_owned(), body.to_owned())
    }

    #[test]
    fn each_path_gives_what_the_source_has() {
        let server = started();
        let got = |request| ask(&server, request);
        let (status, body) = got("GET /metrics");
        assert_eq!(status, "200");
        assert!(body.ends_with("items_total 3\nmine 1\n"), "{body}");
        assert_eq!(got("GET /dataflow"), ("200".into(), "{}".into()));
        assert_eq!(
            got("GET /health/live"),
            ("200".into(), r#"{"live":true}"#.into())
        );
        let body = r#"{"ready":false,"reason":"stopping"}"#;
        assert_eq!(got("GET /health/ready"), ("503".into(), body.into()));
    }

    #[test]
    fn anything_else_is_not_found() {
        let server = started();
        for request in [
            "GET /",
            "GET /metrics/",
            "POST /metrics",
            "DELETE /dataflow",
        ] {
            let (status, body) = ask(&server, request);
            assert_eq!(
                (status.as_str(), body.as_str()),
                ("404", r#"{"error":"there is nothing here"}"#),
                "{request}"
            );
        }
    }

    #[test]
    fn taken_port_is_refused_in_one_sentence() {
        let server = started();
        let address: Address = server.address().port().to_string().parse().unwrap();
        let error = serve(&address, Arc::new(Fixed)).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "can't serve the HTTP API on `{address}`: another program uses that port; give \
                 another one, or 0 for any that is free"
            )
        );
    }

    #[test]
    fn port_is_free_when_the_server_is_dropped() {
        let server = started();
        let address = server.address();
        drop(server);
        assert!(TcpStream::connect(address).is_err());
    }
}
