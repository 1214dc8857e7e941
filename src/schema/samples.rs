//! Samples in their order, kept in a temporary file of the system: memory does not grow with their number.
//!
//! The file is a private database of SQLite: it has no name, is gone with the process, and stays in memory while it is small.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::Type;
use rusqlite::{Connection, params};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::task::Sample;

/// Samples that are read at once where all are wanted.
const TOGETHER: usize = 128;

/// The temporary file of samples could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the temporary file that holds samples: {0}")]
pub struct SamplesError(Arc<rusqlite::Error>);

impl From<rusqlite::Error> for SamplesError {
    fn from(error: rusqlite::Error) -> Self {
        Self(Arc::new(error))
    }
}

/// Samples in their order; clones share them.
#[derive(Clone, Default)]
pub struct Samples {
    rows: Option<Arc<Mutex<Rows>>>,
    len: usize,
}

struct Rows {
    file: Connection,
    /// Those that were last read together, and the place of the first.
    recent: (usize, Vec<Arc<Sample>>),
}

impl Samples {
    /// Keeps samples.
    ///
    /// # Errors
    /// The first error among them, or that of the temporary file.
    pub fn keep<E: From<SamplesError>>(samples: impl IntoIterator<Item = Result<Sample, E>>) -> Result<Self, E> {
        Self::keep_texts(samples.into_iter().map(|sample| {
            let unwritable = |error| SamplesError::from(rusqlite::Error::ToSqlConversionFailure(Box::new(error)));
            Ok(serde_json::to_string(&sample?).map_err(unwritable)?)
        }))
    }

    fn keep_texts<E: From<SamplesError>>(texts: impl Iterator<Item = Result<String, E>>) -> Result<Self, E> {
        let file = |error: rusqlite::Error| SamplesError::from(error);
        let connection = open().map_err(file)?;
        let mut len = 0;
        {
            let transaction = connection.unchecked_transaction().map_err(file)?;
            let mut insert = transaction.prepare("INSERT INTO samples (id, sample) VALUES (?1, ?2)").map_err(file)?;
            for text in texts {
                insert.execute(params![row(len).map_err(file)?, text?]).map_err(file)?;
                len += 1;
            }
            drop(insert);
            transaction.commit().map_err(file)?;
        }
        let rows = Rows { file: connection, recent: (usize::MAX, Vec::new()) };
        Ok(Self { rows: Some(Arc::new(Mutex::new(rows))), len })
    }

    /// Those in the given places, in their order.
    ///
    /// # Errors
    /// When a temporary file cannot be read or written, or a place is behind the last.
    pub fn select(&self, places: impl Iterator<Item = usize>) -> Result<Self, SamplesError> {
        Self::keep_texts(places.map(|place| self.text(place)))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The sample in a place, counted from zero; none behind the last.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub fn get(&self, index: usize) -> Result<Option<Arc<Sample>>, SamplesError> {
        let Some(rows) = self.rows.as_ref().filter(|_| index < self.len) else { return Ok(None) };
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        // They are mostly asked for one after the other; whoever asks elsewhere is not made to read a whole block.
        if index.is_multiple_of(TOGETHER) && rows.recent.0 != index {
            rows.recent = (index, rows.block(index)?.into_iter().map(Arc::new).collect());
        }
        let (first, recent) = &rows.recent;
        if let Some(sample) = index.checked_sub(*first).and_then(|place| recent.get(place)) {
            return Ok(Some(Arc::clone(sample)));
        }
        Ok(Some(Arc::new(parse(&rows.text(index)?)?)))
    }

    /// The text of a sample.
    fn text(&self, index: usize) -> Result<String, SamplesError> {
        let rows = self.rows.as_ref().ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        rows.lock().unwrap_or_else(PoisonError::into_inner).text(index)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Result<Sample, SamplesError>> + use<'_> {
        (0..self.len).step_by(TOGETHER).flat_map(|first| match self.block(first) {
            Ok(samples) => samples.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    fn block(&self, first: usize) -> Result<Vec<Sample>, SamplesError> {
        let Some(rows) = &self.rows else { return Ok(Vec::new()) };
        rows.lock().unwrap_or_else(PoisonError::into_inner).block(first)
    }
}

impl Rows {
    fn text(&self, index: usize) -> Result<String, SamplesError> {
        let mut select = self.file.prepare_cached("SELECT sample FROM samples WHERE id = ?1")?;
        Ok(select.query_row([row(index)?], |found| found.get(0))?)
    }

    /// Some that stand together: one question for each would take longer than the answers.
    fn block(&self, first: usize) -> Result<Vec<Sample>, SamplesError> {
        let mut select = self.file.prepare_cached("SELECT sample FROM samples WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
        let mut found = select.query([row(first)?, row(first + TOGETHER - 1)?])?;
        let mut samples = Vec::with_capacity(TOGETHER);
        while let Some(row) = found.next()? {
            samples.push(parse(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
        }
        Ok(samples)
    }
}

fn parse(text: &str) -> Result<Sample, SamplesError> {
    let unreadable = |error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error));
    Ok(serde_json::from_str(text).map_err(unreadable)?)
}

fn open() -> rusqlite::Result<Connection> {
    // No name: on disk as far as it does not fit the cache, and deleted when it is closed.
    let connection = Connection::open("")?;
    connection.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -512; PRAGMA locking_mode = EXCLUSIVE;
         CREATE TABLE samples (id INTEGER PRIMARY KEY, sample TEXT NOT NULL);",
    )?;
    Ok(connection)
}

fn row(index: usize) -> rusqlite::Result<i64> {
    i64::try_from(index).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX))
}

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} samples", self.len)
    }
}

