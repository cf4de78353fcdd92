//! A changed graph against one that is built afresh.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::{collection::vec, prelude::*};

use super::{
    Added, ChangeCounts, Graph, GraphBuilder, TupleChange, TupleCondition, TupleFilter, TupleText, WrittenTuple,
    pairs::pair, store::Number,
};
use crate::{
    access::{Entity, Place},
    policy::{
        ConditionName, ConditionSource, Model, ModelSource, ParameterSource, ParameterType, Placed, Policy,
        PolicySettings, RelationSource, RequestContext, RestrictionSource, Rewrite, Shape, TypeSource, User,
    },
};

fn placed<T>(value: T) -> Placed<T> {
    Placed::new(value, Place::default())
}

fn restriction(text: &str) -> RestrictionSource {
    let (of, shape) = match text.split_once('#') {
        Some((of, relation)) => (of, Shape::Userset(placed(relation.parse().unwrap()))),
        None => match text.strip_suffix(":*") {
            Some(of) => (of, Shape::Wildcard),
            None => (text, Shape::Plain),
        },
    };
    RestrictionSource { user_type: placed(of.parse().unwrap()), shape, condition: None }
}

fn model() -> Arc<Model> {
    let direct = |name: &str, restrictions: &[&str]| RelationSource {
        name: placed(name.parse().unwrap()),
        restrictions: restrictions
            .iter()
            .flat_map(|text| {
                let conditional = Some(placed("in_office".parse().unwrap()));
                [restriction(text), RestrictionSource { condition: conditional, ..restriction(text) }]
            })
            .collect(),
        rewrite: Rewrite::Direct,
        origin: None,
    };
    let of = |name: &str, relations| TypeSource { name: placed(name.parse().unwrap()), relations, origin: None };
    let types = vec![
        of("user", vec![]),
        of("group", vec![direct("member", &["user", "user:*", "group#member"])]),
        of("document", vec![direct("viewer", &["user", "group#member"]), direct("parent", &["document"])]),
    ];
    let in_office = ConditionSource {
        name: placed("in_office".parse().unwrap()),
        parameters: vec![ParameterSource { name: placed("n".to_owned()), kind: ParameterType::Int }],
        expression: placed("n > 0".to_owned()),
    };
    Arc::new(Model::new(ModelSource { types, conditions: vec![in_office], ..ModelSource::default() }).unwrap())
}

type Key = (String, String, String);
type Facts = BTreeMap<Key, Option<TupleCondition>>;

fn condition(number: u8) -> Option<TupleCondition> {
    let name: ConditionName = "in_office".parse().unwrap();
    (number > 3).then(|| TupleCondition { name, context: format!("{{\"n\":{number}}}").into() })
}

fn text(key: &Key) -> TupleText<'_> {
    TupleText { user: &key.0, relation: &key.1, object: &key.2 }
}

/// What the rows of both directions hold; they must agree.
fn facts(graph: &Graph) -> Facts {
    let mut found = Facts::new();
    for (number, edge) in (0..).zip(&graph.edges) {
        let row = |object: Number| graph.users(number, object).iter().map(move |user| pair(object, user));
        let forward: BTreeSet<u64> = edge.users.keys().flat_map(row).collect();
        let row = |user: Number| graph.objects(number, user).iter().map(move |object| pair(object, user));
        let backward: BTreeSet<u64> = edge.objects.keys().flat_map(row).collect();
        assert_eq!(forward, backward);
        assert!(edge.conditions.iter().all(|(key, _)| forward.contains(&key)));
        assert_eq!(graph.edge_has_conditions(number), edge.conditions.iter().next().is_some());
        for key in forward {
            let (object, user) = (u32::try_from(key >> 32).unwrap(), u32::try_from(key & 0xffff_ffff).unwrap());
            assert!(graph.has(number, object, user));
            let tuple = graph.tuple(number, object, user).unwrap();
            assert!(graph.contains(&tuple));
            let key = (tuple.user.to_string(), tuple.relation.to_string(), tuple.object.to_string());
            found.insert(key, graph.condition(number, object, user).map(|carried| carried.written().clone()));
        }
    }
    found
}

fn built(facts: &Facts) -> Graph {
    let mut builder = GraphBuilder::new(model());
    for ((user, relation, object), condition) in facts {
        let added = match condition {
            Some(condition) => builder.add_with(TupleText { user, relation, object }, Some(condition.clone())),
            None => builder.add(user, relation, object),
        };
        assert_eq!(added, Ok(Added::Stored));
    }
    builder.finish()
}

