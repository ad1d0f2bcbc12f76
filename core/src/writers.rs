//! For which writers a fold still waits.

/// How the virtual id of a prepared transaction begins once the server has read it back from disk: at a restart, a promotion,
/// or after the crash of one backend.
const READ_BACK: &str = "-1/";

/// Is every transaction of a list over, where `holders` hold now the lock that the listed ones held? Names are virtual transaction
/// ids, as `pg_locks` shows them.
///
/// A list outlives everything that a transaction can outlive:
/// 1. PREPARE keeps the name, and no other transaction gets it before the server's memory is made anew.
/// 2. After that no session of before exists. A listed transaction is over, or it was prepared. Then it holds its locks again, under
///    another name, before the first session may write. So a holder of such a name may be any of those listed.
/// 3. A prepared transaction takes no more locks. So waiting for one that was not listed delays, and never hurries. The same is true
///    of a new transaction that has got the name of a listed one of before.
pub fn are_gone(listed: &[String], holders: &[String]) -> bool {
    !holders.iter().any(|holder| holder.starts_with(READ_BACK) || listed.contains(holder))
}

#[cfg(test)]
mod tests {
    use super::are_gone;

    #[test]
    fn a_listed_transaction_is_waited_for_under_each_of_its_names() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (listed, holders, expected) in [
            (&[][..], &[][..], true),
            (&["3/7"], &[], true),
            (&["3/7"], &["3/8", "4/7", "13/7", "3/0"], true),
            (&["3/7", "4/2"], &["3/8", "4/2"], false),
            (&["3/7"], &["-1/725"], false),
            (&["-1/725"], &["-1/725"], false),
            (&["-1/725"], &["3/9"], true),
            (&[], &["-1/725"], false),
            (&[], &["3/8"], true),
        ] {
            assert_eq!(are_gone(&names(listed), &names(holders)), expected, "{listed:?} {holders:?}");
        }
    }
}
