//! What an error says: something about one row, or about everything.
//!
//! | SQLSTATE | what | becomes |
//! |---|---|---|
//! | 22, 23, 27, 44, 54, P0 | a value, a constraint, a trigger or a size refuses the row | permanent, for that row alone |
//! | 21000 | the statement touches a row twice, by an equality that is not ours | its rows are written alone |
//! | 55P03 | somebody else holds a row's lock | transient, for that row alone |
//! | 08, 25, 28, 3D, 57, and no answer | connection, read-only server, login, restarts, timeouts | transient, for all |
//! | all else | the table itself, privileges, room, deadlocks; or a row after all, by a trigger or a policy | transient, for whom it concerns |
//!
//! A missing table or a wrong password is not the fault of any event. It is like an outage: deliveries wait, are charged
//! nothing, and go on when it is mended. If it concerned one event alone after all, others pass, and its retry budget ends
//! it.

use outbound::root_cause;
use serde_json::json;
use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use super::row::Misfit;
use super::table::NoTable;
use crate::SendError;

/// Classes of SQLSTATE that are about a row.
const OF_A_ROW: [&str; 6] = ["22", "23", "27", "44", "54", "P0"];
/// Classes that are about the connection or the server.
const OF_THE_SERVER: [&str; 5] = ["08", "25", "28", "3D", "57"];
/// Classes after which the table has to be looked at again: it, or what was prepared for it, is not what it was.
const OF_THE_TABLE: [&str; 4] = ["0A", "26", "3F", "42"];
const TOUCHED_TWICE: &str = "21000";
const LOCKED: &str = "55P03";

/// Whom an error concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// One of the rows: it will never be taken.
    Row,
    /// One of the rows, for now.
    RowForNow,
    /// All of them.
    All,
    /// All of them, or one for now: that shows when they are written alone.
    Unclear,
}

pub(super) fn verdict(error: &Error) -> Verdict {
    error.code().map_or(Verdict::All, |state| of_state(state.code()))
}

fn of_state(state: &str) -> Verdict {
    match state {
        TOUCHED_TWICE => Verdict::Row,
        LOCKED => Verdict::RowForNow,
        state if OF_A_ROW.contains(&class(state)) => Verdict::Row,
        state if OF_THE_SERVER.contains(&class(state)) => Verdict::All,
        _ => Verdict::Unclear,
    }
}

/// Whether the table has to be looked at again.
pub(super) fn is_of_the_table(error: &Error) -> bool {
    error.code().is_some_and(|state| OF_THE_TABLE.contains(&class(state.code())))
}

fn class(state: &str) -> &str {
    state.get(..2).unwrap_or(state)
}

/// A row is refused for good.
pub(super) fn of_row(error: &Error) -> SendError {
    let Some(refused) = error.as_db_error() else { return of_all(error) };
    let constraint = refused.constraint().map(|name| format!(", constraint {name}")).unwrap_or_default();
    let text =
        format!("PostgreSQL refused the row: {} ({}{constraint})", without_value(refused), refused.code().code());
    let pointed = refused.column().map(pointed);
    SendError { excerpt: pointed, ..SendError::permanent(text) }
}

/// A row cannot be written for now.
pub(super) fn of_row_for_now(error: &Error) -> SendError {
    SendError::transient(format!("the row is locked by somebody else in the database ({})", said(error)))
}

/// Nothing can be written for now.
pub(super) fn of_all(error: &Error) -> SendError {
    let hint = match error.code().map(|state| state.code()) {
        Some("28000" | "28P01") => "; look at `url` and `password`",
        Some("3D000") => "; look at the database's name in `url`",
        Some("42P01" | "3F000") => "; make the table again, and what waits is delivered",
        Some("42501") => "; GRANT SELECT, INSERT, UPDATE on the table to the user in `url`",
        Some("25006") => "; this server is read-only, name the primary in `url`",
        None if root_cause(error).contains("does not support TLS") => "; set sslmode = \"disable\" if that is meant",
        _ => "",
    };
    SendError::transient(format!("PostgreSQL cannot be used: {}{hint}", said(error)))
}

/// There is no table to write to, for now.
pub(super) fn of_table(problem: &NoTable) -> SendError {
    match problem {
        NoTable::Missing(problem) | NoTable::Misfit(problem) => SendError::transient(format!("the table {problem}")),
        NoTable::Database(error) => of_all(error),
        NoTable::Unreachable(error) => error.clone(),
    }
}

/// A payload is no row.
pub(super) fn of_payload(misfit: Misfit) -> SendError {
    match misfit {
        Misfit::NoObject(problem) => SendError::permanent(problem),
        Misfit::Unknown(name) => {
            let cure = "leave it out in the mapping, add a column, or set `extra`";
            let text = format!("the payload has `{name}`, and no column that is written is called so; {cure}");
            SendError { excerpt: Some(pointed(&name)), ..SendError::permanent(text) }
        }
        Misfit::Member { name, problem } => {
            SendError { excerpt: Some(pointed(&name)), ..SendError::permanent(format!("`{name}` {problem}")) }
        }
    }
}

/// Which member it is about, as delivery understands it: a dead letter then shows the place.
fn pointed(column: &str) -> String {
    json!({ "pointer": format!("/{}", column.replace('~', "~0").replace('/', "~1")) }).to_string()
}

fn said(error: &Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", without_value(said), said.code().code()),
        None => root_cause(error),
    }
}

/// The database's message without the value that some end with: messages are logged, and values are not.
fn without_value(said: &DbError) -> &str {
    cut(said.message())
}

fn cut(message: &str) -> &str {
    message.split_once(": \"").map_or(message, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_sorted() {
        for state in ["22001", "22P05", "23502", "23505", "54000", "54001", "P0001", "44000", "21000"] {
            assert_eq!(of_state(state), Verdict::Row, "{state}");
        }
        for state in ["08006", "57P01", "57P03", "57014", "28P01", "25006", "3D000"] {
            assert_eq!(of_state(state), Verdict::All, "{state}");
        }
        for state in ["53100", "53300", "40001", "40P01", "42P01", "42501", "42703", "0A000", "XX000", "", "é"] {
            assert_eq!(of_state(state), Verdict::Unclear, "{state}");
        }
        assert_eq!(of_state("55P03"), Verdict::RowForNow);
    }

    #[test]
    fn a_value_is_cut_off_a_message() {
        assert_eq!(cut("invalid input syntax for type inet: \"+49 30\""), "invalid input syntax for type inet");
        assert_eq!(cut("value too long for type character varying(3)"), "value too long for type character varying(3)");
    }

    #[test]
    fn a_refused_payload_names_the_member() {
        let misfit = Misfit::Member { name: "a/b".into(), problem: "is an array".into() };
        let error = of_payload(misfit);
        assert_eq!(
            (error.message.as_str(), error.excerpt.as_deref()),
            ("`a/b` is an array", Some("{\"pointer\":\"/a~1b\"}"))
        );
    }
}
