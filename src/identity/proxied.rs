//! Credentials for a proxy (RFC 9110, section 11.7), in the fields that services are sent them in.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, header};

use super::{authenticator::Authenticator, error::AuthenticationError};
use crate::access::CanonicalRequest;

/// The fields that say who sends a request.
pub type SenderFields = Box<[(HeaderName, HeaderValue)]>;

impl Authenticator {
    /// The fields that say who sends a request which reaches its service by way of this proxy: not those that the service
    /// is told, but what `Proxy-Authorization` has told the proxy, and the request's own field for its task.
    ///
    /// A token comes as `Bearer TOKEN`, or where clients know nothing but a user and a password (`http://jwt:TOKEN@proxy`)
    /// as `Basic` with the user `jwt`; an API key with the user `api_key`. Everything else is refused.
    pub fn proxied(
        &self,
        head: &CanonicalRequest,
        presented: Option<&HeaderValue>,
    ) -> Result<SenderFields, AuthenticationError> {
        let task = match self.task_field() {
            Some(name) => head.header_value(name).map_err(AuthenticationError::TaskField)?.map(|task| (name, task)),
            None => None,
        };
        let credential = presented.map(|presented| self.presented(presented)).transpose()?;
        Ok(credential.into_iter().chain(task.map(|(name, task)| (name.clone(), task.clone()))).collect())
    }

    fn presented(&self, presented: &HeaderValue) -> Result<(HeaderName, HeaderValue), AuthenticationError> {
        let refused = || AuthenticationError::ProxyScheme;
        let text = presented.to_str().map_err(|_| refused())?;
        let (scheme, rest) = text.split_once(' ').ok_or_else(refused)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok((header::AUTHORIZATION, presented.clone()));
        }
        // A token is longer as a password.
        if !scheme.eq_ignore_ascii_case("basic") || rest.len() > 2 * self.longest_token() {
            return Err(refused());
        }
        let decoded = STANDARD.decode(rest).map_err(|_| refused())?;
        let decoded = String::from_utf8(decoded).map_err(|_| refused())?;
        let (user, password) = decoded.split_once(':').ok_or_else(refused)?;
        let (name, value) = match user {
            "jwt" => (header::AUTHORIZATION, format!("Bearer {password}")),
            "api_key" => (self.key_field().ok_or_else(refused)?.clone(), password.to_owned()),
            _ => return Err(refused()),
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| refused())?;
        value.set_sensitive(true);
        Ok((name, value))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::{
        access::{ActorMode, Scheme},
        identity::{ApiKeySettings, AuthenticatorSettings},
    };

    fn fields(presented: &str, own: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let settings = AuthenticatorSettings {
            api_keys: Some(ApiKeySettings { header: HeaderName::from_static("x-api-key"), keys: Vec::new() }),
            actor_mode: ActorMode::All,
            task_header: Some(HeaderName::from_static("x-task")),
            ..AuthenticatorSettings::default()
        };
        let mut request = Request::builder().uri("/").header("host", "api.example");
        for (name, value) in own {
            request = request.header(*name, *value);
        }
        let head = CanonicalRequest::parse(request.body(()).unwrap().into_parts().0, Scheme::Https).unwrap();
        let presented = (!presented.is_empty()).then(|| HeaderValue::try_from(presented).unwrap());
        let fields = Authenticator::new(settings).unwrap().proxied(&head, presented.as_ref());
        let text = |(name, value): &(HeaderName, HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
        fields.map(|fields| fields.iter().map(text).collect()).map_err(|error| error.to_string())
    }

    fn basic(user: &str) -> String {
        format!("basic {}", STANDARD.encode(user))
    }

    #[test]
    fn the_proxy_is_told_by_one_field_and_the_services_own_do_not_count() {
        let own = [("authorization", "Bearer theirs"), ("x-api-key", "theirs"), ("x-task", "t1")];
        let told = |presented: &str| fields(presented, &own).unwrap();
        let task = ("x-task".to_owned(), "t1".to_owned());
        assert_eq!(told(""), std::slice::from_ref(&task));
        let token = |text: &str| ("authorization".to_owned(), text.to_owned());
        assert_eq!(told("Bearer a.b.c"), [token("Bearer a.b.c"), task.clone()]);
        assert_eq!(told(&basic("jwt:a.b.c")), [token("Bearer a.b.c"), task.clone()]);
        assert_eq!(told(&basic("api_key:k:1")), [("x-api-key".to_owned(), "k:1".to_owned()), task]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for presented in [
            "Bearer".to_owned(),
            "Digest a".to_owned(),
            "DPoP a.b.c".to_owned(),
            "Basic !".to_owned(),
            basic("jwt"),
            basic("erin:secret"),
            basic("JWT:a.b.c"),
            basic("jwt:a\r\nx: y"),
            format!("Basic {}", "A".repeat(20_000)),
        ] {
            assert!(fields(&presented, &[]).is_err(), "{presented}");
        }
    }
}