fn key() -> impl Strategy<Value = Key> {
    let users = prop_oneof![
        4 => (0..6_u8).prop_map(|n| format!("user:{n}")),
        1 => Just("user:*".to_owned()),
        2 => (0..4_u8).prop_map(|n| format!("group:{n}#member")),
    ];
    let member = (users, 0..4_u8).prop_map(|(user, n)| (user, "member".to_owned(), format!("group:{n}")));
    let viewer = (0..6_u8, 0..40_u8)
        .prop_map(|(user, n)| (format!("user:{user}"), "viewer".to_owned(), format!("document:{n}")));
    let parent = (0..40_u8, 0..40_u8)
        .prop_map(|(up, n)| (format!("document:{up}"), "parent".to_owned(), format!("document:{n}")));
    prop_oneof![member, viewer, parent]
}

/// All tuples that the filter lets in, page by page; each must come once.
fn paged(graph: &Graph, filter: TupleFilter<'_>, size: usize) -> Facts {
    let (mut found, mut after) = (Facts::new(), None);
    loop {
        let page = graph.tuples(filter, after.as_ref(), size).unwrap();
        assert!(page.len() <= size);
        let is_last = page.len() < size;
        for WrittenTuple { tuple, condition } in page {
            let key = (tuple.user.to_string(), tuple.relation.to_string(), tuple.object.to_string());
            assert_eq!(found.insert(key, condition), None, "{tuple} came twice");
            after = Some(tuple);
        }
        if is_last {
            return found;
        }
    }
}

fn pages_are_right(graph: &Graph, expected: &Facts) {
    for size in [1, 7, 1_000] {
        assert_eq!(&paged(graph, TupleFilter::default(), size), expected);
    }
    for (user, relation, object) in expected.keys().take(5) {
        let (user, entity): (User, Entity) = (user.parse().unwrap(), object.parse().unwrap());
        let of_type = Some(entity.type_name());
        let all = TupleFilter::default();
        for filter in [
            TupleFilter { object: Some(&entity), ..all },
            TupleFilter { object: Some(&entity), relation: Some(relation), ..all },
            TupleFilter { object: Some(&entity), user: Some(&user), ..all },
            TupleFilter { object_type: of_type, user: Some(&user), ..all },
            TupleFilter { object_type: of_type, relation: Some(relation), ..all },
        ] {
            let is_asked = |(of, named, on): &Key| {
                filter.user.is_none_or(|user| user.to_string() == *of)
                    && filter.relation.is_none_or(|relation| relation == named)
                    && filter.object.is_none_or(|object| object.as_str() == on)
                    && filter.object_type.is_none_or(|name| on.split(':').next() == Some(name))
            };
            let wanted: Facts = expected.clone().into_iter().filter(|(key, _)| is_asked(key)).collect();
            assert_eq!(paged(graph, filter, 2), wanted, "{filter:?}");
        }
    }
}

fn checked(graph: &Graph, expected: &Facts) {
    assert_eq!(&facts(graph), expected);
    pages_are_right(graph, expected);
    let fresh = built(expected);
    assert_eq!(graph.statistics().tuples, expected.len());
    assert!(graph.statistics().objects >= fresh.statistics().objects);
    let compacted = graph.compacted();
    assert_eq!(&facts(&compacted), expected);
    assert!(!compacted.needs_compaction());
    let (found, fresh) = (compacted.statistics(), fresh.statistics());
    assert_eq!((found.tuples, found.objects), (fresh.tuples, fresh.objects));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_changed_graph_is_the_graph_built_afresh(
        start in vec((key(), 0..6_u8), 0..60),
        batches in vec((vec((key(), any::<bool>(), 0..6_u8), 0..30), 0..4_u8), 1..6),
    ) {
        let mut expected: Facts = start.into_iter().map(|(key, number)| (key, condition(number))).collect();
        let mut graph = built(&expected);
        for (batch, then) in batches {
            let (before, facts_before) = (graph.clone(), expected.clone());
            let given: Vec<_> =
                batch.iter().map(|(key, writes, number)| (key, *writes, condition(*number))).collect();
            let changes = given.iter().map(|(key, writes, condition)| match writes {
                true => TupleChange::Write(text(key), condition.as_ref()),
                false => TupleChange::Delete(text(key)),
            });
            let mut counted = ChangeCounts::default();
            for (key, writes, condition) in &given {
                let wanted = condition.clone();
                let count = match (expected.get(*key), writes) {
                    (None, true) => &mut counted.written,
                    (Some(known), true) if *known == wanted => &mut counted.repeated,
                    (Some(_), true) => &mut counted.conditions,
                    (Some(_), false) => &mut counted.deleted,
                    (None, false) => &mut counted.missing,
                };
                *count += 1;
                if *writes {
                    expected.insert((*key).clone(), wanted);
                } else {
                    expected.remove(*key);
                }
            }
            let (next, counts) = graph.with_changes(changes).unwrap();
            prop_assert_eq!(counts, counted);
            checked(&next, &expected);
            checked(&before, &facts_before);
            graph = if then == 0 { next.compacted() } else { next };
        }
    }
}

