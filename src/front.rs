//! What a front needs of the library. A front is a database without our tables: its functions run on shards (front/).

use crate::error::Result;
use crate::pg::transaction;
use crate::settings;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, function_name, pg_extern};

/// The foreign server that names the shards.
const SHARDS: &str = "vote_agg_shards";

/// See the COMMENT in front/10-placement.sql.
///
/// It can't be SQL: a call in the extended protocol, and a block that began with the same message, look alike there.
#[pg_extern(sql = false)]
fn front_guard() -> Result<&'static str> {
    transaction::prevent_read_only(c"a write through a front");
    if transaction::is_in_block() && !settings::write_in_block() {
        let message = "a front takes no votes inside a transaction block".to_owned();
        let code = PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED;
        return Err(ErrorReport::new(code, message, function_name!())
            .set_detail("Shards commit by themselves: a ROLLBACK here would not reach them.")
            .set_hint("Call it outside a block, or SET vote_agg.write_in_block = on if the votes may stay counted."));
    }
    Ok(SHARDS)
}
