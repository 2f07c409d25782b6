//! How a file is opened: so that it is durable, and so that a file from somewhere else can't
//! make SQLite do what we didn't ask for.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::{Attempt, Result, StoreError};
use super::layout::{APPLICATION, FORMAT, TABLES};

/// How long SQLite itself waits for a lock: enough for another program that looks, so that a
/// policy is only asked about one that stays.
const SHORT_WAIT: Duration = Duration::from_millis(250);

/// What is kept of a log that had to grow, once it is written back.
const LOG_LIMIT: i64 = 64 * 1024 * 1024;

/// Opens a file that is there. Nothing is written to it before it is known for one of ours.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let attempt = Attempt::new(path, "open the store file");
    let connection = connect(path)?;
    compare_schema(&connection, path)?;
    set_durable(&connection).map_err(attempt.sqlite())?;
    Ok(connection)
}

/// Makes the tables in a file that is there and empty.
pub(super) fn create(path: &Path) -> Result<Connection> {
    let attempt = Attempt::new(path, "make the store file");
    let connection = connect(path)?;
    let fill = || {
        connection.pragma_update(None, "application_id", APPLICATION)?;
        connection.pragma_update(None, "user_version", FORMAT)?;
        for (_, table) in TABLES {
            connection.execute_batch(table)?;
        }
        set_durable(&connection)
    };
    fill().map_err(attempt.sqlite())?;
    Ok(connection)
}

fn connect(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let distrust = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(SHORT_WAIT)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        Ok(connection)
    };
    distrust().map_err(Attempt::new(path, "open the store file").sqlite())
}

/// A transaction that was reported is on the disk. The log is written back when
/// [`Partition`](super::partition::Partition) says, since SQLite by itself would pass over a
/// failure to do so.
fn set_durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", LOG_LIMIT)
}

fn compare_schema(connection: &Connection, path: &Path) -> Result<()> {
    let attempt = Attempt::new(path, "read the schema of the store file");
    let number = |pragma: &str| -> Result<i64> {
        connection
            .pragma_query_value(None, pragma, |row| row.get(0))
            .map_err(attempt.sqlite())
    };
    if number("application_id")? != APPLICATION {
        return Err(StoreError::corrupt(
            path,
            "it is not a file of a millstream store",
        ));
    }
    match number("user_version")? {
        FORMAT => {}
        found if found > FORMAT => {
            return Err(StoreError::FormatTooNew {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        found => {
            return Err(StoreError::corrupt(
                path,
                format!("its format {found} was never used"),
            ));
        }
    }
    let read = || {
        let mut statement =
            connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY rowid")?;
        let rows = statement.query_map((), |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    let found = read().map_err(attempt.sqlite())?;
    let expected = TABLES.iter().map(|(name, sql)| (*name, Some(*sql)));
    if !found
        .iter()
        .map(|(name, sql)| (name.as_str(), sql.as_deref()))
        .eq(expected)
    {
        return Err(StoreError::corrupt(
            path,
            "its tables are not those of a millstream store",
        ));
    }
    Ok(())
}
