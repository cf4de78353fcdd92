//! gRPC through the proxy.