impl PartialEq for Samples {
    fn eq(&self, other: &Self) -> bool {
        let same = |pair: (Result<Sample, _>, Result<Sample, _>)| matches!(pair, (Ok(own), Ok(other)) if own == other);
        self.len == other.len && self.iter().zip(other.iter()).all(same)
    }
}

impl Serialize for Samples {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error, SerializeSeq};
        let mut list = serializer.serialize_seq(Some(self.len))?;
        for sample in self.iter() {
            list.serialize_element(&sample.map_err(S::Error::custom)?)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Samples {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let samples = Vec::<Sample>::deserialize(deserializer)?;
        if samples.is_empty() {
            return Ok(Self::default());
        }
        Self::keep(samples.into_iter().map(Ok::<_, SamplesError>)).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(index: usize) -> Sample {
        let choices = if index.is_multiple_of(2) { vec!["a".to_owned(), "\u{0}\"".to_owned()] } else { Vec::new() };
        let text = format!("{index} \u{fc} {}", "x".repeat(index % 300));
        Sample { id: index.to_string(), question: text.clone(), answer: text, steps: None, expression: None, choices }
    }

    #[test]
    fn what_was_kept_is_read_in_any_order_also_when_it_is_more_than_fits_the_cache() {
        let kept = Samples::keep((0..9_000).map(|index| Ok::<_, SamplesError>(sample(index)))).unwrap();
        // The first of a block, one of the same, one of another, and back.
        for index in [8_999, 0, 4_500, 1, 256, 128, 200, 255, 256, 127] {
            assert_eq!(kept.get(index).unwrap().as_deref(), Some(&sample(index)));
        }
        assert_eq!(kept.get(9_000).unwrap(), None);
        let some = kept.select([8_999, 3, 3].into_iter()).unwrap();
        let read: Result<Vec<Sample>, _> = some.iter().collect();
        assert_eq!(read.unwrap(), [sample(8_999), sample(3), sample(3)]);
        assert!(kept.select([9_000].into_iter()).is_err());
        assert_eq!(kept.iter().count(), 9_000);
        assert!(kept.clone().iter().zip(0..).all(|(found, index)| found.unwrap() == sample(index)));
        let few = Samples::keep((0..9).map(|index| Ok::<_, SamplesError>(sample(index)))).unwrap();
        assert!(few != kept && few == few.clone() && few != Samples::default());
        let again: Samples = serde_json::from_str(&serde_json::to_string(&few).unwrap()).unwrap();
        assert_eq!(again, few);
    }

    #[test]
    fn the_first_error_among_them_is_returned() {
        #[derive(Debug, PartialEq)]
        struct Bad;
        impl From<SamplesError> for Bad {
            fn from(_: SamplesError) -> Self {
                Self
            }
        }
        assert_eq!(Samples::keep([Ok(sample(1)), Err(Bad)]).unwrap_err(), Bad);
    }
}
