//! Finding a row by what it is known by, where the index of a table stands apart for every 65,536 of its rows.
//!
//! Keys are random, and mostly so are samples in the order in which they were drawn: in one index of all rows, each that is added
//! would have a page of its own to be read and written. In an index that begins with the upper bits of the row's id a batch
//! touches only the pages of the last part, however many rows there are.

use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};

/// Where rows of one table were last found.
#[derive(Debug)]
pub(super) struct Parts {
    /// Finds the last part that begins with an id or before it.
    last: &'static str,
    find: &'static str,
    recent: AtomicI64,
}

impl Parts {
    /// Those of the exchanges, which are known by their key.
    pub(super) const fn of_exchanges() -> Self {
        Self {
            last: "SELECT max(id) >> 16 FROM exchanges WHERE id <= ?1",
            find: "SELECT id FROM exchanges WHERE id >> 16 = ?1 AND key = ?2",
            recent: AtomicI64::new(0),
        }
    }

    /// Those of the records, which are known by run, task, prompt, model, sample and repetition.
    pub(super) const fn of_records() -> Self {
        Self {
            last: "SELECT max(id) >> 16 FROM records WHERE id <= ?1",
            find: "SELECT id FROM records WHERE id >> 16 = ?1 AND run = ?2 AND task = ?3 AND prompt = ?4 AND model = ?5
                AND sample = ?6 AND repetition = ?7",
            recent: AtomicI64::new(0),
        }
    }

    /// The id of a row. What was written one after the other is mostly looked for so: the part comes first in which something was
    /// found last, and then all from the newest on.
    pub(super) fn find(&self, connection: &Connection, name: &[&dyn ToSql]) -> rusqlite::Result<Option<i64>> {
        let mut statement = connection.prepare_cached(self.find)?;
        let mut find = |part: i64| {
            let values = std::iter::once(&part as &dyn ToSql).chain(name.iter().copied());
            statement.query_row(params_from_iter(values), |row| row.get::<_, i64>(0)).optional()
        };
        let recent = self.recent.load(Ordering::Relaxed);
        let mut found = find(recent)?;
        let mut end = Some(i64::MAX);
        while found.is_none()
            && let Some(before) = end
        {
            let part: Option<i64> = connection.prepare_cached(self.last)?.query_row([before], |row| row.get(0))?;
            let Some(part) = part else { break };
            if part != recent {
                found = find(part)?;
            }
            end = (part << 16).checked_sub(1);
        }
        if let Some(id) = found {
            self.recent.store(id >> 16, Ordering::Relaxed);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_the_index() {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::format::migrate(&mut connection, std::path::Path::new(""), super::super::MIGRATIONS).unwrap();
        for (parts, index) in [
            (Parts::of_exchanges(), "exchanges_key (<expr>=? AND key=?)"),
            (
                Parts::of_records(),
                "records_name (run=? AND <expr>=? AND task=? AND prompt=? AND model=? AND sample=? AND repetition=?)",
            ),
        ] {
            let plan = |sql: &str| -> String {
                let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
                statement.raw_query().next().unwrap().unwrap().get("detail").unwrap()
            };
            assert!(plan(parts.find).ends_with(index), "{}", plan(parts.find));
            assert!(plan(parts.last).starts_with("SEARCH"), "{}", plan(parts.last));
        }
    }
}
