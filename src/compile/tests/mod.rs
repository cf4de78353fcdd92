//! Models, modules, tuples and stores as people write them.

mod api_json;
mod conditions;
mod modules;
mod properties;
mod restrictions;
mod store;
mod tuples;
mod worlds;
