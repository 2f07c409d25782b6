//! How the processes of a cluster find, trust and watch each other.
//!
//! A process says in [`Settings`] who it is and where all are, and [`join`]s. Once all are there,
//! it has [`Joined`]:
//!
//! - `data`: for each peer a [`Guarded`] stream, which timely runs over. Whatever happens to the
//!   connection, timely sees whole frames and an orderly end.
//! - `severer`: a [`Severer`], which ends all of these streams at once.
//! - `control`: a [`Control`], which is started with a function that is told of every
//!   [`PeerEvent`]: a message, a peer that finished, a peer that is lost. The [`ControlHandle`]
//!   sends messages, and says goodbye in the end.
//!
//! # Trust
//!
//! A cluster on a network needs [`Security`]: certificates ([`init_tls`] makes some), or a secret
//! that all share. Either is mutual TLS 1.3, and nothing else of a connection is looked at before
//! it is through, but whether it begins as a greeting without TLS does, to say so. Without security, only addresses of the own host are accepted, unless the user
//! says that the network is trusted ([`check_exposure`]).
//!
//! Of a stranger, a greeting of fixed size is read, and nothing that it says makes this process
//! allocate. The forms of everything that goes over a connection are in [`wire`], as functions of
//! bytes.
//!
//! # Failure
//!
//! Membership is fixed: who is lost does not come back, and those who remain are expected to end.
//! A peer is lost when its connection ends without a goodbye, or nothing comes over it for
//! [`Limits::silence`]. Threads of this crate show that a process is alive, however busy the
//! others are.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use millstream_transport::{
//!     Address, ClusterId, Fingerprint, PeerEventKind, ProcessIndex, Settings, Wish, join,
//! };
//!
//! let directory = tempfile::tempdir()?;
//! let address = |process| Address::Unix(directory.path().join(format!("{process}.sock")));
//! let addresses = vec![address(0), address(1)];
//! let run = |process| {
//!     let cluster = ClusterId("wages".to_owned());
//!     let addresses = addresses.clone();
//!     let settings =
//!         Settings::new(ProcessIndex(process), addresses, 1, cluster, Fingerprint(7));
//!     std::thread::spawn(move || {
//!         let joined = join(&settings, &|| Wish::Join, &|_| ()).unwrap();
//!         let (sender, events) = std::sync::mpsc::channel();
//!         let control = joined.control.start(move |event| {
//!             let _ = sender.send(event.kind);
//!         });
//!         let control = control.unwrap();
//!         control.send_all(format!("from {process}").as_bytes()).unwrap();
//!         assert!(control.finish(Duration::from_secs(5)).is_empty());
//!         events.iter().take(2).collect::<Vec<_>>()
//!     })
//! };
//! let (zero, one) = (run(0), run(1));
//! let message = |text: &str| PeerEventKind::Message(text.as_bytes().to_vec());
//! assert_eq!(zero.join().unwrap(), [message("from 1"), PeerEventKind::Finished]);
//! assert_eq!(one.join().unwrap(), [message("from 0"), PeerEventKind::Finished]);
//! # Ok::<(), std::io::Error>(())
//! ```

mod address;
mod channel;
mod clock;
mod control;
mod error;
mod guard;
mod identity;
mod join;
mod listener;
mod loss;
mod security;
mod settings;
mod socket;
pub mod wire;

pub use address::{Address, NoAddress};
pub use control::{Control, ControlHandle, PeerEvent, PeerEventKind, SendError};
pub use error::{Absence, Delay, JoinError, Missing, Refusal, Refused};
pub use guard::{Guarded, Severer, Traffic};
pub use identity::{ClusterId, Fingerprint, ProcessIndex, RunId};
pub use join::{Joined, Wish, join};
pub use loss::Loss;
pub use security::{
    CLUSTER_NAME, Exposed, Secret, Security, SecurityError, check_exposure, init_tls, process_name,
};
pub use settings::{Limits, Settings};
