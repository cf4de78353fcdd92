//! The functions of CEL's standard library, and what they take.

use super::{kind::Kind, unify::Variables};
use crate::policy::condition::eval::{Charge, Function};

/// A type in a signature.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    IpAddress,
    Dynamic,
    A,
    B,
    ListOfA,
    MapOfAToB,
    TypeOfA,
}
use Slot::{
    A, B, Bool, Bytes, Double, Duration, Dynamic, Int, IpAddress, ListOfA, MapOfAToB, String, Timestamp, TypeOfA, Uint,
};

/// Whether a function is called on a value (`text.size()`), alone (`size(text)`), or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Alone,
    Member,
    Both,
}

/// A name, how it is called, what it becomes, and what it takes and gives with what charge.
struct Definition {
    name: &'static str,
    style: Style,
    function: Function,
    overloads: &'static [(&'static [Slot], Slot, Charge)],
}

/// A call that the types allow.
pub(super) struct Resolution {
    pub(super) function: Function,
    pub(super) kind: Kind,
    pub(super) charge: Charge,
}

/// What came of looking a call up.
pub(super) enum Lookup {
    Found(Resolution),
    NoOverload,
    NoFunction,
}

/// Finds what a call means, as cel-go does: each overload that fits counts, and the charge of a single one holds.
pub(super) fn look_up(variables: &mut Variables, name: &str, member: bool, arguments: &[Kind]) -> Lookup {
    let Some(definition) = LIBRARY.iter().find(|definition| definition.name == name) else {
        return Lookup::NoFunction;
    };
    let excluded = if member { Style::Alone } else { Style::Member };
    if definition.style == excluded {
        return Lookup::NoOverload;
    }
    let mut found: Option<Resolution> = None;
    for (parameters, result, charge) in definition.overloads {
        let (a, b) = (variables.fresh(), variables.fresh());
        let wanted: Vec<Kind> = parameters.iter().map(|slot| slot.kind(&a, &b)).collect();
        if !variables.assign_all(arguments, &wanted) {
            continue;
        }
        let kind = variables.resolve(&result.kind(&a, &b));
        found = Some(match found {
            None => Resolution { function: definition.function, kind, charge: *charge },
            Some(first) => {
                let kind = if kind == first.kind || first.kind.is_open() { first.kind } else { Kind::Dynamic };
                Resolution { function: definition.function, kind, charge: Charge::One }
            }
        });
    }
    found.map_or(Lookup::NoOverload, Lookup::Found)
}

impl Slot {
    fn kind(self, a: &Kind, b: &Kind) -> Kind {
        match self {
            Bool => Kind::Bool,
            Int => Kind::Int,
            Uint => Kind::Uint,
            Double => Kind::Double,
            String => Kind::String,
            Bytes => Kind::Bytes,
            Timestamp => Kind::Timestamp,
            Duration => Kind::Duration,
            IpAddress => Kind::IpAddress,
            Dynamic => Kind::Dynamic,
            A => a.clone(),
            B => b.clone(),
            ListOfA => Kind::list(a.clone()),
            MapOfAToB => Kind::map(a.clone(), b.clone()),
            TypeOfA => Kind::Type(Box::new(a.clone())),
        }
    }
}

const fn alone(
    name: &'static str,
    function: Function,
    overloads: &'static [(&'static [Slot], Slot, Charge)],
) -> Definition {
    Definition { name, style: Style::Alone, function, overloads }
}

const fn member(
    name: &'static str,
    function: Function,
    overloads: &'static [(&'static [Slot], Slot, Charge)],
) -> Definition {
    Definition { name, style: Style::Member, function, overloads }
}

const fn both(
    name: &'static str,
    function: Function,
    overloads: &'static [(&'static [Slot], Slot, Charge)],
) -> Definition {
    Definition { name, style: Style::Both, function, overloads }
}

const ONE: Charge = Charge::One;

/// What `<` and its relatives take. Numbers of two types are ordered only when their types are not known before.
const ORDER: &[(&[Slot], Slot, Charge)] = &[
    (&[Bool, Bool], Bool, ONE),
    (&[Int, Int], Bool, ONE),
    (&[Uint, Uint], Bool, ONE),
    (&[Double, Double], Bool, ONE),
    (&[String, String], Bool, Charge::Shorter),
    (&[Bytes, Bytes], Bool, Charge::Shorter),
    (&[Timestamp, Timestamp], Bool, ONE),
    (&[Duration, Duration], Bool, ONE),
];
const EQUALITY: &[(&[Slot], Slot, Charge)] = &[(&[A, A], Bool, Charge::Shorter)];
const MATCHES: &[(&[Slot], Slot, Charge)] = &[(&[String, String], Bool, Charge::Pattern)];
const CALENDAR: &[(&[Slot], Slot, Charge)] = &[(&[Timestamp], Int, ONE), (&[Timestamp, String], Int, ONE)];
const CLOCK: &[(&[Slot], Slot, Charge)] =
    &[(&[Timestamp], Int, ONE), (&[Timestamp, String], Int, ONE), (&[Duration], Int, ONE)];

