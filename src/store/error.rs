//! What can go wrong with the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process writes to it.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// A newer program wrote it; nothing was changed.
    #[error("{} has format version {found}, and this program knows versions up to {supported}", path.display())]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version this program knows.
        supported: u32,
    },
    /// An older program wrote it, and it was opened for reading, which migrates nothing.
    #[error(
        "{} has the older format version {found}; the next run that writes to it migrates it to {supported}",
        path.display()
    )]
    Older {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version this program reads.
        supported: u32,
    },
    /// There is none, and it was opened for reading.
    #[error("there is no store at {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is not a store, or no longer a whole one; nothing was changed.
    #[error("{} is damaged or no store of this program: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A file or directory could not be made, locked or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// What SQLite said; shared by every write of the batch that failed.
        source: Arc<rusqlite::Error>,
    },
    /// Something has no form on disk, such as a log-probability that is no number.
    #[error("cannot be stored: {reason}")]
    Unstorable {
        /// What it was.
        reason: String,
    },
    /// A write to a store that was opened for reading.
    #[error("{} was opened for reading only", path.display())]
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// The writer thread is gone, and with it the write.
    #[error("the writer of {} has stopped", path.display())]
    Stopped {
        /// The store.
        path: PathBuf,
    },
}

impl StoreError {
    /// Sorts an error of SQLite: what the file's content caused is damage, everything else may pass.
    pub(super) fn sqlite(path: &Path, source: impl Into<Arc<rusqlite::Error>>) -> Self {
        let source = source.into();
        let is_damage =
            matches!(
                *source,
                rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
            ) || matches!(source.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt));
        let path = path.to_path_buf();
        if is_damage { Self::Damaged { path, reason: source.to_string() } } else { Self::Sqlite { path, source } }
    }
}
