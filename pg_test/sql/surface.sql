-- What the extension is: every object with its claims, owner's rights and comment. A change here is a change of the promise.
CREATE EXTENSION vote_agg;
\pset format unaligned
\pset tuples_only on

-- Functions: signature, result, volatility, strictness, parallel safety, definer, settings.
SELECT p.oid::regprocedure, pg_get_function_result(p.oid), p.provolatile, p.proisstrict AS strict, p.proparallel, p.prosecdef AS definer, p.proconfig
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'vote_agg'
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- Executable by PUBLIC: pure functions only.
SELECT p.oid::regprocedure
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'vote_agg'
WHERE EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
ORDER BY p.oid::regprocedure::text COLLATE "C";

-- Tables and views: columns, and rights of anyone but the owner. The database's owner can dump it, and nothing else.
SELECT c.relkind, c.oid::regclass, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum),
       (SELECT string_agg(x.grantee::regrole || ' ' || x.privilege_type, ', ') FROM aclexplode(c.relacl) x WHERE x.grantee <> c.relowner) AS others
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'vote_agg'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relkind IN ('r', 'v', 'S', 'p') GROUP BY c.oid ORDER BY c.oid::regclass::text COLLATE "C";

-- Everything has a comment (anything printed lacks one).
SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'vote_agg'
WHERE d.deptype = 'e' AND d.classid <> 'pg_type'::regclass AND obj_description(d.objid, d.classid::regclass::name) IS NULL;
SELECT t.tgrelid::regclass, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'vote_agg' AND obj_description(t.oid, 'pg_trigger') IS NULL;

-- Every table and sequence is in a dump.
SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'vote_agg'
WHERE c.relkind IN ('r', 'S', 'p') AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'vote_agg' AND c.oid = ANY (e.extconfig));

-- Per-match tables can be sharded by match: the match is in every unique key.
SELECT i.indexrelid::regclass FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'vote_agg' AND c.relname NOT IN ('door', 'fold_log', 'history', 'shard', 'source', 'source_part') AND i.indisunique AND NOT EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey) AND a.attname = 'match_id');

-- Settings.
SELECT name, setting, unit, context, vartype, min_val, max_val, short_desc FROM pg_settings WHERE name LIKE 'vote\_agg.%' ORDER BY name;