const LIBRARY: &[Definition] = &[
    alone("!_", Function::Not, &[(&[Bool], Bool, ONE)]),
    alone("-_", Function::Negate, &[(&[Double], Double, ONE), (&[Int], Int, ONE)]),
    alone("_==_", Function::Equal, EQUALITY),
    alone("_!=_", Function::NotEqual, EQUALITY),
    alone("_<_", Function::Less, ORDER),
    alone("_<=_", Function::LessOrEqual, ORDER),
    alone("_>_", Function::Greater, ORDER),
    alone("_>=_", Function::GreaterOrEqual, ORDER),
    alone(
        "_+_",
        Function::Add,
        &[
            (&[Bytes, Bytes], Bytes, Charge::Sum),
            (&[Double, Double], Double, ONE),
            (&[Duration, Duration], Duration, ONE),
            (&[Duration, Timestamp], Timestamp, ONE),
            (&[Timestamp, Duration], Timestamp, ONE),
            (&[Int, Int], Int, ONE),
            (&[ListOfA, ListOfA], ListOfA, ONE),
            (&[String, String], String, Charge::Sum),
            (&[Uint, Uint], Uint, ONE),
        ],
    ),
    alone(
        "_-_",
        Function::Subtract,
        &[
            (&[Double, Double], Double, ONE),
            (&[Duration, Duration], Duration, ONE),
            (&[Int, Int], Int, ONE),
            (&[Timestamp, Duration], Timestamp, ONE),
            (&[Timestamp, Timestamp], Duration, ONE),
            (&[Uint, Uint], Uint, ONE),
        ],
    ),
    alone(
        "_*_",
        Function::Multiply,
        &[(&[Double, Double], Double, ONE), (&[Int, Int], Int, ONE), (&[Uint, Uint], Uint, ONE)],
    ),
    alone(
        "_/_",
        Function::Divide,
        &[(&[Double, Double], Double, ONE), (&[Int, Int], Int, ONE), (&[Uint, Uint], Uint, ONE)],
    ),
    alone("_%_", Function::Remainder, &[(&[Int, Int], Int, ONE), (&[Uint, Uint], Uint, ONE)]),
    alone("@in", Function::In, &[(&[A, ListOfA], Bool, Charge::SecondSize), (&[A, MapOfAToB], Bool, ONE)]),
    alone("_[_]", Function::Index, &[(&[ListOfA, Int], A, ONE), (&[MapOfAToB, A], B, ONE)]),
    both(
        "size",
        Function::Size,
        &[(&[Bytes], Int, ONE), (&[ListOfA], Int, ONE), (&[MapOfAToB], Int, ONE), (&[String], Int, ONE)],
    ),
    member("contains", Function::Contains, &[(&[String, String], Bool, Charge::Product)]),
    member("startsWith", Function::StartsWith, &[(&[String, String], Bool, Charge::SecondTenth)]),
    member("endsWith", Function::EndsWith, &[(&[String, String], Bool, Charge::SecondTenth)]),
    both("matches", Function::Matches, MATCHES),
    alone("type", Function::TypeOf, &[(&[A], TypeOfA, ONE)]),
    alone("dyn", Function::Dynamic, &[(&[A], Dynamic, ONE)]),
    alone("bool", Function::ToBool, &[(&[Bool], Bool, ONE), (&[String], Bool, ONE)]),
    alone("bytes", Function::ToBytes, &[(&[Bytes], Bytes, ONE), (&[String], Bytes, Charge::FirstTenth)]),
    alone(
        "double",
        Function::ToDouble,
        &[(&[Double], Double, ONE), (&[Int], Double, ONE), (&[String], Double, ONE), (&[Uint], Double, ONE)],
    ),
    alone("duration", Function::ToDuration, &[(&[Duration], Duration, ONE), (&[String], Duration, ONE)]),
    alone(
        "int",
        Function::ToInt,
        &[
            (&[Int], Int, ONE),
            (&[Double], Int, ONE),
            (&[Duration], Int, ONE),
            (&[String], Int, ONE),
            (&[Timestamp], Int, ONE),
            (&[Uint], Int, ONE),
        ],
    ),
    alone(
        "string",
        Function::ToString,
        &[
            (&[String], String, ONE),
            (&[Bool], String, ONE),
            (&[Bytes], String, Charge::FirstTenth),
            (&[Double], String, ONE),
            (&[Duration], String, ONE),
            (&[Int], String, ONE),
            (&[Timestamp], String, ONE),
            (&[Uint], String, ONE),
        ],
    ),
    alone(
        "timestamp",
        Function::ToTimestamp,
        &[(&[Timestamp], Timestamp, ONE), (&[Int], Timestamp, ONE), (&[String], Timestamp, ONE)],
    ),
    alone(
        "uint",
        Function::ToUint,
        &[(&[Uint], Uint, ONE), (&[Double], Uint, ONE), (&[Int], Uint, ONE), (&[String], Uint, ONE)],
    ),
    member("getFullYear", Function::FullYear, CALENDAR),
    member("getMonth", Function::Month, CALENDAR),
    member("getDate", Function::Date, CALENDAR),
    member("getDayOfMonth", Function::DayOfMonth, CALENDAR),
    member("getDayOfWeek", Function::DayOfWeek, CALENDAR),
    member("getDayOfYear", Function::DayOfYear, CALENDAR),
    member("getHours", Function::Hours, CLOCK),
    member("getMinutes", Function::Minutes, CLOCK),
    member("getSeconds", Function::Seconds, CLOCK),
    member("getMilliseconds", Function::Milliseconds, CLOCK),
    alone("ipaddress", Function::ToIpAddress, &[(&[String], IpAddress, ONE)]),
    member("in_cidr", Function::InCidr, &[(&[IpAddress, String], Bool, ONE)]),
];
