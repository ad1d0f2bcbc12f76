//! What we take of the server, behind safe functions.

pub mod counts; // bigint[] as counts by team, in the server's own format
pub mod jsonb_in; // jsonb read in its own format
pub mod jsonb_out; // jsonb written in its own format
pub mod lock; // advisory locks that no SQL function can take
pub mod spi; // SQL from inside, with a say in what it sees
pub mod tables; // our tables by name, rows of them below SQL, snapshots
pub mod user; // acting as another role
