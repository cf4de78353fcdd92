//! Which tuples a model allows, with and without conditions.

use super::worlds::dsl;
use crate::policy::{ConditionName, Model};

fn model(rule: &str) -> Model {
    dsl(&format!(
        "model\n  schema 1.1\ntype user\ntype group\n  relations\n    define member: [user]\ntype doc\n  relations\n    \
         define viewer: {rule}\ncondition cc(x: int) {{ true }}\ncondition dd(x: int) {{ true }}\n"
    ))
    .into_model()
}

fn allows(model: &Model, user: &str, condition: &str) -> bool {
    let condition: Option<ConditionName> = (!condition.is_empty()).then(|| condition.parse().unwrap());
    model.allows("doc", "viewer", &user.parse().unwrap(), condition.as_ref())
}

#[test]
fn a_tuple_needs_a_restriction_of_its_shape_and_one_with_its_condition() {
    let known = model("[user with cc, user:*, group#member, group#member with dd]");
    for (user, condition, expected) in [
        ("user:a", "cc", true),
        ("user:a", "", false),
        ("user:a", "dd", false),
        ("user:*", "", true),
        // OpenFGA asks for the condition of any restriction of the type.
        ("user:*", "cc", true),
        ("user:*", "dd", false),
        ("group:a#member", "", true),
        ("group:a#member", "dd", true),
        ("group:a#member", "cc", false),
        ("group:a", "", false),
        ("group:a", "dd", false),
    ] {
        assert_eq!(allows(&known, user, condition), expected, "{user} {condition}");
    }
    assert!(!model("[user]").allows("doc", "owner", &"user:a".parse().unwrap(), None));
}

#[test]
fn a_restriction_is_one_edge_whatever_its_conditions() {
    let known = model("[user with cc, user, user with dd, user with cc, user:* with cc]");
    let relation = known.all_relations().last().unwrap().1;
    assert_eq!(relation.restrictions().len(), 2);
    assert!(relation.allows_unconditioned(relation.restrictions()[0]));
    assert!(!relation.allows_unconditioned(relation.restrictions()[1]));
    assert_eq!(known.restrictions("doc", "viewer"), ["user with cc", "user with dd", "user", "user:* with cc"]);
    assert_eq!(known.conditions().get("dd").unwrap().name().as_str(), "dd");
    assert_eq!(known.conditions().iter().count(), 2);
}
