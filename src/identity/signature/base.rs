//! What is signed (RFC 9421, section 2.5).

use super::{component::SignedComponent, error::InvalidSignature};
use crate::access::{CanonicalRequest, Scheme};

/// The signature base of these components in the request that is decided on and forwarded.
///
/// No value holds a line's end, and each component is named once, so that no two requests have the same base by the
/// same components.
pub(in crate::identity) fn signature_base(
    head: &CanonicalRequest,
    scheme: Scheme,
    covered: &[SignedComponent],
    parameters: &str,
) -> Result<String, InvalidSignature> {
    let mut base = String::new();
    for component in covered {
        let value = component.value(head, scheme)?;
        for part in ["\"", component.name(), "\""] {
            base.push_str(part);
        }
        if let SignedComponent::Member(_, key) = component {
            for part in [";key=\"", key, "\""] {
                base.push_str(part);
            }
        }
        for part in [": ", &value, "\n"] {
            base.push_str(part);
        }
    }
    base.push_str("\"@signature-params\": ");
    base.push_str(parameters);
    Ok(base)
}
