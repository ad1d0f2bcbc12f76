//! The server's parts that everything here stands on, behind safe functions.

pub mod bigints; // bigint[] as counts by team, in the server's own format
pub mod clock; // the server's clock
pub mod extension; // the extension as an object of the database
pub mod jsonb_in; // jsonb read in its own format
pub mod jsonb_out; // jsonb written in its own format
pub mod lock; // advisory locks that no SQL function can take
pub mod process; // background processes: connect, run transactions, sleep, report
pub mod role; // acting as another role
pub mod snapshot; // snapshots: of this very moment, of the calling statement
pub mod spi; // SQL from inside, with a say in what a statement sees
pub mod table; // an open table, and rows of it below SQL
pub mod tables; // our tables by name
