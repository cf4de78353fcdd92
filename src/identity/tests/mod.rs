//! Credentials, good and bad, against the real authenticator.
