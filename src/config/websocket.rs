//! What an operation may switch to, as it is written.

use http::{HeaderName, Method};

use crate::{
    access::Place,
    route::{Upgrade, WebSocketRule},
};

use super::{file, located::Located, problems::Problems};

/// What an operation may switch to, if anything.
pub(super) fn upgrade(
    written: &Located<file::Operation>,
    method: Option<&Method>,
    problems: &mut Problems,
) -> Option<Upgrade> {
    let Some(upgrade) = &written.upgrade else {
        if let Some(rule) = &written.websocket {
            let help = "add `upgrade: websocket`, or remove it";
            problems.add_with_help(rule.place, "`websocket` on an operation that switches to nothing", help);
        }
        return None;
    };
    check(written, upgrade.place, method, problems);
    match upgrade.value {
        file::Upgrade::Websocket => Some(Upgrade::WebSocket(rule(written.websocket.as_ref(), problems))),
    }
}

/// Refuses an upgrade where there can be none.
fn check(written: &file::Operation, place: Place, method: Option<&Method>, problems: &mut Problems) {
    if method.is_some_and(|method| method != Method::GET) {
        problems.add_with_help(place, "`upgrade` on another method than GET", "a WebSocket begins with a GET");
    }
    if written.filter.is_some() {
        problems.add(place, "`upgrade` on an operation with a `filter`: what passes then is no list");
    }
}

fn rule(written: Option<&Located<file::WebSocket>>, problems: &mut Problems) -> WebSocketRule {
    let Some(written) = written else { return WebSocketRule::default() };
    let subprotocols = written.subprotocols.as_ref().map(|names| {
        if names.is_empty() {
            let help = "name those that may be spoken, or remove it to take any";
            problems.add_with_help(names.place, "`subprotocols` is empty: no connection could be opened", help);
        }
        // They have the grammar of fields' names (RFC 6455, section 11.5).
        for name in names.iter().filter(|name| HeaderName::from_bytes(name.as_bytes()).is_err()) {
            let message = format!("`{}` is not a subprotocol's name", name.value);
            problems.add_with_help(
                name.place,
                message,
                "write it as it stands in Sec-WebSocket-Protocol, like `chat.v2`",
            );
        }
        names.iter().map(|name| Box::from(name.as_str())).collect()
    });
    WebSocketRule { subprotocols, idle: problems.optional_duration(written.idle.as_ref()) }
}
