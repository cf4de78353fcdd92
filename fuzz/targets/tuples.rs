//! Documents of tuples in every format, with a model and without.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::{
    compile::{TupleFormat, model, tuples},
    policy::{GraphBuilder, Policy, PolicySettings, TupleCondition, TupleText},
};
use std::sync::Arc;

const MODEL: &str = "model
  schema 1.1
type user
type doc
  relations
    define a: [user, user:*, doc#a, user with c]
condition c(x: int) {
  x < 2
}
";

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, bytes) = input;
    let format = match choice % 4 {
        0 => TupleFormat::Yaml,
        1 => TupleFormat::Json,
        2 => TupleFormat::JsonLines,
        _ => TupleFormat::Csv,
    };
    let header = b"user_type,user_id,user_relation,relation,object_type,object_id,condition_name,condition_context\n";
    let text = if choice & 4 == 0 { bytes.to_vec() } else { [&header[..], bytes].concat() };
    let model = Arc::new(model(&"model.fga".into(), MODEL).unwrap());
    for model in [None, Some(&*model)] {
        let mut builder = GraphBuilder::new(Arc::new(portcullis::compile::model(&"model.fga".into(), MODEL).unwrap()));
        let mut taken = 0;
        let mut take = |tuple: TupleText<'_>, condition: Option<TupleCondition>| {
            taken += 1;
            builder.add_with(tuple, condition)
        };
        if let Ok(read) = tuples(&"tuples".into(), &mut &text[..], format, model, &mut take) {
            assert_eq!(read.tuples, taken);
            let policy = Policy::new(builder.finish(), PolicySettings::default());
            let statistics = policy.statistics();
            assert!(statistics.tuples + statistics.set_aside + statistics.repeated >= taken as _);
        }
    }
});
