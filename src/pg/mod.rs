//! The server's parts that everything here stands on, behind safe functions.

pub mod bigints; // bigint[] as counts by team, in the server's own format
pub mod catalog; // look-ups in the catalog
pub mod cell; // cells as text or bigint, in and out
pub mod clock; // the server's clock
pub mod conversion; // values of any type as texts and numbers
pub mod copy_progress; // progress of long work, shown as a copy
pub mod database; // the database and server of this process
pub mod extension; // the extension as an object of the database
pub mod failure; // why something failed, beyond its transaction
pub mod family; // a table's partitions and ancestors
pub mod form; // which columns rows have, by name
pub mod jsonb_in; // jsonb read in its own format
pub mod jsonb_out; // jsonb written in its own format
pub mod lock; // advisory locks that no SQL function can take
pub mod merge; // rows that MERGE moves to another partition
pub mod process; // background processes: connect, run transactions, sleep, report
pub mod relcache; // messages that a table changed
pub mod role; // acting as another role
pub mod slot; // rows of any table, as a scan or a trigger shows them
pub mod snapshot; // snapshots: of this very moment, of the calling statement
pub mod spi; // SQL from inside, with a say in what a statement sees
pub mod statement; // the statement that an event trigger fired for
pub mod subtransaction; // a part of a transaction that can fail alone
pub mod table; // an open table, and rows of it below SQL
pub mod tables; // our tables by name
pub mod transaction; // the current transaction: its level, its own changes, its commit
pub mod trigger; // the call of a trigger
pub mod vacuum; // VACUUM of one table, as the server runs it for a client
pub mod wake; // waking the worker when votes are committed
