//! Samples in their order, kept in temporary files of the system: memory does not grow with their number.
//!
//! The files have no name, are gone with the process, and stay in memory while they are small.

use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tempfile::SpooledTempFile;

use super::task::Sample;

/// Samples that are read at once where all are wanted.
const TOGETHER: usize = 128;
/// Bytes of a file that stays in memory.
const SMALL: usize = 512 << 10;
/// Bytes of a number in a file.
const NUMBER: usize = size_of::<u64>();

/// A temporary file of samples could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the temporary file that holds samples: {0}")]
pub struct SamplesError(Arc<io::Error>);

impl From<io::Error> for SamplesError {
    fn from(error: io::Error) -> Self {
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
    /// The JSON texts, one behind the other.
    texts: SpooledTempFile,
    /// Where each of them ends.
    ends: SpooledTempFile,
    /// Those that were last read together, and the place of the first.
    recent: (usize, Vec<Arc<Sample>>),
}

impl Samples {
    /// Keeps samples.
    ///
    /// # Errors
    /// The first error among them, or that of a temporary file.
    pub fn keep<E: From<SamplesError>>(samples: impl IntoIterator<Item = Result<Sample, E>>) -> Result<Self, E> {
        let mut kept = Kept::default();
        for sample in samples {
            let text = serde_json::to_string(&sample?).map_err(|error| SamplesError::from(io::Error::from(error)))?;
            kept.add(&text).map_err(SamplesError::from)?;
        }
        Ok(kept.samples().map_err(SamplesError::from)?)
    }

    /// Those in the given places, in their order.
    ///
    /// # Errors
    /// When a temporary file cannot be read or written, or a place is behind the last.
    pub fn select(&self, places: impl Iterator<Item = usize>) -> Result<Self, SamplesError> {
        let mut kept = Kept::default();
        for place in places {
            let mut rows = self.rows().ok_or(io::ErrorKind::UnexpectedEof).map_err(io::Error::from)?;
            kept.add(&rows.texts(place, 1)?.concat())?;
        }
        Ok(kept.samples()?)
    }

    fn rows(&self) -> Option<MutexGuard<'_, Rows>> {
        self.rows.as_ref().map(|rows| rows.lock().unwrap_or_else(PoisonError::into_inner))
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
    /// When a temporary file cannot be read.
    pub fn get(&self, index: usize) -> Result<Option<Arc<Sample>>, SamplesError> {
        let Some(mut rows) = self.rows().filter(|_| index < self.len) else { return Ok(None) };
        // They are mostly asked for one after the other; whoever asks elsewhere is not made to read a whole block.
        if index.is_multiple_of(TOGETHER) && rows.recent.0 != index {
            let block = rows.texts(index, TOGETHER.min(self.len - index))?;
            rows.recent = (index, block.iter().map(|text| parse(text).map(Arc::new)).collect::<Result<_, _>>()?);
        }
        let (first, recent) = &rows.recent;
        if let Some(sample) = index.checked_sub(*first).and_then(|place| recent.get(place)) {
            return Ok(Some(Arc::clone(sample)));
        }
        Ok(Some(Arc::new(parse(&rows.texts(index, 1)?.concat())?)))
    }

    /// All of them as JSON texts, their fields in the order of the alphabet.
    pub fn texts(&self) -> impl Iterator<Item = Result<String, SamplesError>> + use<'_> {
        (0..self.len).step_by(TOGETHER).flat_map(|first| {
            let block = self.rows().map(|mut rows| rows.texts(first, TOGETHER.min(self.len - first)));
            match block.unwrap_or_else(|| Ok(Vec::new())) {
                Ok(texts) => texts.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error.into())],
            }
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Result<Sample, SamplesError>> + use<'_> {
        self.texts().map(|text| parse(&text?))
    }
}

/// Samples that are being kept.
struct Kept {
    texts: BufWriter<SpooledTempFile>,
    ends: BufWriter<SpooledTempFile>,
    end: u64,
    len: usize,
}

impl Default for Kept {
    fn default() -> Self {
        let file = || BufWriter::new(SpooledTempFile::new(SMALL));
        Self { texts: file(), ends: file(), end: 0, len: 0 }
    }
}

impl Kept {
    fn add(&mut self, text: &str) -> io::Result<()> {
        self.texts.write_all(text.as_bytes())?;
        self.end += text.len() as u64;
        self.len += 1;
        self.ends.write_all(&self.end.to_le_bytes())
    }

    fn samples(self) -> io::Result<Samples> {
        let (texts, ends) = (self.texts.into_inner()?, self.ends.into_inner()?);
        let rows = Rows { texts, ends, recent: (usize::MAX, Vec::new()) };
        Ok(Samples { rows: Some(Arc::new(Mutex::new(rows))), len: self.len })
    }
}

impl Rows {
    /// Some texts that stand together: one question for each would take longer than the answers.
    fn texts(&mut self, first: usize, count: usize) -> io::Result<Vec<String>> {
        // The first begins where the one before it ends.
        let before = usize::from(first > 0);
        let mut ends = vec![0; (count + before) * NUMBER];
        self.ends.seek(SeekFrom::Start(((first - before) * NUMBER) as u64))?;
        self.ends.read_exact(&mut ends)?;
        let mut ends = ends.as_chunks().0.iter().map(|end| u64::from_le_bytes(*end));
        let begin = if before > 0 { ends.next().unwrap_or_default() } else { 0 };
        let lengths: Vec<usize> = ends
            .scan(begin, |begin, end| {
                let length = end.checked_sub(std::mem::replace(begin, end))?;
                usize::try_from(length).ok()
            })
            .collect();
        let mut whole = vec![0; lengths.iter().sum()];
        self.texts.seek(SeekFrom::Start(begin))?;
        self.texts.read_exact(&mut whole)?;
        let mut whole = whole.as_slice();
        let texts = lengths.into_iter().map_while(|length| whole.split_off(..length));
        texts.map(|text| String::from_utf8(text.to_owned()).map_err(io::Error::other)).collect()
    }
}

fn parse(text: &str) -> Result<Sample, SamplesError> {
    Ok(serde_json::from_str(text).map_err(io::Error::from)?)
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
        let texts: Result<Vec<String>, _> = few.texts().collect();
        let alphabetical: Vec<String> =
            (0..9).map(|index| crate::schema::json_text(&serde_json::json!(sample(index)))).collect();
        assert_eq!(texts.unwrap(), alphabetical);
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
