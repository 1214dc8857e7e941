//! Replies on their way to a commit, in a file that outlives the process.
//!
//! A commit waits for the disk, and many share one. A reply has been paid for: soon after it came, and before anything is made of it, it also
//! stands here until it is committed, so that a process that is killed in between loses none. Whoever opens the store next commits what is left.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::rows::{ExchangeRow, ExchangeTexts, StoredExchange};
use crate::schema::{ExchangeKey, Logprobs, Request, Response};

/// Bytes from which on what is committed is taken out again.
const LARGE: u64 = 1 << 20;

/// Bytes of a line beside its bodies, roughly.
const LINE: usize = 256;

/// One exchange as a line of JSON. A log-probability stands apart by its bits: it may be infinite.
type Line = (ExchangeKey, String, String, Request, Response, Option<(u64, u32)>, String, u64);

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// The place of the first byte of the file among all that were ever written.
    begin: u64,
    /// The place behind the last.
    end: u64,
    /// Whether the file may not end where its last line does, or the next write not begin there, as after one that failed.
    is_torn: bool,
    /// Whether something that stands in it could not be committed: then all of it stays for the next process.
    is_needed: bool,
}

impl Journal {
    /// Opens the journal at a path, with the exchanges that stand in it.
    pub(super) fn open(path: PathBuf) -> std::io::Result<(Self, Vec<StoredExchange>)> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        let mut text = Vec::new();
        let end = file.read_to_end(&mut text)? as u64;
        let (left, unread) = exchanges(&text);
        if unread > 0 {
            // Perhaps a newer program wrote them, which reads them where they are set aside.
            let aside = path.with_extension("replies.unread");
            std::fs::copy(&path, &aside)?;
            tracing::warn!("{unread} lines of {} are no exchanges; a copy is {}", path.display(), aside.display());
        }
        Ok((Self { path, file, begin: 0, end, is_torn: false, is_needed: false }, left))
    }

    /// One whose file cannot be written.
    #[cfg(test)]
    pub(super) fn unwritable(path: PathBuf) -> Self {
        std::fs::write(&path, "").unwrap();
        let file = File::open(&path).unwrap();
        Self { path, file, begin: 0, end: 0, is_torn: false, is_needed: false }
    }

    /// Writes exchanges down, and says where the last of them ends.
    pub(super) fn append<'a>(&mut self, added: impl Iterator<Item = &'a ExchangeRow>) -> std::io::Result<u64> {
        let mut lines = Vec::new();
        for exchange in added {
            write_line(&mut lines, exchange)?;
        }
        if lines.is_empty() {
            return Ok(self.end);
        }
        // No half of a line may stand before the next one.
        if self.is_torn {
            let length = self.end - self.begin;
            self.file.set_len(length)?;
            self.file.seek(SeekFrom::Start(length))?;
        }
        self.is_torn = true;
        self.file.write_all(&lines)?;
        self.is_torn = false;
        self.end += lines.len() as u64;
        Ok(self.end)
    }

    /// Takes out what stands before a place, which is committed, once it is worth the trouble.
    pub(super) fn forget(&mut self, before: u64) -> std::io::Result<()> {
        if self.is_needed || self.end - self.begin < LARGE {
            return Ok(());
        }
        if before == self.end {
            return self.clear();
        }
        let mut rest = Vec::new();
        // Wherever this ends, the next write looks for its place.
        self.is_torn = true;
        self.file.seek(SeekFrom::Start(before - self.begin))?;
        self.file.read_to_end(&mut rest)?;
        // Under another name first: at no moment is a line in neither file.
        let beside = self.path.with_extension("replies.new");
        let mut new = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&beside)?;
        new.write_all(&rest)?;
        std::fs::rename(&beside, &self.path)?;
        self.file = new;
        self.begin = before;
        Ok(())
    }

    /// Takes out everything, which is committed.
    pub(super) fn clear(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.begin = self.end;
        Ok(())
    }

    /// Keeps everything: some of it could not be committed.
    pub(super) fn keep(&mut self) {
        self.is_needed = true;
    }

    /// Removes the file, of which everything is committed unless it was to be kept.
    pub(super) fn close(&self) -> std::io::Result<()> {
        if self.is_needed { Ok(()) } else { std::fs::remove_file(&self.path) }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn write_line(lines: &mut Vec<u8>, exchange: &ExchangeRow) -> std::io::Result<()> {
    let ExchangeTexts { endpoint, model, request, response, sent } = exchange.texts();
    let bits = exchange.logprobs().map(|logprobs| (logprobs.sum.to_bits(), logprobs.tokens));
    let key = blake3::Hash::from_bytes(exchange.key().0).to_hex();
    lines.reserve(LINE + request.len() + response.len());
    lines.push(b'[');
    serde_json::to_writer(&mut *lines, key.as_str())?;
    for name in [endpoint, model] {
        lines.push(b',');
        serde_json::to_writer(&mut *lines, name)?;
    }
    for body in [request, response] {
        lines.push(b',');
        lines.extend(body.as_bytes());
    }
    lines.push(b',');
    serde_json::to_writer(&mut *lines, &bits)?;
    lines.push(b',');
    serde_json::to_writer(&mut *lines, sent)?;
    lines.push(b',');
    serde_json::to_writer(&mut *lines, &exchange.milliseconds())?;
    lines.extend(b"]\n");
    Ok(())
}

/// The exchanges of a text, and the number of lines that are none, as after a power cut. The last line may have been cut off by the
/// end of its process: that one was never promised to be kept.
fn exchanges(text: &[u8]) -> (Vec<StoredExchange>, usize) {
    let lines = || text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let left: Vec<StoredExchange> = lines()
        .filter_map(|line| {
            let (key, endpoint, model, request, mut response, bits, sent, milliseconds): Line =
                serde_json::from_slice(line).ok()?;
            response.logprobs = bits.map(|(bits, tokens)| Logprobs { sum: f64::from_bits(bits), tokens });
            Some(StoredExchange { key, endpoint, model, request, response, sent, milliseconds })
        })
        .collect();
    let unread = lines().count() - left.len();
    (left, unread)
}

/// Where the journal of a store stands.
pub(super) fn beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".replies");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{FinishReason, Input, Wanted};

    fn exchange(number: u8, bytes: usize) -> StoredExchange {
        let wanted = Wanted::Logprob { continuation: "4".to_owned() };
        let response = Response::new("x".repeat(bytes), FinishReason::Stop);
        StoredExchange {
            key: ExchangeKey([number; 32]),
            endpoint: "e".to_owned(),
            model: "m\n".to_owned(),
            request: Request { input: Input::Text("1+3=".to_owned()), wanted },
            response,
            sent: "2026-11-29T06:00:00Z".to_owned(),
            milliseconds: 3,
        }
    }

    /// Its row, with a log-probability that JSON does not know.
    fn row(exchange: &StoredExchange) -> ExchangeRow {
        let mut exchange = exchange.clone();
        exchange.response.logprobs = NEVER;
        let StoredExchange { key, endpoint, model, request, response, sent, milliseconds } = &exchange;
        ExchangeRow::new(*key, [endpoint, model], request, response, sent, *milliseconds).unwrap()
    }

    const NEVER: Option<Logprobs> = Some(Logprobs { sum: f64::NEG_INFINITY, tokens: 2 });

    fn append(journal: &mut Journal, exchanges: &[StoredExchange]) -> u64 {
        let rows: Vec<ExchangeRow> = exchanges.iter().map(row).collect();
        journal.append(rows.iter()).unwrap()
    }

    /// What the journal at a path holds, each with that log-probability.
    fn left(path: &Path) -> Vec<StoredExchange> {
        let mut left = Journal::open(path.to_path_buf()).unwrap().1;
        assert!(left.iter_mut().all(|exchange| exchange.response.logprobs.take() == NEVER));
        left
    }

    #[test]
    fn what_is_not_forgotten_is_there_when_it_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = beside(&directory.path().join("onset.db"));
        let (mut journal, before) = Journal::open(path.clone()).unwrap();
        assert!(before.is_empty());
        let (one, two, three) = (exchange(1, 700_000), exchange(2, 400_000), exchange(3, 9));
        let first = append(&mut journal, std::slice::from_ref(&one));
        // Little is not worth the trouble.
        journal.forget(first).unwrap();
        assert_eq!(left(&path), [one]);
        let second = append(&mut journal, &[two.clone(), three.clone()]);
        journal.forget(first).unwrap();
        let four = exchange(4, 0);
        let last = append(&mut journal, std::slice::from_ref(&four));
        assert_eq!(left(&path), [two, three, four.clone()]);
        // All of it is forgotten at once, and what comes behind is kept.
        append(&mut journal, &[exchange(5, 1_000_000)]);
        journal.forget(journal.end).unwrap();
        append(&mut journal, std::slice::from_ref(&four));
        assert_eq!(left(&path), [four]);
        assert!(first < second && second < last);
        journal.close().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_a_failed_write_left_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = beside(&directory.path().join("onset.db"));
        let (mut journal, _) = Journal::open(path.clone()).unwrap();
        append(&mut journal, &[exchange(1, 5)]);
        journal.file.write_all(b"[\"half of a li").unwrap();
        journal.is_torn = true;
        append(&mut journal, &[exchange(2, 5)]);
        append(&mut journal, &[exchange(3, 5)]);
        assert_eq!(left(&path), [exchange(1, 5), exchange(2, 5), exchange(3, 5)]);
        assert!(!path.with_extension("replies.unread").exists());
    }

    #[test]
    fn a_line_that_was_cut_off_is_no_exchange_and_hides_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("onset.db.replies");
        let mut text = Vec::new();
        write_line(&mut text, &row(&exchange(1, 5))).unwrap();
        text.extend(b"\0\0\xff{\n");
        write_line(&mut text, &row(&exchange(2, 5))).unwrap();
        let whole = text.len();
        write_line(&mut text, &row(&exchange(3, 5))).unwrap();
        for cut in [whole, whole + 20, text.len() - 1] {
            std::fs::write(&path, &text[..cut]).unwrap();
            assert_eq!(left(&path), [exchange(1, 5), exchange(2, 5)], "{cut}");
            assert_eq!(std::fs::read(directory.path().join("onset.db.replies.unread")).unwrap(), text[..cut]);
        }
    }
}
