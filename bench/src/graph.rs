//! The graph of 100,000 tuples that hierarchies are measured on.

/// Documents in folders in folders in organizations, which groups of groups of users and agents may view.
pub(crate) const MODEL: &str = "model
  schema 1.1
type user
type agent
type group
  relations
    define member: [user, agent, group#member]
type organization
  relations
    define viewer: [user, agent, group#member]
type folder
  relations
    define parent: [organization, folder]
    define viewer: [user, agent, group#member] or viewer from parent
type document
  relations
    define parent: [folder]
    define owner: [user, agent]
    define viewer: [user, agent, group#member] or viewer from parent
    define can_read: viewer or owner
";

/// How many organizations there are: document, user and agent `n` belong to organization `n % ORGANIZATIONS`.
pub(crate) const ORGANIZATIONS: u64 = 50;
pub(crate) const DOCUMENTS: u64 = 50_000;
pub(crate) const USERS: u64 = 44_000;

/// Gives every tuple of the hierarchy as user, relation and object: 100,000.
pub(crate) fn hierarchy(tuple: impl FnMut(&str, &str, &str)) {
    hierarchy_of(DOCUMENTS, USERS, tuple);
}

/// The same with fewer documents and users, in as many folders and organizations: multiples of [`ORGANIZATIONS`].
pub(crate) fn hierarchy_of(documents: u64, users: u64, mut tuple: impl FnMut(&str, &str, &str)) {
    for n in 0..documents {
        tuple(&format!("folder:f{}", n % 5_000), "parent", &format!("document:d{n}"));
    }
    for n in 0..5_000 {
        tuple(&format!("folder:top{}", n % 500), "parent", &format!("folder:f{n}"));
    }
    for n in 0..500 {
        tuple(&format!("organization:o{}", n % ORGANIZATIONS), "parent", &format!("folder:top{n}"));
    }
    for n in 0..ORGANIZATIONS {
        tuple(&format!("group:all{n}#member"), "viewer", &format!("organization:o{n}"));
        for part in 0..5 {
            tuple(&format!("group:part{n}-{part}#member"), "member", &format!("group:all{n}"));
        }
    }
    let part = |n: u64| format!("group:part{}-{}", n % ORGANIZATIONS, n / ORGANIZATIONS % 5);
    for n in 0..users {
        tuple(&format!("user:u{n}"), "member", &part(n));
    }
    for n in 0..200 {
        tuple(&format!("agent:a{n}"), "member", &part(n));
    }
}

/// A number that looks random (the finish of SplitMix64).
pub(crate) fn mixed(n: u64) -> u64 {
    let mut mixed = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
