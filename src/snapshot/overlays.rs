//! The policy with what tokens tell laid over it, made once for each token and snapshot.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use quick_cache::sync::Cache;

use crate::{
    access::ContextualTuple,
    policy::{InvalidContextualTuple, Policy},
};

/// How many tokens' policies are kept. Each shares all but the told tuples with the snapshot's.
const KEPT: usize = 256;

/// What was made of one snapshot's policy. It is gone with the snapshot, so that no answer outlives it.
#[derive(Default)]
pub(super) struct Overlays(OnceLock<Cache<usize, Arc<Overlay>>>);

struct Overlay {
    // What it was made of, and so what it is found by. Whatever is kept here has its address to itself.
    told: Arc<[ContextualTuple]>,
    base: Weak<Policy>,
    policy: Arc<Policy>,
}

impl Overlays {
    /// The policy with these tuples. The same token has the same tuples, and finds the policy that was made before.
    pub(super) fn policy(
        &self,
        base: &Arc<Policy>,
        told: &Arc<[ContextualTuple]>,
    ) -> Result<Arc<Policy>, InvalidContextualTuple> {
        let kept = self.0.get_or_init(|| Cache::new(KEPT));
        let address = Arc::as_ptr(told).cast::<()>().addr();
        let is_same = |overlay: &Arc<Overlay>| {
            Arc::ptr_eq(&overlay.told, told) && std::ptr::eq(overlay.base.as_ptr(), Arc::as_ptr(base))
        };
        if let Some(overlay) = kept.get(&address).filter(is_same) {
            return Ok(Arc::clone(&overlay.policy));
        }
        let policy = Arc::new(base.with_told(told)?);
        let overlay = Overlay { told: Arc::clone(told), base: Arc::downgrade(base), policy: Arc::clone(&policy) };
        kept.insert(address, Arc::new(overlay));
        Ok(policy)
    }
}

impl fmt::Debug for Overlays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlays").field("kept", &self.0.get().map(Cache::len)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::{Access, Principal, Timestamp},
        compile::{ModelDocument, ModelFormat},
        policy::{GraphBuilder, PolicySettings, RequestContext, TaskRule},
        snapshot::StoredModel,
    };

    fn policy() -> Arc<Policy> {
        let text = "model\n  schema 1.1\ntype user\ntype note\n  relations\n    define reader: [user]\n";
        let mut beside = |_: &str| Err(String::new());
        let document = ModelDocument::read(&"model".into(), text, ModelFormat::Dsl, &mut beside).unwrap();
        let graph = GraphBuilder::new(StoredModel::by_content(document).model).finish();
        Arc::new(Policy::new(graph, PolicySettings::default()))
    }

    fn told(text: &str) -> Arc<[ContextualTuple]> {
        Arc::from([text.parse().unwrap()])
    }

    fn allows(policy: &Policy, resource: &str) -> bool {
        let principal = Arc::new(Principal::alone("user:erin".parse().unwrap()));
        let access = Access { action: "reader".parse().unwrap(), resource: resource.parse().unwrap() };
        let context = RequestContext::default().at(Timestamp::from_seconds(0));
        policy.authorize(&principal, vec![access], TaskRule::Optional, &context).is_ok()
    }

    #[test]
    fn a_policy_is_made_once_for_a_token_and_never_found_by_another() {
        let (overlays, base) = (Overlays::default(), policy());
        let (one, other) = (told("user:erin reader note:a"), told("user:erin reader note:b"));
        let first = overlays.policy(&base, &one).unwrap();
        assert!(Arc::ptr_eq(&first, &overlays.policy(&base, &one).unwrap()));
        let second = overlays.policy(&base, &other).unwrap();
        assert_eq!((allows(&first, "note:a"), allows(&first, "note:b")), (true, false));
        assert_eq!((allows(&second, "note:a"), allows(&second, "note:b")), (false, true));
        assert!(!allows(&base, "note:a"));
        // Of another policy it is made anew, even by the same token.
        let third = overlays.policy(&policy(), &one).unwrap();
        assert!(!Arc::ptr_eq(&first, &third));
        assert!(overlays.policy(&base, &told("user:erin writer note:a")).is_err());
    }

    #[test]
    fn there_is_a_bound_on_what_is_kept() {
        let (overlays, base) = (Overlays::default(), policy());
        let tokens: Vec<_> = (0..2000).map(|number| told(&format!("user:erin reader note:{number}"))).collect();
        for (number, token) in tokens.iter().enumerate() {
            assert!(allows(&overlays.policy(&base, token).unwrap(), &format!("note:{number}")));
        }
        assert!(overlays.0.get().unwrap().len() <= KEPT);
    }
}