#[test]
fn a_later_tuple_replaces_the_condition() {
    let mut builder = GraphBuilder::new(model());
    let (office, none) = (condition(4).unwrap(), None);
    for (object, given) in [("group:1", [Some(&office), None]), ("group:2", [None, Some(&office)])] {
        for condition in given {
            let added = match condition {
                Some(condition) => {
                    builder.add_with(TupleText { user: "user:1", relation: "member", object }, Some(condition.clone()))
                }
                None => builder.add("user:1", "member", object),
            };
            assert_eq!(added, Ok(Added::Stored));
        }
    }
    let graph = builder.finish();
    let found: Vec<_> = facts(&graph).into_values().collect();
    assert_eq!(found, [none, Some(office)]);
    assert_eq!(graph.statistics().repeated, 2);
    let repeated: Vec<_> = graph.repeated().iter().map(ToString::to_string).collect();
    assert_eq!(repeated, ["user:1 member group:1", "user:1 member group:2"]);
}

#[test]
fn what_the_model_does_not_allow_is_set_aside() {
    let graph = built(&Facts::new());
    let tuples = [
        TupleText { user: "user:1", relation: "owner", object: "document:1" },
        TupleText { user: "group:1", relation: "viewer", object: "document:1" },
    ];
    let (after, counts) = graph.with_changes(tuples.map(|tuple| TupleChange::Write(tuple, None))).unwrap();
    assert_eq!((counts.set_aside, after.statistics().set_aside, after.set_aside().len()), (2, 2, 2));
    let (after, _) = after.with_changes(tuples.map(TupleChange::Delete)).unwrap();
    assert_eq!((after.statistics().set_aside, after.set_aside().len(), graph.set_aside().len()), (0, 0, 0));
    for (user, relation, object) in
        [("1", "viewer", "document:1"), ("user:1", "a b", "document:1"), ("user:1", "a", "x")]
    {
        let change = TupleChange::Write(TupleText { user, relation, object }, None);
        assert!(graph.with_changes([change]).is_err(), "{user} {relation} {object}");
    }
}

#[test]
fn a_graph_whose_rows_lie_in_the_order_of_its_names_answers_alike() {
    let texts =
        |n: u32| (format!("user:u{}", n % 70), format!("document:d{}-{}", n % 300, "long".repeat(n as usize % 8)));
    let mut builder = GraphBuilder::new(model());
    for (user, document) in (0..600).map(texts) {
        builder.add(&user, "viewer", &document).unwrap();
    }
    let graph = builder.finish();
    let mut changed = graph.clone();
    for n in 0..400 {
        let (user, document) = texts(n * 7 + n / 3);
        let tuple = TupleText { user: &user, relation: "viewer", object: &document };
        let later = TupleText { object: &format!("document:later-{n}"), ..tuple };
        let changes = [TupleChange::Write(later, None), TupleChange::Delete(tuple)];
        changed = changed.with_changes(if n % 2 == 0 { &changes[..1] } else { &changes[1..] }.to_vec()).unwrap().0;
    }
    let compacted = changed.compacted();
    let first = facts(&compacted).into_keys().next().unwrap();
    let again = compacted.with_changes([TupleChange::Delete(text(&first))]).unwrap().0;
    for graph in [graph, changed, compacted, again.compacted(), again] {
        let facts = facts(&graph);
        let policy = Policy::new(graph.clone(), PolicySettings::default());
        let mut allowed = 0;
        for (user, document) in (0..600).map(texts).chain((0..400).map(|n| (texts(n).0, format!("document:later-{n}"))))
        {
            for user in [user, "user:u1".to_owned(), "user:nobody".to_owned()] {
                let expected = facts.contains_key(&(user.clone(), "viewer".to_owned(), document.clone()));
                let (user, document) = (user.parse().unwrap(), document.parse().unwrap());
                let is_allowed = policy.check(&user, &"viewer".parse().unwrap(), &document, &RequestContext::default());
                assert_eq!(is_allowed, Ok(expected), "{user} {document}");
                allowed += u32::from(expected);
            }
        }
        assert!(allowed > 100);
    }
}
