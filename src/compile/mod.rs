mod api_json;
mod csv;
mod dsl;
mod json;
mod json_document;
mod model;
mod modules;
mod placed_json;
mod plain;
mod report;
mod seen;
mod store;
#[cfg(test)]
mod tests;
mod tuple_condition;
mod tuples;
mod window;
mod yaml;
mod yaml_fault;
mod yaml_tree;

pub use api_json::{Json, JsonForm};
pub use model::{ModelDocument, ModelFormat, ReadBeside, model};
pub use modules::module_files;
pub use store::{
    StoreAssertion, StoreCheck, StoreFile, StoreListObjects, StoreListUsers, StoreTest, StoreTuple, StoreUserFilter,
    store_file,
};
pub use tuples::{TakeTuple, TupleFormat, TuplesRead, repetitions, tuples};
pub use yaml_fault::YamlFault;
