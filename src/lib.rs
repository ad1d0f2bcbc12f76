pgrx::pg_module_magic!(name = c"vote_agg", version = c"0.1.0");
